// The kernels of a plan for a GPU, as text and as code.
#pragma once

#include <string>
#include <vector>

#include <cardinal/abi.h>

#include "codegen/codegen.h"

namespace cardinal {

// Of each step, the name of its kernel; steps that are the same but for the places of their buffers share
// one.
std::vector<std::string> gpu_kernel_names(const Plan&);

Result<std::string> gpu_llvm_ir(const Plan&);
Result<std::string> gpu_ptx(const Plan&, const Target& target);
// `assembler`: see assembler.h.
Result<std::string> gpu_cubin(const Plan&, const std::string& assembler);

// What a shared object holds: PTX for the oldest GPU, so that all can run it, unless the plan asks for what
// only its own has; PTX for the plan's own, and a cubin for that if there is an assembler.
struct GpuCode {
  cardinal_gpu_code_kind kind;
  const GpuFacts* facts;
  std::string data;
};
Result<std::vector<GpuCode>> gpu_codes(const Plan&, const std::string& assembler);

}  // namespace cardinal
