// The constant data of a network's translation unit: NET_cardinal_model, what it points to, and the weights.
#pragma once

#include <cardinal/abi.h>

#include <vector>

#include <llvm/ADT/ArrayRef.h>
#include <llvm/IR/Module.h>

#include "codegen/codegen.h"

namespace cardinal {

// The code of a variant; null functions for a GPU.
struct VariantCode {
  llvm::Function* run = nullptr;
  std::vector<llvm::Function*> tasks;  // one per step
  // Its first function, and the first that follows its last.
  llvm::Function *first = nullptr, *end = nullptr;
};

// Defines NET_cardinal_model and the variants that it leads to, from a description without code.
// `with_weights`: whether the module has the weights' section (weights_section.h), or only declares them. The
// tables, in order.
std::vector<llvm::GlobalVariable*> emit_model_tables(llvm::Module&, const cardinal_model& description,
                                                     const NetworkImage&, llvm::ArrayRef<VariantCode>,
                                                     bool with_weights);

}  // namespace cardinal
