// Which of a network's pieces of GPU code a device runs.
#pragma once

#include <cardinal/abi.h>

#include <span>
#include <string>
#include <vector>

namespace cardinal::runtime {

// The pieces that run on a device of this compute capability (90: 9.0), the best first: cubins for exactly
// it, cubins for older devices of the same major number, PTX for it or for older ones. Code for "specific"
// architectures, such as sm_90a, runs on that one alone.
std::vector<const cardinal_gpu_code*> usable_code(std::span<const cardinal_gpu_code> codes, int capability);

// "cubin for sm_90a"
std::string describe(const cardinal_gpu_code& code);

}  // namespace cardinal::runtime
