// Whether a convolution and the 1x1 convolution that reads it are one kernel of a GPU, and with which tile.
#pragma once

#include "passes/gpu_conv_choice.h"

namespace cardinal {

struct GpuPairChoice {
  GpuConvPairKernel kernel;  // without bias
  Candidate candidate;
};

// Best first; none where no tile fits, x cannot be read where it is, or values are not of 16 bits. The second
// convolution is of 1x1 pixels, stride 1 and one group, and reads nothing but the first's result.
std::vector<GpuPairChoice> gpu_pair_choices(const GpuConvProblem& first, const GpuConvProblem& second,
                                            const GpuFacts&);

// ---- what the kernel's emitter shares with the choice

inline constexpr int64_t kPairThreads = 256;

// Shared memory, in bytes: the first convolution's stages or sums, then a chunk of its result, then the
// second's weights for that chunk. The second's sums take the place of them all in the end.
struct PairMemory {
  int64_t chunk = 0, weights = 0;  // where these begin
  int64_t bytes = 0;
};
PairMemory pair_memory(const GpuConvPairKernel&);
// Thread blocks that a multiprocessor has registers for.
int64_t pair_thread_blocks(const GpuConvPairKernel&);

}  // namespace cardinal
