// Dense convolutions by wgmma, the matrix instruction that a warpgroup of sm_90a issues: which tiles there
// are, what they cost, and what the emitter and packing share.
#pragma once

#include <vector>

#include "passes/gpu_conv_choice.h"

namespace cardinal {

// A row of a tile is a step's 64 values, 128 bytes: what one row of wgmma's 128-byte swizzle holds. There,
// vector v of 16 bytes of row r is at place v ^ (r % 8).
inline constexpr int64_t kWgmmaStep = 64, kWgmmaRowBytes = 128, kWgmmaSwizzleRows = 8;
// The warpgroup that copies, before those that multiply.
inline constexpr int64_t kWarpgroupThreads = 128;

bool wgmma_possible(const GpuConvProblem&, const GpuFacts&);
// Where it is possible.
std::vector<GpuConvChoice> wgmma_choices(const GpuConvProblem&, const GpuFacts&);

int64_t wgmma_threads(const GpuConvKernel&);
int64_t wgmma_stage_bytes(const GpuConvKernel&);
// Where the barriers begin, two of 8 bytes for each stage, behind stages and sums, which share their place.
int64_t wgmma_barriers_offset(const GpuConvKernel&);
int64_t wgmma_shared_bytes(const GpuConvKernel&);
// Thread blocks that a multiprocessor has room for: what registers are shared out for.
int wgmma_resident(const GpuConvKernel&);
// Output channels of the packed weights, whole tiles.
int64_t wgmma_weight_rows(const GpuConvKernel&);

}  // namespace cardinal
