// Copies between views.
//
// A unit is a channel of an image. Whole blocks of 16 channels are moved pixel by pixel as vectors, 16 pixels
// at a time through a transpose in registers where one side keeps a pixel's channels together and the other a
// channel's pixels. Channels of a block that is only partly in the range are moved one by one.
#include <algorithm>

#include "codegen/cpu/kernels.h"

namespace cardinal {

namespace {

struct Copy {
  View in, out;
  llvm::Value *in_base, *out_base;
  int64_t zero_lanes;

  bool same_shape() const { return in.shape == out.shape; }
  // Rows follow each other in both views, so that the image is one long row.
  bool contiguous() const {
    const int64_t width = in.shape.w();
    return same_shape() && in.stride_h == width * in.stride_w && out.stride_h == width * out.stride_w;
  }
};

bool dense_rows(const View& view) { return view.stride_w == 1; }

// Channel c of image n, as the address of its first pixel.
llvm::Value* channel_address(Emitter& e, const View& view, llvm::Value* base, llvm::Value* n,
                             llvm::Value* c) {
  if (view.first_channel != 0) c = e.add(c, view.first_channel);
  llvm::Value* start = block_address(e, view, base, {n, e.div(c, kChannelBlock)});
  return e.element(start, e.mul(e.rem(c, kChannelBlock), view.stride_c));
}

// ---- one channel

// Address of the i-th element, in N, C, H, W order, of image n.
llvm::Value* flat_address(Emitter& e, const View& view, llvm::Value* base, llvm::Value* n, llvm::Value* i) {
  const int64_t width = view.shape.w(), height = view.shape.h();
  llvm::Value* row = e.div(i, width);
  llvm::Value* channel = channel_address(e, view, base, n, e.div(row, height));
  return e.element(channel,
                   e.add(e.mul(e.rem(row, height), view.stride_h), e.mul(e.rem(i, width), view.stride_w)));
}

// Where each pixel of the channel goes is computed from its place in N, C, H, W order.
void copy_channel_reshaped(Emitter& e, const Copy& copy, llvm::Value* n, llvm::Value* c) {
  const int64_t pixels = copy.in.shape.h() * copy.in.shape.w();
  e.for_range(0, pixels, 1, [&](llvm::Value* pixel) {
    llvm::Value* i = e.add(e.mul(c, pixels), pixel);
    e.store_scalar(e.load_scalar(flat_address(e, copy.in, copy.in_base, n, i)),
                   flat_address(e, copy.out, copy.out_base, n, i));
  });
}

void copy_row(Emitter& e, const Copy& copy, llvm::Value* from, llvm::Value* to, int64_t pixels) {
  const bool vectors = dense_rows(copy.in) && dense_rows(copy.out);
  const int64_t vector_end = vectors ? pixels - pixels % kChannelBlock : 0;
  e.for_range(0, vector_end, kChannelBlock, [&](llvm::Value* w) {
    e.store_block(e.load_block(e.element(from, w), sizeof(float)), e.element(to, w), sizeof(float));
  });
  e.for_range(vector_end, pixels, 1, [&](llvm::Value* w) {
    e.store_scalar(e.load_scalar(e.element(from, e.mul(w, copy.in.stride_w))),
                   e.element(to, e.mul(w, copy.out.stride_w)));
  });
}

void copy_channel(Emitter& e, const Copy& copy, llvm::Value* n, llvm::Value* c) {
  if (!copy.same_shape()) return copy_channel_reshaped(e, copy, n, c);
  llvm::Value* from = channel_address(e, copy.in, copy.in_base, n, c);
  llvm::Value* to = channel_address(e, copy.out, copy.out_base, n, c);
  const int64_t height = copy.in.shape.h(), width = copy.in.shape.w();
  if (copy.contiguous()) return copy_row(e, copy, from, to, height * width);
  e.for_range(0, height, 1, [&](llvm::Value* h) {
    copy_row(e, copy, e.element(from, e.mul(h, copy.in.stride_h)), e.element(to, e.mul(h, copy.out.stride_h)),
             width);
  });
}

// Clears the lanes after the last channel, in every pixel.
void clear_lanes(Emitter& e, const View& view, llvm::Value* base, llvm::Value* n, int64_t lanes) {
  llvm::Value* last = channel_address(e, view, base, n, e.integer(view.shape.c() - 1));
  llvm::Value* zero = llvm::ConstantFP::get(e.f32, 0);
  e.for_range(0, view.shape.h(), 1, [&](llvm::Value* h) {
    e.for_range(0, view.shape.w(), 1, [&](llvm::Value* w) {
      llvm::Value* pixel = e.element(last, e.add(e.mul(h, view.stride_h), e.mul(w, view.stride_w)));
      e.for_range(1, lanes + 1, 1, [&](llvm::Value* lane) {
        e.store_scalar(zero, e.element(pixel, e.mul(lane, view.stride_c)));
      });
    });
  });
}

// Channels [begin, end) of image n one by one, and what the last of all channels brings along.
void copy_channels(Emitter& e, const Copy& copy, llvm::Value* n, Index begin, Index end) {
  e.for_range(begin, end, 1, [&](llvm::Value* c) { copy_channel(e, copy, n, c); });
  if (copy.zero_lanes > 0)
    e.if_then(e.builder.CreateICmpEQ(e.value_of(end), e.integer(copy.in.shape.c())),
              [&] { clear_lanes(e, copy.out, copy.out_base, n, copy.zero_lanes); });
}

// ---- a whole block of channels

// rows[i][j] -> rows[j][i] of 16 vectors: exchanges the off-diagonal squares of 1, 2, 4 and 8 lanes.
void transpose(Emitter& e, Values& rows) {
  for (int size = 1; size < kChannelBlock; size *= 2) {
    llvm::SmallVector<int, kChannelBlock> upper, lower;
    for (int lane = 0; lane < kChannelBlock; ++lane) {
      const bool second = lane & size;
      upper.push_back(second ? kChannelBlock + lane - size : lane);
      lower.push_back(second ? kChannelBlock + lane : lane + size);
    }
    for (int row = 0; row < kChannelBlock; ++row) {
      if (row & size) continue;
      llvm::Value *a = rows[row], *b = rows[row + size];
      rows[row] = e.builder.CreateShuffleVector(a, b, upper);
      rows[row + size] = e.builder.CreateShuffleVector(a, b, lower);
    }
  }
}

// 16 pixels that follow each other; one side has dense rows, the other vector channels.
void copy_tile(Emitter& e, const Copy& copy, llvm::Value* from, llvm::Value* to, int load_lanes,
               int store_lanes) {
  Values rows;
  const bool from_rows = !copy.in.vector_channels();
  for (int i = 0; i < kChannelBlock; ++i) {
    if (!from_rows)
      rows.push_back(e.load_block(copy.in, e.element(from, i * copy.in.stride_w), load_lanes));
    else
      rows.push_back(i < load_lanes ? e.load_block(e.element(from, i * copy.in.stride_c), sizeof(float))
                                    : e.splat(0.0));
  }
  transpose(e, rows);
  for (int i = 0; i < kChannelBlock; ++i) {
    if (from_rows)
      e.store_block(copy.out, rows[i], e.element(to, i * copy.out.stride_w), store_lanes);
    else if (i < store_lanes)
      e.store_block(rows[i], e.element(to, i * copy.out.stride_c), sizeof(float));
  }
}

void copy_block_row(Emitter& e, const Copy& copy, llvm::Value* from, llvm::Value* to, int64_t pixels,
                    bool last_block) {
  const int channels = static_cast<int>(copy.in.shape.c() % kChannelBlock);
  const bool partial = last_block && channels;
  const int load_lanes = partial ? channels : int{kChannelBlock};
  const int store_lanes =
      partial ? std::max(last_block_lanes(copy.out), channels + static_cast<int>(copy.zero_lanes))
              : int{kChannelBlock};
  const auto at = [&](const View& view, llvm::Value* row, llvm::Value* w) {
    return e.element(row, e.mul(w, view.stride_w));
  };
  const bool tiles = copy.in.vector_channels() ? dense_rows(copy.out) && !copy.out.vector_channels()
                                               : dense_rows(copy.in) && copy.out.vector_channels();
  const int64_t tiled_end = tiles ? pixels - pixels % kChannelBlock : 0;
  e.for_range(0, tiled_end, kChannelBlock, [&](llvm::Value* w) {
    copy_tile(e, copy, at(copy.in, from, w), at(copy.out, to, w), load_lanes, store_lanes);
  });
  e.for_range(tiled_end, pixels, 1, [&](llvm::Value* w) {
    e.store_block(copy.out, e.load_block(copy.in, at(copy.in, from, w), load_lanes), at(copy.out, to, w),
                  store_lanes);
  });
}

void copy_block(Emitter& e, const Copy& copy, llvm::Value* n, llvm::Value* block, bool last_block) {
  const int64_t height = copy.in.shape.h(), width = copy.in.shape.w();
  const auto row = [&](const View& view, llvm::Value* base, Index h) {
    return block_address(e, view, base, {n, block, h});
  };
  if (copy.contiguous())
    return copy_block_row(e, copy, row(copy.in, copy.in_base, 0), row(copy.out, copy.out_base, 0),
                          height * width, last_block);
  e.for_range(0, height, 1, [&](llvm::Value* h) {
    copy_block_row(e, copy, row(copy.in, copy.in_base, h), row(copy.out, copy.out_base, h), width,
                   last_block);
  });
}

// Channels [begin, end) of image n, by blocks.
void copy_blocks(Emitter& e, const Copy& copy, llvm::Value* n, llvm::Value* begin, llvm::Value* end) {
  const int64_t channels = copy.in.shape.c(), last = copy.in.blocks() - 1;
  e.for_range(e.div(begin, kChannelBlock), e.div(e.add(end, kChannelBlock - 1), kChannelBlock), 1,
              [&](llvm::Value* block) {
                llvm::Value* first = e.mul(block, kChannelBlock);
                llvm::Value* limit = e.min(e.add(first, kChannelBlock), channels);
                llvm::Value* whole = e.builder.CreateAnd(e.builder.CreateICmpSLE(begin, first),
                                                         e.builder.CreateICmpSGE(end, limit));
                const auto whole_block = [&] {
                  if (channels % kChannelBlock == 0) return copy_block(e, copy, n, block, false);
                  if (last == 0) return copy_block(e, copy, n, block, true);
                  e.if_else(
                      e.less(block, last), [&] { copy_block(e, copy, n, block, false); },
                      [&] { copy_block(e, copy, n, block, true); });
                };
                e.if_else(whole, whole_block,
                          [&] { copy_channels(e, copy, n, e.max(begin, first), e.min(end, limit)); });
              });
}

}  // namespace

// A vector as the image that was flattened into it in the order H, W, C. Its channels follow each other.
View unflattened(View vector, const Shape& image) {
  vector.padded = false;
  vector.shape = image;
  vector.stride_w = image.c() * vector.stride_c;
  vector.stride_h = image.w() * vector.stride_w;
  return vector;
}

void emit_reorder(Emitter& e, const Step& step, const ReorderKernel& kernel,
                  const KernelArguments& arguments) {
  Copy copy{step.inputs[0], step.output, arguments.inputs[0], arguments.out, kernel.zero_lanes};
  if (kernel.flatten == FlattenOrder::hwc) {
    copy.out = unflattened(step.output, copy.in.shape);
    copy.zero_lanes = 0;
  }
  const int64_t channels = copy.in.shape.c();
  // Blocks pay off where one side keeps the channels of a pixel together.
  const bool by_blocks = copy.same_shape() && copy.out.first_channel == 0 &&
                         (copy.in.vector_channels() || copy.out.vector_channels());
  llvm::Value* images_end = e.div(e.add(arguments.end, channels - 1), channels);
  e.for_range(e.div(arguments.begin, channels), images_end, 1, [&](llvm::Value* n) {
    llvm::Value* first_unit = e.mul(n, channels);
    llvm::Value* begin = e.max(0, e.sub(arguments.begin, first_unit));
    llvm::Value* end = e.min(channels, e.sub(arguments.end, first_unit));
    by_blocks ? copy_blocks(e, copy, n, begin, end) : copy_channels(e, copy, n, begin, end);
    if (kernel.zero_lanes > copy.zero_lanes)
      e.if_then(e.builder.CreateICmpEQ(end, e.integer(channels)),
                [&] { clear_lanes(e, step.output, arguments.out, n, kernel.zero_lanes); });
  });
}

}  // namespace cardinal
