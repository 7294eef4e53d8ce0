// The constant data of a network's translation unit: NET_cardinal_model, what it points to, and the weights.
#pragma once

#include <cardinal/abi.h>

#include <llvm/ADT/ArrayRef.h>
#include <llvm/IR/Module.h>

#include "codegen/codegen.h"

namespace cardinal {

struct ModelCode {
  llvm::Function* run = nullptr;
  llvm::ArrayRef<llvm::Function*> tasks;  // one per step
  bool with_weights = false;  // whether the weights' bytes are part of the module, or only declared
};

// Defines NET_cardinal_model, the one exported object, from a description without code.
void emit_model_table(llvm::Module&, const cardinal_model& description, const NetworkImage&,
                      const ModelCode&);

}  // namespace cardinal
