// What this machine has: processors, and which of a model's instruction sets it lacks.
#pragma once

#include <cstdint>
#include <string>

namespace cardinal::runtime {

// The names of the features in `required` that are not in `available`, e.g. "AVX-512 (F, CD, BW, DQ, VL)"; ""
// if none.
std::string missing_features(uint32_t required, uint32_t available);

// The processors that this thread may run on; at least 1.
int available_cpus();

}  // namespace cardinal::runtime
