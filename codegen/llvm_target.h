// LLVM's back ends, and how Cardinal's targets are spelled in their terms.
#pragma once

#include <string>

#include "passes/target.h"

namespace llvm {
class Target;
}

namespace cardinal {

inline constexpr const char* kX86Triple = "x86_64-unknown-linux-gnu";
inline constexpr const char* kAArch64Triple = "aarch64-unknown-linux-gnu";
bool is_aarch64(const Target&);

// The back end of a triple, initialised on first use; may be called from several threads.
const llvm::Target* back_end(const std::string& triple);

// Code uses the instruction set levels that abi.h can ask a CPU for, no more, and is scheduled for the CPU
// named: what runs where depends on required_features alone. Both are LLVM CPU names.
std::string instruction_set(
    const Target&);  // "x86-64" (that of every CPU), "x86-64-v3", "x86-64-v4"; "generic"
std::string scheduled_for(const Target&);
// The same for functions with long loops: LLVM's models of some CPUs let it move loads and permutations up
// until accumulators spill. On Zen 3, grouped convolutions in tiles of 12 and 14 pixels that are scheduled
// for Haswell take 1.2 and 1.3 times as long.
std::string long_loops_scheduled_for(const Target&);

// What every CPU of a target's architecture can run, whatever its instruction sets.
Target any_cpu(const Target&);

}  // namespace cardinal
