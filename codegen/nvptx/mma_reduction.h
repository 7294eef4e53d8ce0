// The reduction of a convolution as a matrix product on tensor cores, in steps through shared memory:
//
//   stages - 1 steps of x and weights are on their way into shared memory
//   for each step:                                             rolled
//     wait for its data; all threads are done with the step before
//     copy the step that is stages - 1 ahead over the one before
//     sums += x * weights, a step of the tensor core at a time from shared memory
//
// In shared memory a row is a pixel's, or an output channel's, tile_k values.
#pragma once

#include "codegen/nvptx/conv_tile.h"
#include "codegen/nvptx/kernels.h"

namespace cardinal {

class MmaReduction {
 public:
  // Of the tile of pixels from `first_pixel` on. Emits what all reductions need, so it must stand where it
  // dominates them.
  MmaReduction(Emitter&, const GpuKernel&, const GpuConvKernel&, llvm::Value* first_pixel,
               llvm::Value* group);

  // Sends the first steps on their way, for the tile of output channels of the group from `first_channel` on.
  void start(llvm::Value* first_channel, const ReductionSteps&);
  // After that: the sums. Other copies may have been sent since. Afterwards none is on its way, and no thread
  // reads shared memory.
  Values sums(llvm::Value* first_channel, const ReductionSteps&);
  const MmaTile& tile() const { return tile_; }

  static SharedRows rows_of(const GpuConvKernel& k) {
    return {k.tile_k * dtype_bytes(k.dtype) / kVectorBytes};
  }

 private:
  int64_t group_channels() const { return s_.oc / s_.groups; }
  int64_t stage_bytes() const { return (conv_.tile_m + conv_.tile_n) * copies_.rows.bytes(); }
  void find_weights(llvm::Value* first_channel);
  void copy_step(llvm::Value* step, llvm::Value* stage);
  llvm::Value* next_stage(llvm::Value* stage);

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const ConvShape& s_;
  MmaTile tile_;
  const RowCopies copies_;
  const WindowCopies windows_;
  llvm::Value *group_, *shared_;
  Values weight_rows_;
};

}  // namespace cardinal
