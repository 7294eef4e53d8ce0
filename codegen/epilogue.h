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

// Where results of a step go: `out` and the epilogue's operands point at block 0 of their views.
struct Destination {
  const Step& step;
  const Epilogue& epilogue;
  llvm::Value* out;
  llvm::ArrayRef<llvm::Value*> operands;
  bool is_last_block =
      false;  // of the tensor's: lanes beyond its last channel are masked where there are none
};
// Applies the epilogue to a result, stores it in block `at` and returns it. It is a whole block, or a
// narrower vector starting at lane `first_lane` of the block.
llvm::Value* store_result(Emitter&, const Destination&, llvm::Value* value, const BlockIndex& at,
                          int first_lane = 0);

}  // namespace cardinal
