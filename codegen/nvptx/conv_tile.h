// A convolution as a product of matrices, whichever instruction multiplies them: a thread block computes a
// tile of pixels x output channels over a part of the reduction, whose steps' x it copies into shared memory.
// There a row is a pixel's tile_k values.
#pragma once

#include "codegen/nvptx/mma_tile.h"

namespace cardinal {

// Steps [first, first + count), of which there are `fewest` at least.
struct ReductionSteps {
  llvm::Value *first, *count;
  int64_t fewest;
};

// What this thread block computes.
class ConvTile {
 public:
  ConvTile(Emitter&, const GpuKernel&, const GpuConvKernel&);

  // Bias, epilogue and store of vector `vector` of the tile's row `row`, whose sums are at an address. Does
  // nothing where the pixel or the channels do not exist.
  void finish(llvm::Value* row, llvm::Value* vector, llvm::Value* sums) const;

  llvm::Value *first_pixel, *first_channel, *group;  // the channel within the group
  ReductionSteps steps;

 private:
  int64_t group_channels() const { return conv_.shape.oc / conv_.shape.groups; }
  Index group_vectors() const;
  void store(llvm::Value* pixel, llvm::Value* vector, llvm::Value* sums) const;

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const int64_t pixels_;
  llvm::Value* part_;
};

// Where a pixel, counted over all images, is.
VectorIndex pixel_index(Emitter&, const ConvShape&, llvm::Value* pixel, llvm::Value* vector);

// How threads share copies of rows into shared memory: each copies one vector of every `rows_of_pass`-th row.
class RowCopies {
 public:
  RowCopies(Emitter&, SharedRows, llvm::Value* thread, int64_t threads);
  // From where this thread's first vector goes on, where its vector of pass i goes.
  llvm::Value* pass(llvm::Value* first, size_t i) const;

  const SharedRows rows;
  const int64_t rows_of_pass;
  llvm::Value *vector, *row, *place;  // of the first pass; the place in bytes from row 0

 private:
  Emitter& e_;
};

// Copies of x, for the tile of pixels from `first_pixel` on.
class WindowCopies {
 public:
  // Emits what all steps need, so it must stand where it dominates them.
  WindowCopies(Emitter&, const GpuKernel&, const GpuConvKernel&, const RowCopies&, llvm::Value* first_pixel,
               llvm::Value* group);
  // Sends a step's vectors of this thread on their way, the first of them to `place`; zeros where the window
  // is outside the image or the reduction is over.
  void copy(llvm::Value* step, llvm::Value* place) const;

 private:
  struct PixelRow {
    llvm::Value* offset;      // of tap 0, in elements
    llvm::Value *top, *left;  // of the window
  };

  bool always_inside() const;
  bool beyond_the_last_pixel() const { return pixels_ % conv_.tile_m != 0; }
  PixelRow pixel_row(llvm::Value* pixel, llvm::Value* group) const;
  llvm::Value* exists(const PixelRow&, llvm::Value* ky, llvm::Value* kx, llvm::Value* in_reduction) const;

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const ConvShape& s_;
  const View& x_;
  const RowCopies& copies_;
  const int64_t pixels_;
  std::vector<PixelRow> pixel_rows_;
};

}  // namespace cardinal
