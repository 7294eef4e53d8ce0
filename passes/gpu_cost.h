// What predicted times of a GPU's kernels have in common. Estimates, to be fitted when kernels have been
// measured.
#pragma once

#include <algorithm>

#include "ir/type.h"
#include "passes/target.h"

namespace cardinal {

inline constexpr double kLaunchMicroseconds = 2;
inline constexpr double kFillMicroseconds = 1.5;  // until the first step's data is there, and the epilogue
// Of a reduction step through shared memory, at least.
inline constexpr double kStepMicroseconds = 0.12;

inline double arithmetic_microseconds(double flops, double tflops) { return flops / (tflops * 1e6); }
inline double memory_microseconds(double bytes, const GpuFacts& gpu) {
  return bytes / (gpu.memory_gbps * 1e3);
}

// Thread blocks of tensor core kernels: `resident` share a multiprocessor, those of a round run at once.
struct GpuRounds {
  int64_t rounds = 1, together = 1;
  GpuRounds(int64_t blocks, int64_t resident, const GpuFacts& gpu) {
    rounds = ceil_div(blocks, int64_t{gpu.multiprocessors} * resident);
    together = std::min(resident, ceil_div(blocks, int64_t{gpu.multiprocessors}));
  }
  // Of a step of each thread block, at a rate of the whole GPU.
  double step_microseconds(double flops, double tflops, const GpuFacts& gpu,
                           double least = kStepMicroseconds) const {
    return std::max(
        least, static_cast<double>(together) * arithmetic_microseconds(flops, tflops / gpu.multiprocessors));
  }
};

}  // namespace cardinal
