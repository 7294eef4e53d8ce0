// Pooling, 16 channels at a time.
//
//   for each unit (block, image, row, tile):                    the kernel function
//     tile function of its class:                               never inlined
//       column[c] = -inf or 0
//       for kernel row in range:                                rolled
//         column[c] = max or sum (column[c], x[column c])
//       out[i] = max or sum of the window's columns, left to right, divided by its size for an average
//
// Neighbouring pixels share columns. A window of more than fit into registers is taken in parts.
#include <limits>
#include <span>

#include "codegen/cpu/conv.h"
#include "passes/tiling.h"

namespace cardinal {
namespace {

using Mode = PoolKernel::Mode;

// Tiles of equal class run the same code.
struct PoolClass {
  int variant = 0;
  std::vector<int64_t>
      widths;  // of the window of each pixel, as the average's divisor counts it; empty for max
  bool operator==(const PoolClass&) const = default;
};

// How many columns of its window each pixel's average counts: those inside the image, or also those inside
// the declared padding, but not what ceil_mode adds beyond it.
std::vector<int64_t> window_widths(const PoolKernel& kernel, const RowTile& tile,
                                   const TileVariant& variant) {
  const ConvShape& shape = kernel.shape;
  std::vector<int64_t> widths;
  for (int i = 0; i < variant.pixels; ++i) {
    int64_t left = (tile.x + i) * shape.stride_w - shape.pad_left, valid = 0;
    for (const TapRun& run : variant.runs) valid += contains(run.pixels, i) ? run.end - run.first : 0;
    int64_t declared = std::min(shape.kw, ceil_div(shape.iw + kernel.pad_right - left, shape.dilation_w));
    widths.push_back(kernel.count_include_pad ? declared : valid);
  }
  return widths;
}

// The same along the other axis, for a row of pixels.
Index window_height(Emitter& e, const PoolKernel& kernel, const RowRange& rows, llvm::Value* row) {
  const ConvShape& shape = kernel.shape;
  if (!kernel.count_include_pad) {
    if (rows.constant()) return rows.end.constant() - rows.begin.constant();
    return e.sub(rows.end, rows.begin);
  }
  int64_t limit = shape.ih + kernel.pad_bottom;
  const int64_t reach = shape.dilation_h * (shape.kh - 1) + 1;
  if ((shape.oh - 1) * shape.stride_h - shape.pad_top + reach <= limit) return shape.kh;
  llvm::Value* top = e.sub(e.mul(row, shape.stride_h), shape.pad_top);
  llvm::Value* room = e.add(e.sub(limit, top), shape.dilation_h - 1);
  return e.min(shape.kh, e.div(room, shape.dilation_h));
}

struct PoolTile {
  const Step& step;
  const PoolKernel& kernel;
  const TileVariant& variant;
  const PoolClass& pool_class;
  bool last = false;  // the tensors' last block, masked in one of them
  RowRange rows;
  Index height;  // of the window, for an average
  int lanes(const View& view) const {
    return last ? last_block_lanes(view) : static_cast<int>(kChannelBlock);
  }
};

Values reduce_tile(Emitter& e, const PoolTile& tile, llvm::Value* x) {
  const ConvShape& shape = tile.kernel.shape;
  const View& view = tile.step.inputs[0];
  const bool max = tile.kernel.mode == Mode::max;
  llvm::Value* start = e.splat(max ? -std::numeric_limits<double>::infinity() : 0.0);
  const auto combined = [&](llvm::Value* a, llvm::Value* b) { return max ? e.fmax(a, b) : e.fadd(a, b); };
  const auto reduce_columns = [&](std::span<const int64_t> columns) {
    const auto one_row = [&](llvm::Value* r, Values acc) {
      llvm::Value* x_row = e.element(x, e.mul(r, shape.dilation_h * view.stride_h));
      for (size_t c = 0; c < columns.size(); ++c)
        acc[c] = combined(acc[c],
                          e.load_block(view, e.element(x_row, columns[c] * view.stride_w), tile.lanes(view)));
      return acc;
    };
    return e.for_range(tile.rows.begin, tile.rows.end, 1, Values(columns.size(), start), one_row,
                       tile.rows.trips);
  };

  Values acc(static_cast<size_t>(tile.variant.pixels));
  const auto uses = uses_by_column(shape, tile.variant);
  std::vector<int64_t> all;
  for (const auto& [column, of_column] : uses) all.push_back(column);
  const auto most = static_cast<size_t>(pool_columns(e.target));
  for (std::span<const int64_t> rest = all; !rest.empty(); rest = rest.subspan(std::min(most, rest.size()))) {
    const auto columns = rest.first(std::min(most, rest.size()));
    const Values reduced = reduce_columns(columns);
    for (size_t c = 0; c < columns.size(); ++c)
      for (const ColumnUse& use : uses.at(columns[c])) {
        llvm::Value*& a = acc[static_cast<size_t>(use.pixel)];
        a = a ? combined(a, reduced[c]) : reduced[c];
      }
  }
  for (llvm::Value*& a : acc)
    if (!a) a = start;
  return acc;
}

void divide_by_window(Emitter& e, const PoolTile& tile, Values& acc) {
  llvm::Value* height = e.builder.CreateSIToFP(e.value_of(tile.height), e.f32);
  llvm::Value* scale = nullptr;
  for (size_t i = 0; i < acc.size(); ++i) {
    if (i == 0 || tile.pool_class.widths[i] != tile.pool_class.widths[i - 1]) {
      llvm::Value* size =
          e.fmul(height, e.constant_like(height, static_cast<double>(tile.pool_class.widths[i])));
      scale = e.splat(e.fdiv(e.constant_like(height, 1.0), size));
    }
    acc[i] = e.fmul(acc[i], scale);
  }
}

// Parameters: x, out, the row range if it varies, the window's height if it varies.
llvm::Function* emit_tile(Emitter& e, const PoolTile& shape_of_tile, llvm::StringRef name) {
  llvm::SmallVector<llvm::Type*> parameters{e.ptr, e.ptr};
  if (!shape_of_tile.rows.constant()) parameters.append(2, e.i64);
  if (!shape_of_tile.height.is_constant()) parameters.push_back(e.i64);
  return e.outlined(name, parameters, [&](llvm::Function* function) {
    for (unsigned i : {0u, 1u}) function->addParamAttr(i, llvm::Attribute::NoAlias);
    PoolTile tile = shape_of_tile;
    tile.rows = rows_from(tile.rows, function, 2);
    if (!tile.height.is_constant()) tile.height = function->getArg(function->arg_size() - 1);
    Values acc = reduce_tile(e, tile, function->getArg(0));
    if (tile.kernel.mode == Mode::average) divide_by_window(e, tile, acc);
    const View& view = tile.step.output;
    for (int i = 0; i < tile.variant.pixels; ++i)
      e.store_block(view, acc[static_cast<size_t>(i)], block_address(e, view, function->getArg(1), {.w = i}),
                    tile.lanes(view));
  });
}

std::vector<int> last_block_class(const Step& step) {
  std::vector<int> is_last(static_cast<size_t>(step.output.blocks()), 0);
  is_last.back() = masked(step);
  return is_last;
}

void emit_windows(Emitter& e, const Step& step, const PoolKernel& kernel, const KernelArguments& arguments) {
  const ConvShape& shape = kernel.shape;
  Tiling tiling = make_tiling(shape, kernel.tiles);
  std::vector<PoolClass> classes;
  std::vector<int> class_of;
  for (size_t t = 0; t < kernel.tiles.size(); ++t) {
    PoolClass c{tiling.variant_of[t], {}};
    if (kernel.mode == Mode::average)
      c.widths = window_widths(kernel, kernel.tiles[t], tiling.variants[static_cast<size_t>(c.variant)]);
    auto found = std::find(classes.begin(), classes.end(), c);
    class_of.push_back(static_cast<int>(found - classes.begin()));
    if (found == classes.end()) classes.push_back(c);
  }
  std::string name = e.builder.GetInsertBlock()->getParent()->getName().str();

  const PartGrid parts{shape.n, shape.oh, static_cast<int64_t>(tiling.tiles.size())};
  for_units(e, step, arguments, parts, [&](const UnitIndex& at) {
    RowRange rows = valid_rows(e, shape, at.row);
    llvm::Value* pixel = first_pixel(e, tiling, at.tile);
    Index height = kernel.mode == Mode::average ? window_height(e, kernel, rows, at.row) : Index(0);
    BlockIndex window{at.image, at.outer, e.sub(e.mul(at.row, shape.stride_h), shape.pad_top),
                      e.sub(e.mul(pixel, shape.stride_w), shape.pad_left)};
    Values call{block_address(e, step.inputs[0], arguments.inputs[0], window),
                block_address(e, step.output, arguments.out, {at.image, at.outer, at.row, pixel})};
    append_rows(e, rows, call);
    if (!height.is_constant()) call.push_back(height.value());
    emit_by_class(e, at.outer, last_block_class(step), [&](int last) {
      emit_by_class(e, at.tile, class_of, [&](int c) {
        const PoolClass& pool_class = classes[static_cast<size_t>(c)];
        PoolTile tile{step,       kernel,    tiling.variants[static_cast<size_t>(pool_class.variant)],
                      pool_class, last != 0, rows,
                      height};
        std::string tile_name = name + (last ? ".last.tile" : ".tile") + std::to_string(c);
        e.builder.CreateCall(emit_tile(e, tile, tile_name), call);
      });
    });
  });
}

// What global_average's sums start from. Row i is added up from left to right, then into sum i % 4: the same
// bits whoever adds up the rows. Four sums hide the latency of an addition (3 to 4 cycles).
constexpr int kRowSums = 4;

// Adds `rows` rows of x from `first` on to as many sums.
Values add_rows(Emitter& e, const View& view, int lanes, llvm::Value* x, llvm::Value* first, int64_t rows,
                Values sums) {
  Values row_sums(static_cast<size_t>(rows), e.splat(0.0));
  row_sums = e.for_range(0, view.shape.w(), 1, row_sums, [&](llvm::Value* w, Values row_sums) {
    for (int64_t i = 0; i < rows; ++i) {
      const BlockIndex at{.h = e.add(first, i), .w = w};
      llvm::Value*& sum = row_sums[static_cast<size_t>(i)];
      sum = e.fadd(sum, e.load_block(view, block_address(e, view, x, at), lanes));
    }
    return row_sums;
  });
  for (size_t i = 0; i < row_sums.size(); ++i) sums[i] = e.fadd(sums[i], row_sums[i]);
  return sums;
}

void emit_global_average(Emitter& e, const Step& step, const PoolKernel& kernel,
                         const KernelArguments& arguments) {
  const ConvShape& shape = kernel.shape;
  const View& view = step.inputs[0];  // of the images, or of their rows' sums
  const int64_t rows = view.shape.h(), rolled = rows / kRowSums * kRowSums;
  for_units(e, step, arguments, {shape.n}, [&](const UnitIndex& at) {
    llvm::Value *image = at.image, *block = at.outer;
    llvm::Value* x = block_address(e, view, arguments.inputs[0], {image, block});
    llvm::Value* out = block_address(e, step.output, arguments.out, {image, block});
    emit_by_class(e, block, last_block_class(step), [&](int last) {
      auto lanes = [&](const View& v) {
        return last ? last_block_lanes(v) : static_cast<int>(kChannelBlock);
      };
      Values sums(kRowSums, e.splat(0.0));
      sums = e.for_range(0, rolled, kRowSums, sums, [&](llvm::Value* h, Values sums) {
        return add_rows(e, view, lanes(view), x, h, kRowSums, sums);
      });
      if (rolled < rows) sums = add_rows(e, view, lanes(view), x, e.integer(rolled), rows - rolled, sums);
      llvm::Value* sum = e.fadd(e.fadd(sums[0], sums[1]), e.fadd(sums[2], sums[3]));
      llvm::Value* mean = e.fmul(sum, e.splat(1.0 / static_cast<double>(shape.ih * shape.iw)));
      e.store_block(step.output, mean, out, lanes(step.output));
    });
  });
}

}  // namespace

void emit_pool(Emitter& e, const Step& step, const PoolKernel& kernel, const KernelArguments& arguments) {
  if (kernel.mode == Mode::global_average)
    emit_global_average(e, step, kernel, arguments);
  else
    emit_windows(e, step, kernel, arguments);
}

}  // namespace cardinal
