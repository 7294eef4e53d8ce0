// Grouped convolution with groups of 1, 2, 4 or 8 channels, several groups in one vector, or of an odd
// multiple of 8, which are computed 8 lanes at a time.
//
//   acc[i] = bias
//   for kernel row in range (rolled), 8 channels of the group if it is wider, k of them:
//     for row of pixels, input column:  v = its lanes (l / width) * width + k;    loaded and spread once
//       for tap s and pixel i that the column belongs to:  acc[i] += v * weight[k][s]
//
// With several rows of pixels there are several ranges of kernel rows: those that are inside the image for
// all of them, and those that are for some.
//
// On targets with narrower vectors than a block a tile is computed in passes of a vector's lanes, so that a
// pass's accumulators and weights fit into the registers.
#include <llvm/IR/IntrinsicsX86.h>

#include <tuple>

#include "codegen/cpu/conv.h"
#include "codegen/llvm_target.h"
#include "passes/tiling.h"

namespace cardinal {
namespace {

// How each lane gets channel k of its group: a broadcast if a vector lies in one group; a constant
// permutation within 128 bits (k loop unrolled, one cheap shuffle each); else a permutation with its indices
// in memory (k loop rolled: a constant permutation across 128-bit lanes would become two shuffles).
enum class Spread : uint8_t { none, broadcast, in_lane, table };

// Groups up to this width share a vector.
constexpr int kWidestVectorGroup = 8;

struct Pass {
  Emitter& e;
  const ConvTile& tile;
  int width = 1;      // channels of a group that are next to each other in x: at most 8
  int64_t parts = 1;  // of so many channels that a group has
  int lanes = 16;     // computed in this pass
  int x_lanes = 16;   // of the input's that exist
  Spread spread = Spread::none;
  llvm::Value* table = nullptr;  // permutations by k, for Spread::table
  llvm::Value* first_channel =
      nullptr;  // of the lanes' group, if it has several parts; x is at channel 0 then
  const View& x_view() const { return tile.x_view(); }
};

Spread choose_spread(int width, int lanes) {
  if (width == 1) return Spread::none;
  if (width >= lanes) return Spread::broadcast;
  return width <= 4 ? Spread::in_lane : Spread::table;
}

llvm::Value* permutation_table(Emitter& e, int width) {
  std::vector<uint32_t> indices;
  for (int k = 0; k < width; ++k)
    for (int lane = 0; lane < kChannelBlock; ++lane)
      indices.push_back(static_cast<uint32_t>(lane / width * width + k));
  auto* data = llvm::ConstantDataArray::get(e.module.getContext(), indices);
  auto* table = new llvm::GlobalVariable(e.module, data->getType(), true, llvm::GlobalValue::PrivateLinkage,
                                         data, "permutations");
  table->setAlignment(llvm::Align(64));
  return table;
}

// Channel k of each lane's group. `k` is a constant for Spread::in_lane; `indices` are those of
// Spread::table.
llvm::Value* load_spread(const Pass& p, llvm::Value* address, llvm::Value* k, llvm::Value* indices) {
  Emitter& e = p.e;
  if (p.spread == Spread::broadcast)
    return e.broadcast(e.element(address, e.mul(k, p.x_view().stride_c)), p.lanes);
  llvm::Value* value = e.load_block(p.x_view(), address, p.x_lanes, p.lanes);
  if (p.spread == Spread::none) return value;
  if (p.spread == Spread::table)
    return e.builder.CreateIntrinsic(llvm::Intrinsic::x86_avx512_permvar_sf_512, {}, {value, indices});
  llvm::SmallVector<int, 16> permutation;
  auto channel = static_cast<int>(llvm::cast<llvm::ConstantInt>(k)->getSExtValue());
  for (int lane = 0; lane < p.lanes; ++lane) permutation.push_back(lane / p.width * p.width + channel);
  return e.builder.CreateShuffleVector(value, permutation);
}

// Rows of a tile's pixels: [first, end).
struct PixelRows {
  int64_t first = 0, end = 1;
  bool operator==(const PixelRows&) const = default;
};

// Those for which some kernel row is inside the image, in some tile of this kind. Kernel rows further down
// are inside for rows of pixels further up: in this order.
std::vector<PixelRows> rows_inside(const ConvTile& tile) {
  const ConvShape& s = tile.shape;
  const int64_t rows = tile.variant.rows;
  std::vector<PixelRows> found;
  for (int64_t row = rows == tile.kernel.rows ? 0 : s.oh - rows; row + rows <= s.oh; row += rows)
    for (int64_t ky = 0; ky < s.kh; ++ky) {
      const OutputRange valid = valid_rows(s, ky);
      const PixelRows inside{std::max<int64_t>(valid.begin - row, 0), std::min(valid.end - row, rows)};
      if (inside.first < inside.end && std::ranges::count(found, inside) == 0) found.push_back(inside);
    }
  std::ranges::sort(found, [](const PixelRows& a, const PixelRows& b) {
    return std::tuple(a.end, a.first) > std::tuple(b.end, b.first);
  });
  return found;
}

// One kernel row for channel k of the groups and some rows of pixels, w at tap 0.
Values multiply_add(const Pass& p, PixelRows rows, llvm::Value* x, llvm::Value* w, llvm::Value* k,
                    Values acc) {
  Emitter& e = p.e;
  const int columns = p.tile.variant.pixels;
  llvm::Value* indices = nullptr;
  if (p.spread == Spread::table) {
    auto* type = llvm::FixedVectorType::get(e.builder.getInt32Ty(), kChannelBlock);
    indices = e.builder.CreateAlignedLoad(type, e.element(p.table, e.mul(k, kChannelBlock)), llvm::Align(64));
  }
  const HeldTaps held = held_taps(p.tile.shape, e.target, p.tile.variant.rows * columns);
  std::map<int64_t, llvm::Value*> weights;
  const auto all_uses = uses_by_column(p.tile.shape, p.tile.variant);
  for (int64_t row = rows.first; row < rows.end; ++row)
    for (const auto& [column, uses] : all_uses) {
      const int64_t place = row * p.tile.shape.stride_h * p.x_view().stride_h + column * p.x_view().stride_w;
      llvm::Value* value = load_spread(p, e.element(x, place), k, indices);
      for (const ColumnUse& use : uses) {
        llvm::Value*& weight = weights[use.tap];
        if (!weight || !held.contains(use.tap))
          weight = e.load_block_here(e.element(w, use.tap * kChannelBlock), p.lanes);
        llvm::Value*& a = acc[static_cast<size_t>(row * columns + use.pixel)];
        a = e.fma(value, weight, a);
      }
    }
  return acc;
}

// Where part `part` of the group begins, for x at channel 0.
llvm::Value* part_address(const Pass& p, llvm::Value* x, llvm::Value* part) {
  Emitter& e = p.e;
  if (p.parts == 1) return x;
  llvm::Value* channel = e.add(p.first_channel, e.mul(part, p.width));
  x = e.element(x, e.mul(e.div(channel, kChannelBlock), p.x_view().stride_block));
  return e.element(x, e.mul(e.rem(channel, kChannelBlock), p.x_view().stride_c));
}

// The reduction over a range of kernel rows, for the lanes of a pass and some rows of pixels.
Values reduce_rows(const Pass& p, PixelRows rows, const RowRange& range, llvm::Value* x, llvm::Value* w,
                   const Values& start) {
  Emitter& e = p.e;
  const ConvShape& shape = p.tile.shape;
  const int64_t channel_floats = shape.kw * kChannelBlock, part_floats = p.width * channel_floats;
  auto one_part = [&](llvm::Value* x, llvm::Value* w, Values acc) {
    auto one_channel = [&](llvm::Value* k, Values acc) {
      return multiply_add(p, rows, x, e.element(w, e.mul(k, channel_floats)), k, acc);
    };
    bool rolled = p.spread == Spread::broadcast || p.spread == Spread::table;
    if (rolled) return e.for_range(0, p.width, 1, acc, one_channel);
    for (int k = 0; k < p.width; ++k) acc = one_channel(e.integer(k), acc);
    return acc;
  };
  auto one_row = [&](llvm::Value* r, Values acc) {
    llvm::Value* x_row = e.element(x, e.mul(r, shape.dilation_h * p.x_view().stride_h));
    llvm::Value* w_row = e.element(w, e.mul(r, p.parts * part_floats));
    return e.for_range(0, p.parts, 1, acc, [&](llvm::Value* part, Values acc) {
      return one_part(part_address(p, x_row, part), e.element(w_row, e.mul(part, part_floats)), acc);
    });
  };
  return e.for_range(range.begin, range.end, 1, start, one_row, range.trips);
}

// The whole reduction for the lanes of a pass.
Values reduce_pass(const Pass& p, llvm::Value* x, llvm::Value* w, Values acc) {
  Emitter& e = p.e;
  const RowRanges& rows = p.tile.rows;
  const std::vector<PixelRows> inside = rows_inside(p.tile);
  for (const PixelRows& some : inside) {
    // Kernel rows that are inside for these, but not yet for the row of pixels above nor still for that
    // below.
    RowRange range{rows[static_cast<size_t>(some.first)].begin, rows[static_cast<size_t>(some.end - 1)].end};
    if (inside.size() == 1) range.trips = rows[0].trips;
    if (some.first > 0) range.end = e.min(range.end, rows[static_cast<size_t>(some.first - 1)].begin);
    if (some.end < p.tile.variant.rows)
      range.begin = e.max(range.begin, rows[static_cast<size_t>(some.end)].end);
    acc = reduce_rows(p, some, range, x, w, acc);
  }
  return acc;
}

// Fetches half of what the next row of pixels reads of the block that this row does not.
void prefetch_next_row(Emitter& e, const ConvTile& tile, int half) {
  const ConvShape& s = tile.shape;
  const View& view = tile.x_view();
  const int64_t columns = tile.variant.pixels * s.stride_w, lines = columns * s.stride_h * tile.variant.rows;
  for (int64_t i = half * lines / 2; i < (half + 1) * lines / 2; ++i) {
    const int64_t last = (s.kh - 1) * s.dilation_h + (tile.variant.rows - 1) * s.stride_h;
    const int64_t row = last + 1 + i / columns, column = s.kw / 2 + i % columns;
    e.prefetch(e.element(tile.x, row * view.stride_h + column * view.stride_w));
  }
}

void emit_tile(Emitter& e, const ConvTile& tile, int lanes, llvm::Value* table) {
  const auto width = static_cast<int>(tile.shape.ic / tile.shape.groups),
             part = std::min(width, kWidestVectorGroup);
  auto* type = llvm::FixedVectorType::get(e.f32, static_cast<unsigned>(lanes));
  if (choose_spread(part, lanes) == Spread::in_lane)  // the loop over k is unrolled
    e.builder.GetInsertBlock()->getParent()->addFnAttr("tune-cpu", long_loops_scheduled_for(e.target));
  for (int lane = 0; lane < kChannelBlock && lane < tile.lanes(tile.step.output, 0); lane += lanes) {
    llvm::Value* start = tile.bias ? e.load_block(e.element(tile.bias, lane), 4 * lanes, lanes, lanes)
                                   : llvm::Constant::getNullValue(type);
    Pass pass{e,
              tile,
              part,
              width / part,
              lanes,
              tile.lanes(tile.x_view(), 0) - lane,
              choose_spread(part, lanes),
              table};
    llvm::Value* x = tile.x;
    if (pass.parts > 1) {
      llvm::Value* channel = e.add(e.mul(tile.index, kChannelBlock), lane);
      pass.first_channel = e.mul(e.div(channel, width), width);
      if (tile.panel.tail_channels) pass.x_lanes = static_cast<int>(tile.panel.tail_channels) - lane;
    } else {
      if (prefetches_rows(tile.shape, e.target))
        for (int half = lane / 8; half < (lane + lanes) / 8; ++half) prefetch_next_row(e, tile, half);
      const int group = lane / width * width;  // the first lane of the groups
      x = e.element(x, group * tile.x_view().stride_c);
    }
    Values acc(static_cast<size_t>(tile.variant.rows * tile.variant.pixels), start);
    if (pass.x_lanes > 0)  // else these are pad lanes, and the weights' are zero
      acc = reduce_pass(pass, x, e.element(tile.w, lane), acc);
    store_tile(e, tile, acc, lane);
  }
}

}  // namespace

void emit_conv_lanes(Emitter& e, const Step& step, const ConvKernel& kernel,
                     const KernelArguments& arguments) {
  const ConvShape& shape = kernel.shape;
  int64_t width = shape.ic / shape.groups, blocks = ceil_div(shape.oc, kChannelBlock);
  const bool wide = width > kWidestVectorGroup;
  Panels panels;
  panels.indexed = wide;
  for (int64_t b = 0; b < blocks; ++b) {
    const bool last = b + 1 == blocks;
    panels.append({1, last && masked(step), wide && last ? shape.ic % kChannelBlock : 0}, wide ? 0 : b,
                  b * shape.kh * width * shape.kw * kChannelBlock);
  }
  int lanes = wide ? kWidestVectorGroup : std::min<int>(e.target.vector_lanes, kChannelBlock);
  llvm::Value* table = !wide && choose_spread(static_cast<int>(width), lanes) == Spread::table
                           ? permutation_table(e, static_cast<int>(width))
                           : nullptr;
  emit_conv(e, step, kernel, arguments, panels,
            [&](const ConvTile& tile) { emit_tile(e, tile, lanes, table); });
}

}  // namespace cardinal
