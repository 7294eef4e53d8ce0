// Direct convolution: a register tile of `pixels` x `panel` blocks over the whole reduction.
//
//   acc[i][j] = bias, or the sums of the pass before
//   for input block, kernel row in range, run of taps, tap, k (by k_unroll):    all rolled
//     acc[i][j] += x[pixel i, tap, k] * w[k][j]
//
// Where sums are blocked, each of them starts from 0 and is then added to the bias and the sums before.
#include <numeric>

#include "codegen/cpu/conv.h"
#include "passes/tiling.h"

namespace cardinal {
namespace {

Panels make_panels(const Step& step, const ConvKernel& kernel, const Target& target) {
  const ConvShape& shape = kernel.shape;
  int64_t ic_blocks = ceil_div(shape.ic, kChannelBlock), oc_blocks = ceil_div(shape.oc, kChannelBlock);
  int64_t tail = shape.ic % kChannelBlock, panel_floats = fetched_floats(step);
  Panels panels;
  panels.floats = panel_floats;
  panels.block_floats = shape.kh * shape.kw * kChannelBlock * kChannelBlock;
  for (int64_t p = 0; p * kernel.panel < oc_blocks; ++p) {
    int64_t first = kernel.first_block.empty() ? 0 : kernel.first_block[static_cast<size_t>(p)];
    bool whole = tail == 0 || first + kernel.reduce_blocks < ic_blocks;
    PanelClass panel;
    panel.blocks = static_cast<int>(std::min<int64_t>(kernel.panel, oc_blocks - p * kernel.panel));
    panel.last = (p + 1) * kernel.panel >= oc_blocks && masked(step);
    panel.tail_channels = whole ? 0 : tail;
    if ((p + 1) * kernel.panel >= oc_blocks)
      panel.last_width = static_cast<int>(last_block_width(shape, target));
    panels.append(panel, first, p * panel_floats);
  }
  return panels;
}

// The weights of one step, by block.
Values load_weights(Emitter& e, const ConvTile& tile, llvm::Value* w) {
  Values weights;
  for (int j = 0; j < tile.panel.blocks; ++j) {
    const int width = tile.width(j);
    llvm::Value* at = e.element(w, j * weight_block_floats(tile.kernel));
    // Those of a single pixel are the FMA's own operand in memory.
    weights.push_back(tile.variant.pixels > 1 ? e.load_block_here(at, width)
                                              : e.load_block(at, 64, width, width));
  }
  return weights;
}

// Those of one block whose first half is in a register: the second half is the FMA's operand in memory.
llvm::Value* reread_second_half(Emitter& e, llvm::Value* first_half, llvm::Value* w) {
  llvm::Value* second_half = e.load_block_here(e.element(w, kChannelBlock / 2), kChannelBlock / 2);
  llvm::SmallVector<int, kChannelBlock> lanes(kChannelBlock);
  std::iota(lanes.begin(), lanes.end(), 0);
  return e.builder.CreateShuffleVector(first_half, second_half, lanes);
}

// `steps` steps of the reduction for one tap: x at the channel and pixel 0's tap, w at the channel's vectors.
Values multiply_add(Emitter& e, const ConvTile& tile, PixelSet pixels, int64_t steps, llvm::Value* x,
                    llvm::Value* w, Values acc) {
  const int blocks = tile.panel.blocks;
  const int64_t pixel_stride = tile.shape.stride_w * tile.x_view().stride_w;
  const bool rereads =
      tile.panel.last_width == kChannelBlock && rereads_weights(e.target, tile.variant.pixels, blocks);
  for (int64_t k = 0; k < steps; ++k) {
    llvm::Value* w_step = e.element(w, k * kChannelBlock);
    llvm::Value* first_half = rereads ? e.load_block_here(w_step, kChannelBlock / 2) : nullptr;
    const Values weights = rereads ? Values{} : load_weights(e, tile, w_step);
    for (int i = 0; i < tile.variant.pixels; ++i) {
      if (!contains(pixels, i)) continue;
      llvm::Value* value = e.load_scalar(e.element(x, i * pixel_stride + k * tile.x_view().stride_c));
      for (int j = 0; j < blocks; ++j) {
        llvm::Value* weight =
            rereads ? reread_second_half(e, first_half, w_step) : weights[static_cast<size_t>(j)];
        llvm::Value*& a = acc[static_cast<size_t>(i * blocks + j)];
        a = e.fma(e.splat(value, tile.width(j)), weight, a);
      }
    }
  }
  return acc;
}

// The tile's share of the next panel is fetched a few lines with each kernel row of each input block, or, if
// it is less than that, all at the start.
int64_t lines_per_row(const ConvTile& tile) {
  constexpr int64_t kFewLines = 8;  // as many as are not worth spreading
  if (tile.kernel.panel * tile.ahead_lines <= kFewLines) return 0;
  return ceil_div(tile.ahead_lines, tile.pass.blocks * tile.shape.kh);
}

// So many lines of each block's weights.
void prefetch_lines(Emitter& e, const ConvTile& tile, llvm::Value* ahead, int64_t lines) {
  for (int64_t j = 0; tile.ahead_lines && j < tile.kernel.panel; ++j)
    for (int64_t i = 0; i < lines; ++i)
      e.prefetch(e.element(ahead, j * weight_block_floats(tile.kernel) + i * kLineFloats));
}

// Input block `block`, of `channels` channels, for the kernel rows `rows`.
Values reduce_block(Emitter& e, const ConvTile& tile, llvm::Value* block, int64_t channels,
                    const RowRange& rows, Values acc) {
  const View& view = tile.x_view();
  const ConvShape& shape = tile.shape;
  int64_t tap_floats = channels * kChannelBlock;
  llvm::Value* x = e.element(tile.x, e.mul(block, view.stride_block));
  llvm::Value* w = e.element(tile.w, e.mul(block, shape.kh * shape.kw * kChannelBlock * kChannelBlock));
  int64_t unroll = std::min<int64_t>(tile.kernel.k_unroll, channels), rolled = channels / unroll * unroll;
  auto one_tap = [&](PixelSet pixels, llvm::Value* x, llvm::Value* w, Values acc) {
    acc = e.for_range(0, rolled, unroll, acc, [&](llvm::Value* k, Values acc) {
      return multiply_add(e, tile, pixels, unroll, e.element(x, e.mul(k, view.stride_c)),
                          e.element(w, e.mul(k, kChannelBlock)), acc);
    });
    return multiply_add(e, tile, pixels, channels - rolled, e.element(x, rolled * view.stride_c),
                        e.element(w, rolled * kChannelBlock), acc);
  };
  auto one_row = [&](llvm::Value* r, Values acc) {
    llvm::Value* x_row = e.element(x, e.mul(r, shape.dilation_h * view.stride_h));
    llvm::Value* w_row = e.element(w, e.mul(r, shape.kw * tap_floats));
    if (int64_t lines = lines_per_row(tile)) {
      llvm::Value* done = e.mul(e.add(e.mul(block, shape.kh), r), lines * kLineFloats);
      prefetch_lines(e, tile, e.element(tile.ahead, done), lines);
    }
    for (const TapRun& run : tile.variant.runs)
      acc = e.for_range(run.first, run.end, 1, acc, [&](llvm::Value* s, Values acc) {
        return one_tap(run.pixels, e.element(x_row, e.mul(s, shape.dilation_w * view.stride_w)),
                       e.element(w_row, e.mul(s, tap_floats)), acc);
      });
    return acc;
  };
  return e.for_range(rows.begin, rows.end, 1, acc, one_row, rows.trips);
}

// Panels of groups that straddle blocks differ in how many zero weights of other groups they reduce over. A
// product with one leaves a sum as it is, except for the sign of a zero, which is made + here: results do not
// depend on the panel.
void drop_signs_of_zeros(Emitter& e, const ConvShape& shape, Values& acc) {
  if (shape.groups == 1 || groups_are_whole_blocks(shape)) return;
  for (llvm::Value*& a : acc) a = e.fadd(a, e.constant_like(a, 0.0));
}

llvm::Value* zero_value(Emitter& e, const ConvTile& tile, int j) {
  return llvm::Constant::getNullValue(
      llvm::FixedVectorType::get(e.f32, static_cast<unsigned>(tile.width(j))));
}

llvm::Value* start_value(Emitter& e, const ConvTile& tile, int j) {
  const int width = tile.width(j);
  return tile.bias ? e.load_block(e.element(tile.bias, j * kChannelBlock), 64, width, width)
                   : zero_value(e, tile, j);
}

Values start_tile(Emitter& e, const ConvTile& tile) {
  if (!tile.pass.starts) return load_partial(e, tile);
  Values bias, acc;
  for (int j = 0; j < tile.panel.blocks; ++j) bias.push_back(start_value(e, tile, j));
  for (int i = 0; i < tile.variant.pixels; ++i) acc.append(bias);
  return acc;
}

// The input blocks [begin, end) of the pass, all of them whole.
Values reduce_blocks(Emitter& e, const ConvTile& tile, Index begin, Index end, Values acc) {
  return e.for_range(begin, end, 1, std::move(acc), [&](llvm::Value* block, Values acc) {
    return reduce_block(e, tile, block, kChannelBlock, tile.rows[0], std::move(acc));
  });
}

// The pass's input blocks: whole ones, and channels of one that is not.
struct PassBlocks {
  explicit PassBlocks(const ConvTile& tile)
      : tail(tile.pass.ends ? tile.panel.tail_channels : 0), whole(tile.pass.blocks - (tail ? 1 : 0)) {}
  int64_t tail, whole;
};

Values reduce_at_once(Emitter& e, const ConvTile& tile) {
  const PassBlocks blocks(tile);
  Values acc = reduce_blocks(e, tile, 0, blocks.whole, start_tile(e, tile));
  if (blocks.tail)
    acc = reduce_block(e, tile, e.integer(blocks.whole), blocks.tail, tile.rows[0], std::move(acc));
  return acc;
}

// Sums that start from 0, added up in memory: accumulators leave no registers for that.
class BlockedSums {
 public:
  BlockedSums(Emitter& e, const ConvTile& tile) : e_(e), tile_(tile), blocks_(tile) {
    for (int i = 0; i < tile.variant.pixels; ++i)
      for (int j = 0; j < tile.panel.blocks; ++j) zeros_.push_back(zero_value(e, tile, j));
  }

  Values emit() {
    const int64_t size = tile_.kernel.sum.blocks;
    const int64_t sums = blocks_.whole / size;          // of whole blocks, as many as there can be
    const bool rest = sums * size < tile_.pass.blocks;  // fewer blocks, or the tail
    if (tile_.kernel.sum.rows == 0 && sums + (rest ? 1 : 0) == 1) {
      const Values acc = rest ? rest_from(0) : blocks(0, size);
      return added(start_tile(e_, tile_), acc);  // loaded after the loops, where registers are free
    }
    slots_ = e_.builder.CreateAlloca(llvm::ArrayType::get(e_.block, zeros_.size()));
    slots_->setAlignment(llvm::Align(64));
    store(start_tile(e_, tile_));
    if (tile_.kernel.sum.rows) {
      e_.for_range(0, blocks_.whole, 1, [&](llvm::Value* block) { add_rows(block, kChannelBlock); });
      if (blocks_.tail) add_rows(e_.integer(blocks_.whole), blocks_.tail);
      return load();
    }
    e_.for_range(0, sums, 1, [&](llvm::Value* sum) {
      llvm::Value* first = e_.mul(sum, size);
      add(blocks(first, e_.add(first, size)));
    });
    if (!rest) return load();
    const Values acc = rest_from(sums * size);
    return added(load(), acc);
  }

 private:
  Values blocks(Index begin, Index end) { return reduce_blocks(e_, tile_, begin, end, zeros_); }

  Values rest_from(int64_t first) {
    Values acc = blocks(first, blocks_.whole);
    if (!blocks_.tail) return acc;
    return reduce_block(e_, tile_, e_.integer(blocks_.whole), blocks_.tail, tile_.rows[0], std::move(acc));
  }

  void add_rows(llvm::Value* block, int64_t channels) {
    const int64_t rows = tile_.kernel.sum.rows;
    e_.for_range(0, ceil_div(tile_.shape.kh, rows), 1, [&](llvm::Value* part) {
      llvm::Value* first = e_.mul(part, rows);
      const RowRange range{e_.max(tile_.rows[0].begin, first),
                           e_.min(tile_.rows[0].end, e_.add(first, rows))};
      add(reduce_block(e_, tile_, block, channels, range, zeros_));
    });
  }

  void add(const Values& acc) { store(added(load(), acc)); }

  Values added(const Values& a, const Values& b) {
    Values sum;
    for (size_t i = 0; i < a.size(); ++i) sum.push_back(e_.fadd(a[i], b[i]));
    return sum;
  }

  llvm::Value* slot(size_t i) { return e_.element(slots_, static_cast<int64_t>(i) * kChannelBlock); }
  int width(size_t i) const { return tile_.width(static_cast<int>(i) % tile_.panel.blocks); }
  Values load() {
    Values total;
    for (size_t i = 0; i < zeros_.size(); ++i)
      total.push_back(e_.load_block(slot(i), 64, width(i), width(i)));
    return total;
  }
  void store(const Values& total) {
    for (size_t i = 0; i < total.size(); ++i) e_.store_block(total[i], slot(i), 64, width(i));
  }

  Emitter& e_;
  const ConvTile& tile_;
  const PassBlocks blocks_;
  Values zeros_;
  llvm::AllocaInst* slots_ = nullptr;
};

void emit_tile(Emitter& e, const ConvTile& tile) {
  if (lines_per_row(tile) == 0) prefetch_lines(e, tile, tile.ahead, tile.ahead_lines);
  Values acc = tile.kernel.sum.blocks ? BlockedSums(e, tile).emit() : reduce_at_once(e, tile);
  if (!tile.pass.ends) return store_partial(e, tile, acc);
  drop_signs_of_zeros(e, tile.shape, acc);
  store_tile(e, tile, acc);
}

}  // namespace

void emit_conv_direct(Emitter& e, const Step& step, const ConvKernel& kernel,
                      const KernelArguments& arguments) {
  emit_conv(e, step, kernel, arguments, make_panels(step, kernel, e.target),
            [&](const ConvTile& tile) { emit_tile(e, tile); });
}

}  // namespace cardinal
