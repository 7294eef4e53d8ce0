// Convolution as a matrix product on tensor cores, the reduction in steps through shared memory:
//
//   stages - 1 steps of x and weights are on their way into shared memory
//   for each step:                                             rolled
//     wait for its data; all threads are done with the step before
//     copy the step that is stages - 1 ahead over the one before
//     sums += x * weights, 16x8x16 at a time                   from shared memory
//   sums to shared memory; there, 8 channels of a pixel at a time: bias, epilogue, store
//
// In shared memory a row is a pixel's, or an output channel's, tile_k values in vectors of 8, whose order is
// changed from row to row so that the tensor core's loads meet every bank once.
#include "codegen/nvptx/kernels.h"
#include "codegen/nvptx/tensor_core.h"
#include "passes/gpu_conv_choice.h"

namespace cardinal {

namespace {

constexpr int64_t kVectorBytes = 16;

class MmaConv {
 public:
  MmaConv(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv)
      : e_(e),
        kernel_(kernel),
        conv_(conv),
        s_(conv.shape),
        x_(kernel.step.inputs[0]),
        threads_(kernel.step.launch.threads),
        row_vectors_(conv.tile_k / kGpuVector),
        row_bytes_(row_vectors_ * kVectorBytes),
        stage_bytes_((conv.tile_m + conv.tile_n) * row_bytes_),
        pixels_(s_.n * s_.oh * s_.ow),
        steps_(ceil_div(mma_reduction(s_), conv.tile_k)),
        steps_of_part_(ceil_div(steps_, conv.split_k)) {}

  void emit() {
    locate();
    prepare_copies();
    prepare_fragments();
    llvm::Value* steps = e_.value_of(steps_of_part_);
    if (steps_ % steps_of_part_ != 0) steps = e_.min(steps_of_part_, e_.sub(steps_, first_step_));
    start_copies(steps);
    const Values sums = reduce(steps);
    keep_sums(sums);
    finish();
  }

 private:
  int64_t warp_m() const { return conv_.tile_m / conv_.warps_m; }
  int64_t warp_n() const { return conv_.tile_n / conv_.warps_n; }
  int64_t tiles_m() const { return warp_m() / 16; }
  int64_t tiles_n() const { return warp_n() / 8; }
  int64_t group_channels() const { return s_.oc / s_.groups; }

  void locate() {
    const int64_t tiles = ceil_div(group_channels(), conv_.tile_n);
    llvm::Value* tile = thread_block(e_, Axis::x);
    first_pixel_ = e_.mul(e_.div(tile, tiles), conv_.tile_m);
    first_channel_ = e_.mul(e_.rem(tile, tiles), conv_.tile_n);  // within the group
    group_ = s_.groups > 1 ? thread_block(e_, Axis::y) : e_.integer(0);
    part_ = conv_.split_k > 1 ? thread_block(e_, Axis::z) : e_.integer(0);
    first_step_ = e_.mul(part_, steps_of_part_);
    thread_ = thread_index(e_);
    lane_ = e_.rem(thread_, 32);
    shared_ = shared_memory(e_);
  }

  // The place of vector `vector` of a row within the row, which is known modulo 8.
  llvm::Value* swizzled(llvm::Value* row, llvm::Value* vector) const {
    const int64_t shift = row_vectors_ == 8 ? 0 : 1;
    llvm::Value* key = e_.builder.CreateAnd(e_.builder.CreateLShr(row, shift), row_vectors_ - 1);
    return e_.builder.CreateXor(vector, key);
  }

  // ---- copies: a thread copies one vector of every rows_of_pass-th row

  int64_t rows_of_pass() const { return threads_ / row_vectors_; }

  struct PixelRow {
    llvm::Value* offset;      // of tap 0, in elements
    llvm::Value *top, *left;  // of the window
  };

  bool always_inside() const {
    return s_.pad_top == 0 && s_.pad_left == 0 &&
           (s_.oh - 1) * s_.stride_h + (s_.kh - 1) * s_.dilation_h < s_.ih &&
           (s_.ow - 1) * s_.stride_w + (s_.kw - 1) * s_.dilation_w < s_.iw;
  }

  void prepare_copies() {
    copied_vector_ = e_.rem(thread_, row_vectors_);
    llvm::Value* row = e_.div(thread_, row_vectors_);
    llvm::Value* place = e_.mul(swizzled(row, copied_vector_), kVectorBytes);
    copy_place_ = e_.add(e_.mul(row, row_bytes_), place);
    for (int64_t i = 0; i < conv_.tile_m; i += rows_of_pass())
      pixel_rows_.push_back(pixel_row(e_.add(first_pixel_, e_.add(row, i))));
    for (int64_t i = 0; i < conv_.tile_n; i += rows_of_pass()) {
      // Rows beyond the last channel are never stored.
      llvm::Value* channel = e_.min(e_.add(first_channel_, e_.add(row, i)), group_channels() - 1);
      channel = e_.add(channel, e_.mul(group_, group_channels()));
      llvm::Value* offset = e_.add(e_.mul(channel, mma_weight_row(s_)), e_.mul(copied_vector_, kGpuVector));
      weight_rows_.push_back(e_.builder.CreateGEP(element_type(e_, conv_.dtype), kernel_.weights[0], offset));
    }
  }

  // Of a pixel beyond the last the window is far above the image.
  PixelRow pixel_row(llvm::Value* pixel) {
    llvm::Value *row = e_.div(pixel, s_.ow), *image = e_.div(row, s_.oh);
    llvm::Value* top = e_.sub(e_.mul(e_.rem(row, s_.oh), s_.stride_h), s_.pad_top);
    llvm::Value* left = e_.sub(e_.mul(e_.rem(pixel, s_.ow), s_.stride_w), s_.pad_left);
    llvm::Value* offset = e_.add(e_.mul(top, x_.stride_h), e_.mul(left, x_.stride_w));
    offset = e_.add(offset, e_.mul(image, x_.stride_n));
    offset = e_.add(offset, e_.mul(group_, s_.ic / s_.groups));
    if (pixels_ % conv_.tile_m != 0) {
      constexpr int64_t kFarAbove = -(int64_t{1} << 28);
      top = e_.builder.CreateSelect(e_.less(pixel, pixels_), top, e_.integer(kFarAbove));
    }
    return {offset, top, left};
  }

  // Copies a step's x and weights into the stage that begins at `stage`.
  void copy_step(llvm::Value* step, llvm::Value* stage) {
    llvm::Value* vector = e_.add(e_.mul(step, row_vectors_), copied_vector_);
    const int64_t tap_vectors = mma_tap_channels(s_) / kGpuVector;
    const bool one_tap = s_.kh * s_.kw == 1;
    llvm::Value* tap = one_tap ? e_.integer(0) : e_.div(vector, tap_vectors);
    llvm::Value* channel = e_.mul(one_tap ? vector : e_.rem(vector, tap_vectors), kGpuVector);
    llvm::Value *ky = e_.mul(e_.div(tap, s_.kw), s_.dilation_h),
                *kx = e_.mul(e_.rem(tap, s_.kw), s_.dilation_w);
    llvm::Value* tap_offset = e_.add(e_.mul(ky, x_.stride_h), e_.mul(kx, x_.stride_w));
    tap_offset = e_.add(tap_offset, channel);
    llvm::Value* in_reduction =
        mma_reduction(s_) % conv_.tile_k == 0 ? nullptr : e_.less(vector, mma_reduction(s_) / kGpuVector);
    llvm::Value* place = byte_offset(e_, byte_offset(e_, shared_, stage), copy_place_);
    for (size_t i = 0; i < pixel_rows_.size(); ++i) {
      const PixelRow& row = pixel_rows_[i];
      llvm::Value* from = element(e_, x_, kernel_.inputs[0], e_.add(row.offset, tap_offset));
      copy_async(e_, pass(place, i), from, exists(row, ky, kx, in_reduction));
    }
    llvm::Value* weights = byte_offset(e_, place, conv_.tile_m * row_bytes_);
    for (size_t i = 0; i < weight_rows_.size(); ++i) {
      llvm::Value* from =
          e_.builder.CreateGEP(element_type(e_, conv_.dtype), weight_rows_[i], e_.mul(step, conv_.tile_k));
      copy_async(e_, pass(weights, i), from);
    }
  }

  llvm::Value* pass(llvm::Value* place, size_t i) {
    return byte_offset(e_, place, static_cast<int64_t>(i) * rows_of_pass() * row_bytes_);
  }

  // Null: always.
  llvm::Value* exists(const PixelRow& row, llvm::Value* ky, llvm::Value* kx, llvm::Value* in_reduction) {
    llvm::Value* result = in_reduction;
    const auto require = [&](llvm::Value* condition) {
      result = result ? e_.builder.CreateAnd(result, condition) : condition;
    };
    if (!always_inside() || pixels_ % conv_.tile_m != 0)
      require(e_.builder.CreateICmpULT(e_.add(row.top, ky), e_.integer(s_.ih)));
    if (!always_inside()) require(e_.builder.CreateICmpULT(e_.add(row.left, kx), e_.integer(s_.iw)));
    return result;
  }

  void start_copies(llvm::Value* steps) {
    for (int64_t step = 0; step + 1 < conv_.stages; ++step) {
      const auto copy = [&] { copy_step(e_.add(first_step_, step), e_.integer(step * stage_bytes_)); };
      const int64_t fewest = steps_ - (conv_.split_k - 1) * steps_of_part_;
      step < fewest ? copy() : e_.if_then(e_.builder.CreateICmpSGT(steps, e_.integer(step)), copy);
      commit_copies(e_);
    }
  }

  // ---- fragments

  void prepare_fragments() {
    llvm::Value* warp = e_.div(thread_, 32);
    warp_row_ = e_.mul(e_.rem(warp, conv_.warps_m), warp_m());
    warp_column_ = e_.mul(e_.div(warp, conv_.warps_m), warp_n());
    // Matrices of x: rows 0-7 and 8-15 of the first half of the step's 16 values, then of the second. Those
    // of weights: both halves of output channels 0-7, then of 8-15.
    llvm::IRBuilder<>& b = e_.builder;
    llvm::Value* bit3 = b.CreateAnd(b.CreateLShr(lane_, 3), 1);
    llvm::Value* bit4 = b.CreateLShr(lane_, 4);
    llvm::Value* x_row = b.CreateAnd(lane_, 15);
    llvm::Value* w_row = e_.add(b.CreateAnd(lane_, 7), e_.mul(bit4, 8));
    for (int64_t k = 0; k < row_vectors_; k += 2) {
      x_places_.push_back(fragment_place(x_row, warp_row_, e_.add(bit4, k)));
      w_places_.push_back(fragment_place(w_row, warp_column_, e_.add(bit3, k)));
    }
  }

  llvm::Value* fragment_place(llvm::Value* row, llvm::Value* warp_first, llvm::Value* vector) {
    llvm::Value* in_row = e_.mul(swizzled(row, vector), kVectorBytes);
    return e_.add(e_.mul(e_.add(warp_first, row), row_bytes_), in_row);
  }

  // One step from the stage that begins at `stage`.
  void multiply_step(llvm::Value* stage, Values& sums) {
    llvm::Value* x = byte_offset(e_, shared_, stage);
    llvm::Value* w = byte_offset(e_, x, conv_.tile_m * row_bytes_);
    for (size_t k = 0; k < x_places_.size(); ++k) {
      std::vector<Values> a, b;
      for (int64_t i = 0; i < tiles_m(); ++i)
        a.push_back(
            load_matrices(e_, byte_offset(e_, byte_offset(e_, x, x_places_[k]), i * 16 * row_bytes_)));
      for (int64_t j = 0; j < tiles_n(); j += 2)
        b.push_back(load_matrices(e_, byte_offset(e_, byte_offset(e_, w, w_places_[k]), j * 8 * row_bytes_)));
      for (int64_t i = 0; i < tiles_m(); ++i)
        for (int64_t j = 0; j < tiles_n(); ++j) {
          const auto weights = llvm::ArrayRef(b[static_cast<size_t>(j / 2)]).slice(j % 2 ? 2 : 0, 2);
          multiply_tile(e_, conv_.dtype, a[static_cast<size_t>(i)], weights, tile_sums(sums, i, j));
        }
    }
  }

  llvm::MutableArrayRef<llvm::Value*> tile_sums(Values& sums, int64_t i, int64_t j) const {
    return llvm::MutableArrayRef<llvm::Value*>(sums).slice(
        static_cast<size_t>((i * tiles_n() + j) * kSumsOfTile), kSumsOfTile);
  }

  llvm::Value* next_stage(llvm::Value* stage) {
    llvm::Value* next = e_.add(stage, stage_bytes_);
    llvm::Value* is_end = e_.builder.CreateICmpEQ(next, e_.integer(conv_.stages * stage_bytes_));
    return e_.builder.CreateSelect(is_end, e_.integer(0), next);
  }

  Values reduce(llvm::Value* steps) {
    const auto count = static_cast<size_t>(tiles_m() * tiles_n() * kSumsOfTile);
    Values carried(count, llvm::ConstantFP::get(e_.f32, 0));
    carried.push_back(e_.integer(0));                                  // the stage that is read
    carried.push_back(e_.integer((conv_.stages - 1) * stage_bytes_));  // the one that is written
    carried = e_.for_range(
        0, steps, 1, carried,
        [&](llvm::Value* step, Values now) {
          llvm::Value *write = now.pop_back_val(), *read = now.pop_back_val();
          wait_for_copies(e_, conv_.stages - 2);
          synchronise(e_);
          llvm::Value* ahead = e_.add(step, conv_.stages - 1);
          e_.if_then(e_.less(ahead, steps), [&] { copy_step(e_.add(first_step_, ahead), write); });
          commit_copies(e_);
          multiply_step(read, now);
          now.push_back(next_stage(read));
          now.push_back(next_stage(write));
          return now;
        },
        Trips::at_least_one);
    carried.pop_back_n(2);
    return carried;
  }

  // ---- results

  int64_t sums_row_bytes() const { return (conv_.tile_n + kMmaSumsPad) * int64_t{sizeof(float)}; }

  void keep_sums(Values sums) {
    wait_for_copies(e_, 0);
    synchronise(e_);
    llvm::IRBuilder<>& b = e_.builder;
    llvm::Value* row = e_.add(warp_row_, e_.div(lane_, 4));
    llvm::Value* column = e_.add(warp_column_, e_.mul(e_.rem(lane_, 4), 2));
    llvm::Value* place = byte_offset(e_, shared_, e_.add(e_.mul(row, sums_row_bytes()), e_.mul(column, 4)));
    auto* pair = llvm::FixedVectorType::get(e_.f32, 2);
    for (int64_t i = 0; i < tiles_m(); ++i)
      for (int64_t j = 0; j < tiles_n(); ++j)
        for (int64_t half = 0; half < 2; ++half) {
          const auto tile = tile_sums(sums, i, j).slice(static_cast<size_t>(2 * half), 2);
          llvm::Value* value = b.CreateInsertElement(llvm::PoisonValue::get(pair), tile[0], uint64_t{0});
          value = b.CreateInsertElement(value, tile[1], uint64_t{1});
          llvm::Value* to = byte_offset(e_, place, (i * 16 + half * 8) * sums_row_bytes() + j * 32);
          b.CreateAlignedStore(value, to, llvm::Align(8));
        }
    synchronise(e_);
  }

  void finish() {
    const int64_t vectors = conv_.tile_n / kGpuVector;
    e_.for_range(thread_, conv_.tile_m * vectors, threads_, [&](llvm::Value* i) {
      llvm::Value *row = e_.div(i, vectors), *vector = e_.rem(i, vectors);
      llvm::Value* pixel = e_.add(first_pixel_, row);
      llvm::Value* channel_vector = e_.add(e_.div(first_channel_, kGpuVector), vector);
      llvm::Value* wanted = e_.less(channel_vector, group_vectors());
      if (pixels_ % conv_.tile_m != 0) wanted = e_.builder.CreateAnd(wanted, e_.less(pixel, pixels_));
      e_.if_then(wanted, [&] {
        llvm::Value* from =
            byte_offset(e_, shared_, e_.add(e_.mul(row, sums_row_bytes()), e_.mul(vector, 32)));
        store(pixel, e_.add(channel_vector, e_.mul(group_, group_channels() / kGpuVector)), from);
      });
    });
  }

  // Those of the last group include pad lanes.
  Index group_vectors() {
    const int64_t all = channel_vectors(kernel_.step.output);
    if (s_.groups == 1) return all;
    const int64_t own = group_channels() / kGpuVector, last = all - (s_.groups - 1) * own;
    if (last == own) return own;
    return e_.builder.CreateSelect(e_.builder.CreateICmpEQ(group_, e_.integer(s_.groups - 1)),
                                   e_.integer(last), e_.integer(own));
  }

  void store(llvm::Value* pixel, llvm::Value* vector, llvm::Value* sums) {
    llvm::Value* value = e_.builder.CreateAlignedLoad(zero_vector(e_)->getType(), sums, llvm::Align(32));
    if (conv_.has_bias) value = e_.fadd(value, load_constants(e_, kernel_.weights[1], vector));
    llvm::Value* row = e_.div(pixel, s_.ow);
    VectorIndex at{e_.div(row, s_.oh), e_.rem(row, s_.oh), e_.rem(pixel, s_.ow), vector};
    if (conv_.split_k > 1) at.n = e_.add(at.n, e_.mul(part_, s_.n));
    value = finish_vector(e_, kernel_, conv_.epilogue, 1, at, value);
    store_vector(e_, kernel_.step.output, kernel_.out, at, value);
  }

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const ConvShape& s_;
  const View& x_;
  const int64_t threads_, row_vectors_, row_bytes_, stage_bytes_, pixels_, steps_, steps_of_part_;
  llvm::Value *first_pixel_, *first_channel_, *group_, *part_, *first_step_, *thread_, *lane_, *shared_;
  llvm::Value *copied_vector_, *copy_place_;
  std::vector<PixelRow> pixel_rows_;
  Values weight_rows_;
  llvm::Value *warp_row_, *warp_column_;
  Values x_places_, w_places_;  // of fragments, by 16 values of a step
};

}  // namespace

void emit_gpu_conv_mma(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  MmaConv(e, kernel, conv).emit();
}

}  // namespace cardinal
