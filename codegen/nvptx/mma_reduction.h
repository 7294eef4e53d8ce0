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

#include "codegen/nvptx/kernels.h"
#include "codegen/nvptx/mma_tile.h"

namespace cardinal {

class MmaReduction {
 public:
  // Of the tile of pixels from `first_pixel` on. Emits what all reductions need, so it must stand where it
  // dominates them.
  MmaReduction(Emitter&, const GpuKernel&, const GpuConvKernel&, llvm::Value* first_pixel,
               llvm::Value* group);

  // Steps [first, first + count), of which there are `fewest` at least.
  struct Steps {
    llvm::Value *first, *count;
    int64_t fewest;
  };
  // Sends the first steps on their way, for the tile of output channels of the group from `first_channel` on.
  void start(llvm::Value* first_channel, const Steps&);
  // After that: the sums. Other copies may have been sent since. Afterwards none is on its way, and no thread
  // reads shared memory.
  Values sums(llvm::Value* first_channel, const Steps&);
  const MmaTile& tile() const { return tile_; }

  static SharedRows rows_of(const GpuConvKernel& k) {
    return {k.tile_k * dtype_bytes(k.dtype) / kVectorBytes};
  }

 private:
  struct PixelRow {
    llvm::Value* offset;      // of tap 0, in elements
    llvm::Value *top, *left;  // of the window
  };

  int64_t group_channels() const { return s_.oc / s_.groups; }
  int64_t vector_values() const { return kVectorBytes / dtype_bytes(conv_.dtype); }
  int64_t rows_of_pass() const {
    return threads_ / rows_.vectors;
  }  // a thread copies one vector of each pass
  int64_t stage_bytes() const { return (conv_.tile_m + conv_.tile_n) * rows_.bytes(); }
  bool always_inside() const;
  PixelRow pixel_row(llvm::Value* pixel, llvm::Value* group);
  void find_weights(llvm::Value* first_channel);
  void copy_step(llvm::Value* step, llvm::Value* stage);
  llvm::Value* exists(const PixelRow& row, llvm::Value* ky, llvm::Value* kx, llvm::Value* in_reduction);
  llvm::Value* pass(llvm::Value* place, size_t i);
  llvm::Value* next_stage(llvm::Value* stage);

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const ConvShape& s_;
  const View& x_;
  const SharedRows rows_;
  const int64_t threads_, pixels_;
  MmaTile tile_;
  llvm::Value *group_, *shared_, *copied_row_, *copied_vector_, *copy_place_;
  std::vector<PixelRow> pixel_rows_;
  Values weight_rows_;
};

// Where a pixel, counted over all images, is.
VectorIndex pixel_index(Emitter&, const ConvShape&, llvm::Value* pixel, llvm::Value* vector);

}  // namespace cardinal
