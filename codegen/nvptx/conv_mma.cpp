// Convolution as a matrix product on tensor cores: see mma_reduction.h. Its sums go through shared memory;
// there, 8 channels of a pixel at a time: bias, epilogue, store.
#include "codegen/nvptx/mma_reduction.h"

namespace cardinal {

void emit_gpu_conv_mma(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  const ConvTile tile(e, kernel, conv);
  MmaReduction reduction(e, kernel, conv, tile.first_pixel, tile.group);
  reduction.start(tile.first_channel, tile.steps);
  const Values sums = reduction.sums(tile.first_channel, tile.steps);
  reduction.tile().keep(sums, shared_memory(e));
  synchronise(e);
  reduction.tile().for_kept_vector(
      shared_memory(e),
      [&](llvm::Value* row, llvm::Value* vector, llvm::Value* kept) { tile.finish(row, vector, kept); });
}

}  // namespace cardinal
