// Convolutions with few input channels for each output channel: grouped ones, and those of images. What a
// thread block reads of x is in shared memory once; the tensor core's loads gather each tap's pixels from it.
//
//   copy the patch
//   for each window of input channels, or a part of its output channels:   rolled
//     for each two units of 8 values:                        unrolled
//       sums[pixels][output channels] += patch * weights     weights straight from global memory
//     bias, epilogue, store
#include "codegen/nvptx/kernels.h"
#include "codegen/nvptx/tensor_core.h"
#include "passes/gpu_conv_choice.h"

namespace cardinal {

namespace {

constexpr int64_t kThreads = 128, kWarpPixels = 32;
// Tiles of 8 output channels whose sums are in registers at a time: 32 sums in each thread. ptxas moves loads
// ahead as far as the loop and the registers allow; with more sums, or without a loop, it then spills.
constexpr int64_t kMostTiles = 4;

class PatchConv {
 public:
  PatchConv(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv)
      : e_(e),
        kernel_(kernel),
        conv_(conv),
        s_(conv.shape),
        x_(kernel.step.inputs[0]),
        patch_(make_patch(conv)),
        sharing_(patch_sharing_tiles(conv)) {}

  void emit() {
    locate();
    fill_patch();
    prepare_rows();
    const int64_t tiles = tiles_at_a_time();
    e_.for_range(0, conv_.tile_n / 8 / tiles, 1, [&](llvm::Value* part) {
      llvm::Value* first = e_.mul(part, tiles);
      const Values sums = reduce(e_.div(first, sharing_), first, tiles);
      for (int64_t tile = 0; tile < tiles; ++tile)
        finish(e_.add(first, tile),
               llvm::ArrayRef(sums).slice(static_cast<size_t>(tile * 2 * kSumsOfTile), 2 * kSumsOfTile));
    });
  }

 private:
  // All that share a window, or an even part of them.
  int64_t tiles_at_a_time() const {
    int64_t tiles = std::min(kMostTiles, sharing_);
    while (sharing_ % tiles != 0) --tiles;
    return tiles;
  }

  void locate() {
    const int64_t rows = ceil_div(s_.oh, conv_.tile_h), columns = ceil_div(s_.ow, conv_.tile_w);
    llvm::Value *tile = thread_block(e_, Axis::x), *row = e_.div(tile, columns);
    first_w_ = e_.mul(e_.rem(tile, columns), conv_.tile_w);
    first_h_ = e_.mul(e_.rem(row, rows), conv_.tile_h);
    image_ = e_.div(row, rows);
    first_tile_ = e_.mul(thread_block(e_, Axis::y), conv_.tile_n / 8);
    thread_ = thread_index(e_);
    lane_ = e_.rem(thread_, 32);
    shared_ = shared_memory(e_);
  }

  // ---- the patch

  bool copies_as_is() const {
    return conv_.patch_channels % 8 == 0 && x_.dtype == conv_.dtype && dense_vectors(x_) &&
           vector_alignment(x_) == 16;
  }

  void fill_patch() {
    const int64_t vectors = ceil_div(conv_.patch_channels, 8), pixels = patch_.rows * patch_.columns;
    llvm::Value* first_vector = e_.mul(thread_block(e_, Axis::y), vectors);
    e_.for_range(thread_, pixels * vectors, kThreads, [&](llvm::Value* i) {
      llvm::Value *pixel = e_.div(i, vectors), *vector = e_.rem(i, vectors);
      llvm::Value *row = e_.div(pixel, patch_.columns), *column = e_.rem(pixel, patch_.columns);
      llvm::Value* place = e_.add(e_.mul(row, patch_.row_bytes), e_.mul(column, patch_.pixel_bytes));
      llvm::Value* to = byte_offset(e_, shared_, e_.add(place, e_.mul(vector, 16)));
      llvm::Value* h = e_.add(e_.sub(e_.mul(first_h_, s_.stride_h), s_.pad_top), row);
      llvm::Value* w = e_.add(e_.sub(e_.mul(first_w_, s_.stride_w), s_.pad_left), column);
      llvm::Value* inside = e_.builder.CreateAnd(e_.builder.CreateICmpULT(h, e_.integer(s_.ih)),
                                                 e_.builder.CreateICmpULT(w, e_.integer(s_.iw)));
      const VectorIndex at{image_, e_.max(0, e_.min(h, s_.ih - 1)), e_.max(0, e_.min(w, s_.iw - 1)),
                           e_.add(first_vector, vector)};
      if (copies_as_is())
        copy_async(e_, to, vector_address(e_, x_, kernel_.inputs[0], at), inside);
      else
        convert(at, inside, to);
    });
    commit_copies(e_);
    wait_for_copies(e_, 0);
    synchronise(e_);
  }

  // Channels that x does not have are 0: their weights are, too, and infinities would make NaNs of them.
  void convert(const VectorIndex& at, llvm::Value* inside, llvm::Value* to) {
    llvm::Value* value = load_vector(e_, x_, kernel_.inputs[0], at);
    value = e_.builder.CreateSelect(inside, value, zero_vector(e_));
    llvm::SmallVector<int, 8> lanes;
    const int count = static_cast<int>(std::min<int64_t>(8, conv_.patch_channels));
    for (int lane = 0; lane < count; ++lane) lanes.push_back(s_.groups > 1 || lane < s_.ic ? lane : 8);
    value = e_.builder.CreateShuffleVector(value, zero_vector(e_), lanes);
    value = e_.builder.CreateFPTrunc(
        value, llvm::FixedVectorType::get(element_type(e_, conv_.dtype), static_cast<unsigned>(count)));
    e_.builder.CreateAlignedStore(value, to, llvm::Align(static_cast<uint64_t>(2 * count)));
  }

  // ---- products

  // Where in the patch the windows of this lane's two rows of pixels begin. Rows beyond the tile read its
  // first pixel.
  void prepare_rows() {
    first_row_ = e_.mul(e_.div(thread_, 32), kWarpPixels);
    for (int64_t i = 0; i < 2; ++i) {
      llvm::Value* row = e_.add(first_row_, e_.add(e_.builder.CreateAnd(lane_, 15), i * 16));
      row = e_.builder.CreateSelect(e_.less(row, conv_.tile_h * conv_.tile_w), row, e_.integer(0));
      llvm::Value* place = e_.add(e_.mul(e_.div(row, conv_.tile_w), s_.stride_h * patch_.row_bytes),
                                  e_.mul(e_.rem(row, conv_.tile_w), s_.stride_w * patch_.pixel_bytes));
      rows_.push_back(byte_offset(e_, shared_, place));
    }
    second_half_ = e_.builder.CreateICmpUGE(lane_, e_.integer(16));
  }

  // Of `tiles` tiles of 8 output channels, `first` and those after it, which are the window's.
  Values reduce(llvm::Value* window, llvm::Value* first, int64_t tiles) {
    Values sums(static_cast<size_t>(tiles * 2 * kSumsOfTile), llvm::ConstantFP::get(e_.f32, 0));
    llvm::Value* window_bytes = e_.mul(window, conv_.window * 2);
    for (int64_t step = 0; step < patch_.steps(); ++step) {
      const auto unit = [&](int64_t i) {
        return e_.integer(patch_.unit_offset(s_, static_cast<size_t>(2 * step + i)));
      };
      llvm::Value* place = e_.builder.CreateSelect(second_half_, unit(1), unit(0));
      place = e_.add(place, window_bytes);
      std::vector<Values> pixels;
      for (llvm::Value* row : rows_) pixels.push_back(load_matrices(e_, byte_offset(e_, row, place)));
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const Values weights = load_weights(e_.add(first, tile), step);
        for (size_t i = 0; i < pixels.size(); ++i)
          multiply_tile(e_, conv_.dtype, pixels[i], weights,
                        llvm::MutableArrayRef<llvm::Value*>(sums).slice(
                            static_cast<size_t>(tile * 2 * kSumsOfTile) + i * kSumsOfTile, kSumsOfTile));
      }
    }
    return sums;
  }

  Values load_weights(llvm::Value* tile, int64_t step) {
    constexpr int64_t kLaneValues = 4, kStepValues = 32 * kLaneValues;
    llvm::Value* offset = e_.mul(e_.add(first_tile_, tile), patch_.steps() * kStepValues);
    offset = e_.add(offset, e_.mul(lane_, kLaneValues));
    llvm::Value* address = e_.builder.CreateGEP(element_type(e_, conv_.dtype), kernel_.weights[0], offset);
    address = byte_offset(e_, address, step * kStepValues * 2);
    auto* type = llvm::FixedVectorType::get(e_.builder.getInt32Ty(), 2);
    llvm::Value* value = e_.builder.CreateAlignedLoad(type, address, llvm::Align(8));
    return {e_.builder.CreateExtractElement(value, uint64_t{0}),
            e_.builder.CreateExtractElement(value, uint64_t{1})};
  }

  // ---- results

  // Of a warp's 32 pixels a lane has two channels of pixels lane / 4 + 8 * i, i from 0 to 3; the four lanes
  // with these pixels exchange them, so that each gets all 8 channels of pixel lane / 4 + 8 * (lane % 4).
  llvm::Value* own_pixel(llvm::ArrayRef<llvm::Value*> sums) {
    llvm::IRBuilder<>& b = e_.builder;
    const auto bit = [&](int64_t mask) { return b.CreateICmpNE(b.CreateAnd(lane_, mask), e_.integer(0)); };
    llvm::Value *odd = bit(1), *high = bit(2);
    // first[i][j]: of pixel 2 * i + lane % 2, what lanes j of the pair had.
    llvm::Value* first[2][2][2];
    for (size_t i = 0; i < 2; ++i)
      for (size_t c = 0; c < 2; ++c) {
        llvm::Value *even_pixel = sums[4 * i + c], *odd_pixel = sums[4 * i + 2 + c];
        llvm::Value* received = exchange(e_, b.CreateSelect(odd, even_pixel, odd_pixel), 1);
        first[i][0][c] = b.CreateSelect(odd, received, even_pixel);
        first[i][1][c] = b.CreateSelect(odd, odd_pixel, received);
      }
    llvm::Value* value = zero_vector(e_);
    for (uint64_t j = 0; j < 2; ++j)
      for (uint64_t c = 0; c < 2; ++c) {
        llvm::Value *low_pixel = first[0][j][c], *high_pixel = first[1][j][c];
        llvm::Value* received = exchange(e_, b.CreateSelect(high, low_pixel, high_pixel), 2);
        value = b.CreateInsertElement(value, b.CreateSelect(high, received, low_pixel), 2 * j + c);
        value = b.CreateInsertElement(value, b.CreateSelect(high, high_pixel, received), 4 + 2 * j + c);
      }
    return value;
  }

  void finish(llvm::Value* tile, llvm::ArrayRef<llvm::Value*> sums) {
    llvm::Value* value = own_pixel(sums);
    llvm::Value* row = e_.add(first_row_, e_.add(e_.div(lane_, 4), e_.mul(e_.rem(lane_, 4), 8)));
    llvm::Value* h = e_.add(first_h_, e_.div(row, conv_.tile_w));
    llvm::Value* w = e_.add(first_w_, e_.rem(row, conv_.tile_w));
    llvm::Value* exists = e_.builder.CreateAnd(e_.less(h, s_.oh), e_.less(w, s_.ow));
    exists = e_.builder.CreateAnd(exists, e_.less(row, conv_.tile_h * conv_.tile_w));
    e_.if_then(exists, [&] {
      VectorIndex at{image_, h, w, e_.add(first_tile_, tile)};
      if (conv_.has_bias) value = e_.fadd(value, load_constants(e_, kernel_.weights[1], at.vector));
      const View& out = kernel_.step.output;
      store_vector(e_, out, kernel_.out, at, finish_vector(e_, kernel_, conv_.epilogue, 1, at, value));
      const int64_t vectors = s_.oc / kGpuVector;
      if (channel_vectors(out) == vectors) return;
      e_.if_then(e_.builder.CreateICmpEQ(at.vector.value(), e_.integer(vectors - 1)), [&] {
        store_vector(e_, out, kernel_.out, {image_, h, w, vectors}, zero_vector(e_));  // the pad lanes
      });
    });
  }

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const ConvShape& s_;
  const View& x_;
  const Patch patch_;
  const int64_t sharing_;  // tiles of 8 output channels with one window
  llvm::Value *first_h_, *first_w_, *image_, *first_tile_, *thread_, *lane_, *shared_, *first_row_,
      *second_half_;
  Values rows_;
};

}  // namespace

void emit_gpu_conv_patch(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  PatchConv(e, kernel, conv).emit();
}

}  // namespace cardinal
