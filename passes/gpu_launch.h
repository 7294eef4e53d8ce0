// How the kernels of a plan for a GPU are launched.
#pragma once

#include "passes/plan.h"

namespace cardinal {

// Sets every step's launch, units, compulsory bytes and, where none is set, predicted time. Weights are laid
// out.
void set_gpu_launches(Plan&);

// Kernels over independent items: one thread each.
inline constexpr int64_t kItemThreads = 128;
// A vector of channels of one pixel: what a thread of an elementwise kernel computes.
inline constexpr int64_t kGpuVector = 8;
int64_t existing_channels(const View&);  // of a pixel, pad lanes included
int64_t channel_vectors(const View&);

}  // namespace cardinal
