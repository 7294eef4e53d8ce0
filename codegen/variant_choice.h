// Which variant of a network this CPU takes, decided by the network's own code.
#pragma once

#include <string>
#include <vector>

#include "codegen/emitter.h"

namespace cardinal {

// `any` is the target that all of this is emitted for: it runs on CPUs that may have no variant's
// instructions.

// A function that follows the code of all variants: cardinal_feature bits that this CPU and its operating
// system support.
llvm::Function* emit_cpu_features(llvm::Module&, const Target& any);

struct Variant {
  llvm::GlobalVariable* table = nullptr;
  uint32_t required_features = 0;
};
// Defines NET_variant: the table of the last of the variants that the CPU supports, or null.
llvm::Function* emit_variant_choice(llvm::Module&, const Target& any, const std::vector<Variant>&,
                                    llvm::Function* cpu_features, const std::string& symbol);

// Defines NET_run as the `run` of the variant chosen; the first one's if there is none for this CPU.
void emit_dispatch(llvm::Module&, const Target& any, const Variant& first, llvm::Function* choice,
                   const std::string& symbol);

}  // namespace cardinal
