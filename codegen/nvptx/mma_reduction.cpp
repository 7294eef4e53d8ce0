#include "codegen/nvptx/mma_reduction.h"

#include "passes/gpu_conv_choice.h"

namespace cardinal {

MmaReduction::MmaReduction(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv,
                           llvm::Value* first_pixel, llvm::Value* group)
    : e_(e),
      kernel_(kernel),
      conv_(conv),
      s_(conv.shape),
      x_(kernel.step.inputs[0]),
      rows_(rows_of(conv)),
      threads_(kernel.step.launch.threads),
      pixels_(s_.n * s_.oh * s_.ow),
      tile_(e, conv.dtype, conv.tile_m, conv.tile_n, conv.warps_m, conv.warps_n, rows_),
      group_(group),
      shared_(shared_memory(e)) {
  llvm::Value* thread = thread_index(e);
  copied_vector_ = e.rem(thread, rows_.vectors);
  copied_row_ = e.div(thread, rows_.vectors);
  copy_place_ = rows_.place(e, copied_row_, copied_vector_);
  for (int64_t i = 0; i < conv.tile_m; i += rows_of_pass())
    pixel_rows_.push_back(pixel_row(e.add(first_pixel, e.add(copied_row_, i)), group));
}

bool MmaReduction::always_inside() const {
  return s_.pad_top == 0 && s_.pad_left == 0 &&
         (s_.oh - 1) * s_.stride_h + (s_.kh - 1) * s_.dilation_h < s_.ih &&
         (s_.ow - 1) * s_.stride_w + (s_.kw - 1) * s_.dilation_w < s_.iw;
}

// Of a pixel beyond the last the window is far above the image.
MmaReduction::PixelRow MmaReduction::pixel_row(llvm::Value* pixel, llvm::Value* group) {
  llvm::Value *row = e_.div(pixel, s_.ow), *image = e_.div(row, s_.oh);
  llvm::Value* top = e_.sub(e_.mul(e_.rem(row, s_.oh), s_.stride_h), s_.pad_top);
  llvm::Value* left = e_.sub(e_.mul(e_.rem(pixel, s_.ow), s_.stride_w), s_.pad_left);
  llvm::Value* offset = e_.add(e_.mul(top, x_.stride_h), e_.mul(left, x_.stride_w));
  offset = e_.add(offset, e_.mul(image, x_.stride_n));
  offset = e_.add(offset, e_.mul(group, s_.ic / s_.groups));
  if (pixels_ % conv_.tile_m != 0) {
    constexpr int64_t kFarAbove = -(int64_t{1} << 28);
    top = e_.builder.CreateSelect(e_.less(pixel, pixels_), top, e_.integer(kFarAbove));
  }
  return {offset, top, left};
}

void MmaReduction::find_weights(llvm::Value* first_channel) {
  weight_rows_.clear();
  for (int64_t i = 0; i < conv_.tile_n; i += rows_of_pass()) {
    // Rows beyond the last channel are never stored.
    llvm::Value* channel = e_.min(e_.add(first_channel, e_.add(copied_row_, i)), group_channels() - 1);
    channel = e_.add(channel, e_.mul(group_, group_channels()));
    llvm::Value* offset =
        e_.add(e_.mul(channel, mma_weight_row(s_)), e_.mul(copied_vector_, vector_values()));
    weight_rows_.push_back(e_.builder.CreateGEP(element_type(e_, conv_.dtype), kernel_.weights[0], offset));
  }
}

// Copies a step's x and weights into the stage that begins at `stage`.
void MmaReduction::copy_step(llvm::Value* step, llvm::Value* stage) {
  llvm::Value* vector = e_.add(e_.mul(step, rows_.vectors), copied_vector_);
  const int64_t tap_vectors = mma_tap_channels(s_) / vector_values();
  const bool one_tap = s_.kh * s_.kw == 1;
  llvm::Value* tap = one_tap ? e_.integer(0) : e_.div(vector, tap_vectors);
  llvm::Value* channel = e_.mul(one_tap ? vector : e_.rem(vector, tap_vectors), vector_values());
  llvm::Value *ky = e_.mul(e_.div(tap, s_.kw), s_.dilation_h),
              *kx = e_.mul(e_.rem(tap, s_.kw), s_.dilation_w);
  llvm::Value* tap_offset = e_.add(e_.mul(ky, x_.stride_h), e_.mul(kx, x_.stride_w));
  tap_offset = e_.add(tap_offset, channel);
  llvm::Value* in_reduction =
      mma_reduction(s_) % conv_.tile_k == 0 ? nullptr : e_.less(vector, mma_reduction(s_) / vector_values());
  llvm::Value* place = byte_offset(e_, byte_offset(e_, shared_, stage), copy_place_);
  for (size_t i = 0; i < pixel_rows_.size(); ++i) {
    const PixelRow& row = pixel_rows_[i];
    llvm::Value* from = element(e_, x_, kernel_.inputs[0], e_.add(row.offset, tap_offset));
    copy_async(e_, pass(place, i), from, exists(row, ky, kx, in_reduction));
  }
  llvm::Value* weights = byte_offset(e_, place, conv_.tile_m * rows_.bytes());
  for (size_t i = 0; i < weight_rows_.size(); ++i) {
    llvm::Value* from =
        e_.builder.CreateGEP(element_type(e_, conv_.dtype), weight_rows_[i], e_.mul(step, conv_.tile_k));
    copy_async(e_, pass(weights, i), from);
  }
}

llvm::Value* MmaReduction::pass(llvm::Value* place, size_t i) {
  return byte_offset(e_, place, static_cast<int64_t>(i) * rows_of_pass() * rows_.bytes());
}

// Null: always.
llvm::Value* MmaReduction::exists(const PixelRow& row, llvm::Value* ky, llvm::Value* kx,
                                  llvm::Value* in_reduction) {
  llvm::Value* result = in_reduction;
  const auto require = [&](llvm::Value* condition) {
    result = result ? e_.builder.CreateAnd(result, condition) : condition;
  };
  if (!always_inside() || pixels_ % conv_.tile_m != 0)
    require(e_.builder.CreateICmpULT(e_.add(row.top, ky), e_.integer(s_.ih)));
  if (!always_inside()) require(e_.builder.CreateICmpULT(e_.add(row.left, kx), e_.integer(s_.iw)));
  return result;
}

llvm::Value* MmaReduction::next_stage(llvm::Value* stage) {
  llvm::Value* next = e_.add(stage, stage_bytes());
  llvm::Value* is_end = e_.builder.CreateICmpEQ(next, e_.integer(conv_.stages * stage_bytes()));
  return e_.builder.CreateSelect(is_end, e_.integer(0), next);
}

void MmaReduction::start(llvm::Value* first_channel, const Steps& steps) {
  find_weights(first_channel);
  for (int64_t step = 0; step + 1 < conv_.stages; ++step) {
    const auto copy = [&] { copy_step(e_.add(steps.first, step), e_.integer(step * stage_bytes())); };
    step < steps.fewest ? copy() : e_.if_then(e_.builder.CreateICmpSGT(steps.count, e_.integer(step)), copy);
    commit_copies(e_);
  }
}

Values MmaReduction::sums(llvm::Value* first_channel, const Steps& steps) {
  find_weights(first_channel);
  Values carried = tile_.zeros();
  carried.push_back(e_.integer(0));                                   // the stage that is read
  carried.push_back(e_.integer((conv_.stages - 1) * stage_bytes()));  // the one that is written
  carried = e_.for_range(
      0, steps.count, 1, carried,
      [&](llvm::Value* step, Values now) {
        llvm::Value *write = now.pop_back_val(), *read = now.pop_back_val();
        wait_for_copies(e_, conv_.stages - 2);
        synchronise(e_);
        llvm::Value* ahead = e_.add(step, conv_.stages - 1);
        e_.if_then(e_.less(ahead, steps.count), [&] { copy_step(e_.add(steps.first, ahead), write); });
        commit_copies(e_);
        llvm::Value* x = byte_offset(e_, shared_, read);
        tile_.multiply_step(x, byte_offset(e_, x, conv_.tile_m * rows_.bytes()), now);
        now.push_back(next_stage(read));
        now.push_back(next_stage(write));
        return now;
      },
      Trips::at_least_one);
  carried.pop_back_n(2);
  wait_for_copies(e_, 0);
  synchronise(e_);
  return carried;
}

VectorIndex pixel_index(Emitter& e, const ConvShape& s, llvm::Value* pixel, llvm::Value* vector) {
  llvm::Value* row = e.div(pixel, s.ow);
  return {e.div(row, s.oh), e.rem(row, s.oh), e.rem(pixel, s.ow), vector};
}

}  // namespace cardinal
