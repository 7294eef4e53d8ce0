// NVIDIA GPUs as targets.
#pragma once

#include "ir/result.h"
#include "passes/target.h"

namespace cardinal {

// Whether a target's name is one of a GPU, known or not: sm_90a.
bool names_gpu(const std::string& name);
Result<Target> resolve_gpu_target(const std::string& name);

// The oldest GPU that the kernels run on: PTX for it runs on all later ones.
const Target& base_gpu_target();

}  // namespace cardinal
