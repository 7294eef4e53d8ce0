// Convolutions without tensor cores. Taps outside the image are computed from a clamped address and replaced
// by 0, not branched around.
#include <map>

#include "codegen/nvptx/kernels.h"

namespace cardinal {

namespace {

// A row or column of x that a tap reads.
struct TapPosition {
  llvm::Value* at;      // clamped to the image
  llvm::Value* inside;  // null if it always is
};

TapPosition tap_position(Emitter& e, Index output, Index tap, int64_t stride, int64_t dilation, int64_t pad,
                         int64_t size, bool always_inside) {
  llvm::Value* position = e.sub(e.add(e.mul(output, stride), e.mul(tap, dilation)), pad);
  if (always_inside) return {position, nullptr};
  return {e.max(0, e.min(position, size - 1)), e.builder.CreateICmpULT(position, e.integer(size))};
}

bool rows_inside(const ConvShape& s) {
  return s.pad_top == 0 && (s.oh - 1) * s.stride_h + (s.kh - 1) * s.dilation_h < s.ih;
}
bool columns_inside(const ConvShape& s) {
  return s.pad_left == 0 && (s.ow - 1) * s.stride_w + (s.kw - 1) * s.dilation_w < s.iw;
}

TapPosition row_position(Emitter& e, const ConvShape& s, Index h, Index ky) {
  return tap_position(e, h, ky, s.stride_h, s.dilation_h, s.pad_top, s.ih, rows_inside(s));
}
TapPosition column_position(Emitter& e, const ConvShape& s, Index w, Index kx) {
  return tap_position(e, w, kx, s.stride_w, s.dilation_w, s.pad_left, s.iw, columns_inside(s));
}

llvm::Value* zero_outside(Emitter& e, llvm::Value* value, const TapPosition& row, const TapPosition& column) {
  for (llvm::Value* inside : {row.inside, column.inside})
    if (inside) value = e.builder.CreateSelect(inside, value, e.constant_like(value, 0.0));
  return value;
}

llvm::Value* start_value(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv, Index vector) {
  return conv.has_bias ? load_constants(e, kernel.weights[1], vector) : zero_vector(e);
}

// Channel k of the group of each of a vector's output channels.
llvm::Value* load_group_channel(Emitter& e, const GpuKernel& kernel, const ConvShape& s,
                                const VectorIndex& pixel, Index vector, llvm::Value* k) {
  const int64_t icg = s.ic / s.groups, ocg = s.oc / s.groups;
  const auto load = [&](int64_t lane) {
    llvm::Value* oc = e.min(e.add(e.mul(vector, kGpuVector), lane), s.oc - 1);
    llvm::Value* c = s.groups == 1 ? k : e.add(e.mul(e.div(oc, ocg), icg), k);
    return load_channel(e, kernel.step.inputs[0], kernel.inputs[0], pixel, c);
  };
  if (s.groups == 1 || ocg % kGpuVector == 0) return e.splat(load(0), kGpuVector);
  llvm::Value* value = zero_vector(e);
  for (int64_t lane = 0; lane < kGpuVector; ++lane)
    value = e.builder.CreateInsertElement(value, load(lane), static_cast<uint64_t>(lane));
  return value;
}

}  // namespace

void emit_gpu_conv_simt(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  const ConvShape& s = conv.shape;
  const int64_t icg = s.ic / s.groups, weight_vectors = round_up(s.oc, kChannelBlock) / kGpuVector;
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    llvm::Value* start = start_value(e, kernel, conv, at.vector);
    Values sum = e.for_range(0, s.kh, 1, {start}, [&](llvm::Value* ky, Values acc) {
      const TapPosition row = row_position(e, s, at.h, ky);
      return e.for_range(0, s.kw, 1, acc, [&](llvm::Value* kx, Values acc) {
        const TapPosition column = column_position(e, s, at.w, kx);
        llvm::Value* tap = e.add(e.mul(ky, s.kw), kx);
        return e.for_range(0, icg, 1, acc, [&](llvm::Value* k, Values acc) {
          llvm::Value* x = load_group_channel(e, kernel, s, {at.n, row.at, column.at}, at.vector, k);
          llvm::Value* weight_row = e.mul(e.add(e.mul(tap, icg), k), weight_vectors);
          llvm::Value* w = load_constants(e, kernel.weights[0], e.add(weight_row, at.vector));
          return Values{e.fma(zero_outside(e, x, row, column), w, acc[0])};
        });
      });
    });
    store_vector(e, kernel.step.output, kernel.out, at,
                 finish_vector(e, kernel, conv.epilogue, 1, at, sum[0]));
  });
}

namespace {

// Pixels [0, tile_w) of a row from `at` on, 8 channels each. Every column of x that several pixels read is
// loaded once.
Values reduce_depthwise(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv,
                        const VectorIndex& at) {
  const ConvShape& s = conv.shape;
  const int64_t weight_vectors = round_up(s.oc, kChannelBlock) / kGpuVector;
  std::map<int64_t, std::vector<std::pair<int64_t, int64_t>>> uses;  // by column: pixel and tap
  for (int64_t pixel = 0; pixel < conv.tile_w; ++pixel)
    for (int64_t kx = 0; kx < s.kw; ++kx) uses[pixel * s.stride_w + kx * s.dilation_w].push_back({pixel, kx});
  Values start(static_cast<size_t>(conv.tile_w), start_value(e, kernel, conv, at.vector));
  return e.for_range(0, s.kh, 1, start, [&](llvm::Value* ky, Values acc) {
    const TapPosition row = row_position(e, s, at.h, ky);
    Values weights;
    for (int64_t kx = 0; kx < s.kw; ++kx) {
      llvm::Value* tap = e.add(e.mul(ky, s.kw), kx);
      weights.push_back(load_constants(e, kernel.weights[0], e.add(e.mul(tap, weight_vectors), at.vector)));
    }
    for (const auto& [column, pixels] : uses) {
      llvm::Value* position = e.add(e.sub(e.mul(at.w, s.stride_w), s.pad_left), column);
      // The last pixels of a row's last thread may be beyond the row.
      const TapPosition place{e.max(0, e.min(position, s.iw - 1)),
                              e.builder.CreateICmpULT(position, e.integer(s.iw))};
      llvm::Value* x =
          load_vector(e, kernel.step.inputs[0], kernel.inputs[0], {at.n, row.at, place.at, at.vector});
      x = zero_outside(e, x, row, place);
      for (const auto& [pixel, kx] : pixels) {
        llvm::Value*& sum = acc[static_cast<size_t>(pixel)];
        sum = e.fma(x, weights[static_cast<size_t>(kx)], sum);
      }
    }
    return acc;
  });
}

}  // namespace

void emit_gpu_conv_depthwise(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  const ConvShape& s = conv.shape;
  const int64_t vectors = channel_vectors(kernel.step.output), tiles = ceil_div(s.ow, conv.tile_w);
  for_item(e, s.n * s.oh * tiles * vectors, [&](llvm::Value* item) {
    llvm::Value *tile = e.div(item, vectors), *row = e.div(tile, tiles);
    llvm::Value* first = e.mul(e.rem(tile, tiles), conv.tile_w);
    const VectorIndex at{e.div(row, s.oh), e.rem(row, s.oh), first, e.rem(item, vectors)};
    const Values sums = reduce_depthwise(e, kernel, conv, at);
    for (int64_t pixel = 0; pixel < conv.tile_w; ++pixel) {
      VectorIndex to = at;
      to.w = e.add(first, pixel);
      const auto store = [&] {
        store_vector(e, kernel.step.output, kernel.out, to,
                     finish_vector(e, kernel, conv.epilogue, 1, to, sums[static_cast<size_t>(pixel)]));
      };
      s.ow % conv.tile_w == 0 ? store() : e.if_then(e.less(to.w, s.ow), store);
    }
  });
}

}  // namespace cardinal
