// LLVM's x86-64 back end, and how Cardinal's targets are spelled in its terms.
#pragma once

#include <string>

#include "passes/target.h"

namespace llvm {
class Target;
}

namespace cardinal {

// Initialises the back end on first use; may be called from several threads.
const llvm::Target* x86_target();

// Code uses the instruction set levels that abi.h can ask a CPU for, no more, and is scheduled for the CPU
// named: what runs where depends on required_features alone.
std::string instruction_set(const Target&);  // "x86-64" (that of every CPU), "x86-64-v3" or "x86-64-v4"

}  // namespace cardinal
