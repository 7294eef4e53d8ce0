#include "codegen/nvptx/conv_tile.h"

#include "passes/gpu_conv_choice.h"

namespace cardinal {

// ---- what a thread block computes

ConvTile::ConvTile(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv)
    : e_(e), kernel_(kernel), conv_(conv), pixels_(conv.shape.n * conv.shape.oh * conv.shape.ow) {
  const int64_t tiles = ceil_div(group_channels(), conv.tile_n);
  llvm::Value* tile = thread_block(e, Axis::x);
  first_pixel = e.mul(e.div(tile, tiles), conv.tile_m);
  first_channel = e.mul(e.rem(tile, tiles), conv.tile_n);
  group = conv.shape.groups > 1 ? thread_block(e, Axis::y) : e.integer(0);
  part_ = conv.split_k > 1 ? thread_block(e, Axis::z) : e.integer(0);
  const int64_t all = ceil_div(mma_reduction(conv.shape), conv.tile_k);
  const int64_t of_part = ceil_div(all, conv.split_k);
  steps.first = e.mul(part_, of_part);
  steps.count = e.value_of(of_part);
  if (all % of_part != 0) steps.count = e.min(of_part, e.sub(all, steps.first));
  steps.fewest = all - (conv.split_k - 1) * of_part;
}

void ConvTile::finish(llvm::Value* row, llvm::Value* vector, llvm::Value* sums) const {
  llvm::Value* pixel = e_.add(first_pixel, row);
  llvm::Value* channel_vector = e_.add(e_.div(first_channel, kGpuVector), vector);
  llvm::Value* wanted = e_.less(channel_vector, group_vectors());
  if (pixels_ % conv_.tile_m != 0) wanted = e_.builder.CreateAnd(wanted, e_.less(pixel, pixels_));
  e_.if_then(wanted, [&] {
    store(pixel, e_.add(channel_vector, e_.mul(group, group_channels() / kGpuVector)), sums);
  });
}

// Those of the last group include pad lanes.
Index ConvTile::group_vectors() const {
  const ConvShape& s = conv_.shape;
  const int64_t all = channel_vectors(kernel_.step.output);
  if (s.groups == 1) return all;
  const int64_t own = group_channels() / kGpuVector, last = all - (s.groups - 1) * own;
  if (last == own) return own;
  return e_.builder.CreateSelect(e_.builder.CreateICmpEQ(group, e_.integer(s.groups - 1)), e_.integer(last),
                                 e_.integer(own));
}

void ConvTile::store(llvm::Value* pixel, llvm::Value* vector, llvm::Value* sums) const {
  llvm::Value* value = load_constants(e_, sums, 0);
  if (conv_.has_bias) value = e_.fadd(value, load_constants(e_, kernel_.weights[1], vector));
  VectorIndex at = pixel_index(e_, conv_.shape, pixel, vector);
  if (conv_.split_k > 1) at.n = e_.add(at.n, e_.mul(part_, conv_.shape.n));
  value = finish_vector(e_, kernel_, conv_.epilogue, 1, at, value);
  store_vector(e_, kernel_.step.output, kernel_.out, at, value);
}

VectorIndex pixel_index(Emitter& e, const ConvShape& s, llvm::Value* pixel, llvm::Value* vector) {
  llvm::Value* row = e.div(pixel, s.ow);
  return {e.div(row, s.oh), e.rem(row, s.oh), e.rem(pixel, s.ow), vector};
}

// ---- copies

RowCopies::RowCopies(Emitter& e, SharedRows shared_rows, llvm::Value* thread, int64_t threads)
    : rows(shared_rows),
      rows_of_pass(threads / rows.vectors),
      vector(e.rem(thread, rows.vectors)),
      row(e.div(thread, rows.vectors)),
      place(rows.place(e, row, vector)),
      e_(e) {}

llvm::Value* RowCopies::pass(llvm::Value* first, size_t i) const {
  return byte_offset(e_, first, static_cast<int64_t>(i) * rows_of_pass * rows.bytes());
}

WindowCopies::WindowCopies(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv,
                           const RowCopies& copies, llvm::Value* first_pixel, llvm::Value* group)
    : e_(e),
      kernel_(kernel),
      conv_(conv),
      s_(conv.shape),
      x_(kernel.step.inputs[0]),
      copies_(copies),
      pixels_(s_.n * s_.oh * s_.ow) {
  for (int64_t i = 0; i < conv.tile_m; i += copies.rows_of_pass)
    pixel_rows_.push_back(pixel_row(e.add(first_pixel, e.add(copies.row, i)), group));
}

bool WindowCopies::always_inside() const {
  return s_.pad_top == 0 && s_.pad_left == 0 &&
         (s_.oh - 1) * s_.stride_h + (s_.kh - 1) * s_.dilation_h < s_.ih &&
         (s_.ow - 1) * s_.stride_w + (s_.kw - 1) * s_.dilation_w < s_.iw;
}

// Of a pixel beyond the last the window is far above the image.
WindowCopies::PixelRow WindowCopies::pixel_row(llvm::Value* pixel, llvm::Value* group) const {
  llvm::Value *row = e_.div(pixel, s_.ow), *image = e_.div(row, s_.oh);
  llvm::Value* top = e_.sub(e_.mul(e_.rem(row, s_.oh), s_.stride_h), s_.pad_top);
  llvm::Value* left = e_.sub(e_.mul(e_.rem(pixel, s_.ow), s_.stride_w), s_.pad_left);
  llvm::Value* offset = e_.add(e_.mul(top, x_.stride_h), e_.mul(left, x_.stride_w));
  offset = e_.add(offset, e_.mul(image, x_.stride_n));
  offset = e_.add(offset, e_.mul(group, s_.ic / s_.groups));
  if (beyond_the_last_pixel()) {
    constexpr int64_t kFarAbove = -(int64_t{1} << 28);
    top = e_.builder.CreateSelect(e_.less(pixel, pixels_), top, e_.integer(kFarAbove));
  }
  return {offset, top, left};
}

void WindowCopies::copy(llvm::Value* step, llvm::Value* place) const {
  const int64_t vector_values = kVectorBytes / dtype_bytes(conv_.dtype);
  llvm::Value* vector = e_.add(e_.mul(step, copies_.rows.vectors), copies_.vector);
  const int64_t tap_vectors = mma_tap_channels(s_) / vector_values;
  const bool one_tap = s_.kh * s_.kw == 1;
  llvm::Value* tap = one_tap ? e_.integer(0) : e_.div(vector, tap_vectors);
  llvm::Value* channel = e_.mul(one_tap ? vector : e_.rem(vector, tap_vectors), vector_values);
  llvm::Value *ky = e_.mul(e_.div(tap, s_.kw), s_.dilation_h),
              *kx = e_.mul(e_.rem(tap, s_.kw), s_.dilation_w);
  llvm::Value* tap_offset = e_.add(e_.mul(ky, x_.stride_h), e_.mul(kx, x_.stride_w));
  tap_offset = e_.add(tap_offset, channel);
  llvm::Value* in_reduction =
      mma_reduction(s_) % conv_.tile_k == 0 ? nullptr : e_.less(vector, mma_reduction(s_) / vector_values);
  for (size_t i = 0; i < pixel_rows_.size(); ++i) {
    const PixelRow& row = pixel_rows_[i];
    llvm::Value* from = element(e_, x_, kernel_.inputs[0], e_.add(row.offset, tap_offset));
    copy_async(e_, copies_.pass(place, i), from, exists(row, ky, kx, in_reduction));
  }
}

// Null: always.
llvm::Value* WindowCopies::exists(const PixelRow& row, llvm::Value* ky, llvm::Value* kx,
                                  llvm::Value* in_reduction) const {
  llvm::Value* result = in_reduction;
  const auto require = [&](llvm::Value* condition) {
    result = result ? e_.builder.CreateAnd(result, condition) : condition;
  };
  if (!always_inside() || beyond_the_last_pixel())
    require(e_.builder.CreateICmpULT(e_.add(row.top, ky), e_.integer(s_.ih)));
  if (!always_inside()) require(e_.builder.CreateICmpULT(e_.add(row.left, kx), e_.integer(s_.iw)));
  return result;
}

}  // namespace cardinal
