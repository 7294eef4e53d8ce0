// What happens to a result in registers before it is stored, and the elementary functions that needs.
//
// No libm: exp, log, tanh and erf are polynomials of our own, good to about 1e-7 (relative for exp and tanh,
// absolute for erf), on floats or vectors of floats of any width.
#pragma once

#include "codegen/emitter.h"

namespace cardinal {

// x is clamped to [-87.3, 88.3]: the result is a normal float. A NaN stays one.
llvm::Value* emit_exp(Emitter&, llvm::Value* x);
// Of a normal x > 0.
llvm::Value* emit_log(Emitter&, llvm::Value* x);
llvm::Value* emit_tanh(Emitter&, llvm::Value* x);
llvm::Value* emit_erf(Emitter&, llvm::Value* x);
llvm::Value* emit_activation(Emitter&, const Activation&, llvm::Value* x);

// Applies the steps in order. `operand(i)` loads the i-th operand of the epilogue, once each.
llvm::Value* emit_epilogue(Emitter&, const Epilogue&, llvm::Value* value,
                           llvm::function_ref<llvm::Value*(int i)> operand);

}  // namespace cardinal
