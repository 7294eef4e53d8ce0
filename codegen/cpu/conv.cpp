#include "codegen/cpu/conv.h"

#include <fmt/format.h>

#include <algorithm>

#include "codegen/epilogue.h"
#include "passes/tiling.h"

namespace cardinal {

void Panels::append(const PanelClass& panel, int64_t first, int64_t offset) {
  auto found = std::find(classes.begin(), classes.end(), panel);
  class_of.push_back(static_cast<int>(found - classes.begin()));
  if (found == classes.end()) classes.push_back(panel);
  first_block.push_back(first);
  weight_offset.push_back(offset);
}

bool masked(const Step& step) {
  auto lacks_lanes = [](const View& view) { return last_block_lanes(view) < kChannelBlock; };
  return lacks_lanes(step.output) || std::any_of(step.inputs.begin(), step.inputs.end(), lacks_lanes);
}

Values load_partial(Emitter& e, const ConvTile& tile) {
  const View& view = tile.step.output;
  Values acc;
  for (int i = 0; i < tile.variant.pixels; ++i)
    for (int j = 0; j < tile.panel.blocks; ++j)
      acc.push_back(e.load_block(view, block_address(e, view, tile.out, {.block = j, .w = i}),
                                 tile.lanes(view, j), tile.width(j)));
  return acc;
}

void store_partial(Emitter& e, const ConvTile& tile, const Values& acc) {
  const View& view = tile.step.output;
  for (int i = 0; i < tile.variant.pixels; ++i)
    for (int j = 0; j < tile.panel.blocks; ++j)
      e.store_block(view, acc[static_cast<size_t>(i * tile.panel.blocks + j)],
                    block_address(e, view, tile.out, {.block = j, .w = i}), tile.lanes(view, j));
}

namespace {

// The lanes of a result's block that exist and are not computed.
void clear_rest(Emitter& e, const ConvTile& tile, const BlockIndex& at, int j) {
  const View& view = tile.step.output;
  const int width = tile.width(j), rest = tile.lanes(view, j) - width;
  if (rest <= 0) return;
  auto* type = llvm::FixedVectorType::get(e.f32, static_cast<unsigned>(rest));
  llvm::Value* address = block_address(e, view, tile.out, at);
  e.store_block(view, llvm::Constant::getNullValue(type), e.element(address, width * view.stride_c), rest);
}

// That of one of a tile's rows of pixels, if rows are added up: as it is in memory, then with what the tile
// adds. Of lanes that no tile computes it is 0, as it was to begin with.
class RowSum {
 public:
  RowSum(Emitter& e, const ConvTile& tile, int row, int first_lane)
      : e_(e),
        tile_(tile),
        row_(row),
        first_lane_(first_lane),
        sums_(static_cast<size_t>(tile.panel.blocks)) {}

  void add(int block, llvm::Value* result) {
    if (!tile_.row_sum) return;
    llvm::Value*& sum = sums_[static_cast<size_t>(block)];
    const int width = width_of(result);
    if (!sum) sum = e_.load_block(address(block), 4 * width, width, width);
    sum = e_.fadd(sum, result);
  }
  void store() {
    for (int block = 0; tile_.row_sum && block < tile_.panel.blocks; ++block) {
      llvm::Value* sum = sums_[static_cast<size_t>(block)];
      e_.store_block(sum, address(block), 4 * width_of(sum), width_of(sum));
    }
  }

 private:
  static int width_of(llvm::Value* value) {
    return static_cast<int>(llvm::cast<llvm::FixedVectorType>(value->getType())->getNumElements());
  }
  llvm::Value* address(int block) {
    const BlockIndex at{.block = block, .h = row_};
    return e_.element(block_address(e_, *tile_.step.second_output, tile_.row_sum, at), first_lane_);
  }

  Emitter& e_;
  const ConvTile& tile_;
  const int row_, first_lane_;
  Values sums_;  // by block of the panel
};

}  // namespace

void store_tile(Emitter& e, const ConvTile& tile, const Values& acc, int first_lane) {
  const auto result_of = [&](int pixel, int j) {
    return acc[static_cast<size_t>(pixel * tile.panel.blocks + j)];
  };
  const auto store_row = [&](int row) {
    RowSum sum(e, tile, row, first_lane);
    for (int i = 0; i < tile.variant.pixels; ++i)
      for (int j = 0; j < tile.panel.blocks; ++j) {
        const Destination to{tile.step, tile.kernel.epilogue, tile.out, tile.operands, tile.is_last_block(j)};
        const BlockIndex at{.block = j, .h = row, .w = i};
        sum.add(j, store_result(e, to, result_of(row * tile.variant.pixels + i, j), at, first_lane));
        clear_rest(e, tile, at, j);
      }
    sum.store();
  };
  for (int row = 0; row < tile.variant.rows; ++row) store_row(row);
}

namespace {

// A collapsed convolution has a single row of pixels.
ConvShape row_shape(const ConvKernel& kernel) {
  ConvShape shape = kernel.shape;
  if (!kernel.collapsed) return shape;
  shape.iw *= shape.ih;
  shape.ow *= shape.oh;
  shape.ih = shape.oh = 1;
  return shape;
}

// Bands' tiles, then those of the last rows.
Tiling conv_tiling(const ConvShape& shape, const ConvKernel& kernel) {
  Tiling tiling;
  tiling.append(shape, kernel.tiles, kernel.rows);
  tiling.append(shape, kernel.last_tiles, static_cast<int>(shape.oh % kernel.rows));
  return tiling;
}

// Parameters: x, weights, out, the epilogue's operands, the bias if any, the weights to be prefetched if any,
// the first row's sum if there is one, the row ranges if they vary, the panel's index if `indexed`.
llvm::Function* tile_function(Emitter& e, ConvTile tile, bool indexed, llvm::StringRef name,
                              llvm::function_ref<void(const ConvTile&)> emit_tile) {
  size_t operand_count = tile.step.inputs.size() - 1;
  size_t optional_count = size_t{tile.kernel.has_bias} + (tile.ahead_lines ? 1 : 0) + tile.kernel.row_sums;
  llvm::SmallVector<llvm::Type*> parameters(3 + operand_count + optional_count, e.ptr);
  for (const RowRange& range : tile.rows)
    if (!range.constant()) parameters.append(2, e.i64);
  if (indexed) parameters.push_back(e.i64);
  return e.outlined(name, parameters, [&](llvm::Function* function) {
    // Only the operands of the epilogue may be where the output is.
    for (unsigned i : {0u, 1u}) function->addParamAttr(i, llvm::Attribute::NoAlias);
    unsigned next = 0;
    tile.x = function->getArg(next++);
    tile.w = function->getArg(next++);
    tile.out = function->getArg(next++);
    for (size_t i = 0; i < operand_count; ++i) tile.operands.push_back(function->getArg(next++));
    if (tile.kernel.has_bias) tile.bias = function->getArg(next++);
    if (tile.ahead_lines) tile.ahead = function->getArg(next++);
    if (tile.kernel.row_sums) tile.row_sum = function->getArg(next++);
    for (RowRange& range : tile.rows) {
      range = rows_from(range, function, next);
      if (!range.constant()) next += 2;
    }
    if (indexed) tile.index = function->getArg(next);
    emit_tile(tile);
  });
}

// The walk over units.
class ConvUnits {
 public:
  ConvUnits(Emitter& e, const Step& step, const ConvKernel& kernel, const KernelArguments& arguments,
            const Panels& panels, llvm::function_ref<void(const ConvTile&)> emit_tile)
      : e(e), step_(step), kernel_(kernel), arguments_(arguments), panels_(panels), emit_tile_(emit_tile) {}

  void emit() {
    const int64_t passes = kernel_.pass_blocks ? ceil_div(kernel_.reduce_blocks, kernel_.pass_blocks) : 1;
    if (passes == 1) return emit_pass({{kernel_.reduce_blocks}, 0, arguments_.begin, arguments_.end});
    // Strip by strip, of those that the range of units reaches into.
    strips_.for_strips(arguments_.begin, arguments_.end, [&](const Strips::Share& share) {
      llvm::Value *begin = share.begin, *end = share.end;
      const auto all = [&](const ReducePass& pass, Index number) { emit_pass({pass, number, begin, end}); };
      all({kernel_.pass_blocks, true, false}, 0);
      e.for_range(1, passes - 1, 1,
                  [&](llvm::Value* pass) { all({kernel_.pass_blocks, false, false}, pass); });
      all({kernel_.reduce_blocks - (passes - 1) * kernel_.pass_blocks, false, true}, passes - 1);
    });
  }

 private:
  // A pass over the units [begin, end), the `number`-th.
  struct UnitPass {
    ReducePass reduce;
    Index number;
    llvm::Value *begin, *end;
  };
  // What the tiles of a panel have in common: their arguments, or where these are counted from.
  struct PanelArguments {
    llvm::Value *index, *x, *weights;
    Values places;  // of the result and of the inputs after x
    llvm::Value *bias = nullptr, *ahead = nullptr, *row_sums = nullptr;
  };
  // And those of a band.
  struct BandArguments {
    llvm::Value *image, *row;  // the first row
    RowRanges rows;            // of no meaning for rows that the last band does not have
    llvm::Value* sum;          // null if rows are not added up
  };

  void emit_pass(const UnitPass& pass) {
    strips_.for_runs(pass.begin, pass.end, [&](const Strips::Run& run) {
      const PanelArguments panel = panel_arguments(run, pass);
      emit_by_class(e, run.channel, panels_.class_of, [&](int p) {
        e.for_range(run.begin, run.end, 1, [&](llvm::Value* i) {
          const Unit unit = unit_at(e.add(run.first, i));
          const BandArguments band = band_arguments(panel, unit, p);
          if (!kernel_.row_sums) return emit_tile(panel, band, unit.tile, i, p, pass.reduce);
          e.for_range(unit.tile, unit.end, 1, [&](llvm::Value* tile) {
            llvm::Value* of_strip = e.add(e.mul(i, tiles_of_unit_), e.sub(tile, unit.tile));
            emit_tile(panel, band, tile, of_strip, p, pass.reduce);
          });
        });
      });
    });
  }

  // The weights to be prefetched: those of the next panel, in a pass its part of them; after the pass's last
  // panel those of the first one for the next pass, after the last pass the next step's.
  llvm::Value* next_weights(const Strips::Run& run, llvm::Value* w, const UnitPass& pass) const {
    if (pass.reduce.whole()) return next_panel(e, strips_, run, arguments_, panels_.floats);
    llvm::Value* after = arguments_.next;
    if (!pass.reduce.ends) {
      const Index offset = e.add(e.mul(strips_.channel_at(pass.begin), panels_.floats),
                                 e.mul(e.add(pass.number, 1), pass_floats()));
      after = e.element(arguments_.weights[0], offset);
    }
    return e.builder.CreateSelect(e.less(run.next, pass.end), e.element(w, panels_.floats), after);
  }

  int64_t pass_floats() const { return kernel_.pass_blocks * panels_.block_floats; }

  // Cache lines of the next panel's weights that each tile fetches, for each of the panel's blocks. Where
  // each panel has one tile, weights are read once and in order, which the CPU prefetches by itself: fetching
  // them twice made linear layers a third slower on Zen 5.
  int64_t ahead_lines(const ReducePass& pass) const {
    if (!arguments_.next || strips_.strip() == 1) return 0;
    const int64_t floats = pass.whole() ? weight_block_floats(kernel_) : pass.blocks * panels_.block_floats;
    return ceil_div(floats, kLineFloats * strips_.strip() * tiles_of_unit_);
  }

  PanelArguments panel_arguments(const Strips::Run& run, const UnitPass& pass) const {
    llvm::Value* block = e.mul(run.channel, kernel_.panel);
    Index first = e.table_entry(panels_.first_block, run.channel, "first_block");
    llvm::Value* w =
        e.element(arguments_.weights[0], e.table_entry(panels_.weight_offset, run.channel, "weight_offset"));
    if (!pass.reduce.whole()) {
      first = e.mul(pass.number, kernel_.pass_blocks);
      w = e.element(w, e.mul(pass.number, pass_floats()));
    }
    PanelArguments panel{
        run.channel, block_address(e, step_.inputs[0], arguments_.inputs[0], {0, first}), w, {}};
    panel.places.push_back(block_address(e, step_.output, arguments_.out, {0, block}));
    for (size_t i = 1; i < step_.inputs.size(); ++i)
      panel.places.push_back(block_address(e, step_.inputs[i], arguments_.inputs[i], {0, block}));
    if (kernel_.has_bias) panel.bias = e.element(arguments_.weights[1], e.mul(block, kChannelBlock));
    if (ahead_lines(pass.reduce)) panel.ahead = next_weights(run, w, pass);
    if (kernel_.row_sums)
      panel.row_sums = block_address(e, *step_.second_output, arguments_.second_out, {0, block});
    return panel;
  }

  // A part of the images: a tile of a band, or tiles up to `end`. Those of the last band, if that has fewer
  // rows, come after the others in tiling_.
  struct Unit {
    llvm::Value *image, *band, *is_last;  // null: there is no such band
    Index tile, end;
  };

  Unit unit_at(llvm::Value* part) const {
    const int64_t bands = shape_.oh / kernel_.rows;
    const auto of_band = static_cast<int64_t>(kernel_.tiles.size());
    const auto all = static_cast<int64_t>(tiling_.tiles.size());
    const int64_t of_unit = kernel_.row_sums ? 1 : of_band;
    if (kernel_.last_tiles.empty()) {
      const Part at = decode_part(e, {shape_.n, bands, of_unit}, part);
      return {at.image, at.row, nullptr, kernel_.row_sums ? Index(0) : Index(at.tile), of_band};
    }
    const Part at = decode_part(e, {shape_.n, 1, units_of_image(kernel_)}, part);
    llvm::Value* band = e.min(e.div(at.tile, of_unit), bands);
    llvm::Value* is_last = e.builder.CreateICmpEQ(band, e.integer(bands));
    const auto if_last = [&](int64_t a, int64_t b) {
      return e.builder.CreateSelect(is_last, e.integer(a), e.integer(b));
    };
    llvm::Value* first = if_last(of_band, 0);
    if (kernel_.row_sums) return {at.image, band, is_last, first, if_last(all, of_band)};
    return {at.image, band, is_last, e.add(e.sub(at.tile, e.mul(band, of_band)), first), all};
  }

  // Of a unit, with panel class `p`. Its rows' sums, if there are any, are set to 0.
  BandArguments band_arguments(const PanelArguments& panel, const Unit& unit, int p) const {
    BandArguments band{unit.image, e.mul(unit.band, kernel_.rows), {}, nullptr};
    for (int row = 0; row < kernel_.rows; ++row)
      band.rows.push_back(valid_rows(e, shape_, e.add(band.row, row)));
    if (!kernel_.row_sums) return band;
    const View& sums = *step_.second_output;
    band.sum = block_address(e, sums, panel.row_sums, {band.image, 0, band.row});
    for (int row = 0; row < kernel_.rows; ++row) {
      const auto clear = [&] {
        for (int j = 0; j < panels_.classes[static_cast<size_t>(p)].blocks; ++j)
          e.store_block(sums, e.splat(0.0), block_address(e, sums, band.sum, {.block = j, .h = row}));
      };
      if (!unit.is_last || row < shape_.oh % kernel_.rows)
        clear();
      else
        e.if_then(e.builder.CreateNot(unit.is_last), clear);
    }
    return band;
  }

  // A tile of a band, the `of_strip`-th of its strip, with panel class `p`.
  void emit_tile(const PanelArguments& panel, const BandArguments& band, Index tile_index,
                 llvm::Value* of_strip, int p, const ReducePass& pass) {
    const auto& [image, row, rows, sum] = band;
    llvm::Value* place = e.value_of(tile_index);
    llvm::Value* pixel = first_pixel(e, tiling_, place);
    const BlockIndex window{image, 0, e.sub(e.mul(row, shape_.stride_h), shape_.pad_top),
                            e.sub(e.mul(pixel, shape_.stride_w), shape_.pad_left)};
    Values call{block_address(e, step_.inputs[0], panel.x, window), panel.weights};
    for (size_t i = 0; i < panel.places.size(); ++i)
      call.push_back(
          block_address(e, i == 0 ? step_.output : step_.inputs[i], panel.places[i], {image, 0, row, pixel}));
    if (panel.bias) call.push_back(panel.bias);
    const int64_t ahead = ahead_lines(pass);
    if (ahead) call.push_back(e.element(panel.ahead, e.mul(of_strip, ahead * kLineFloats)));
    if (sum) call.push_back(sum);

    emit_by_class(e, place, tiling_.variant_of, [&](int v) {
      const TileVariant& variant = tiling_.variants[static_cast<size_t>(v)];
      ConvTile tile{step_, kernel_, shape_, variant, panels_.classes[static_cast<size_t>(p)], pass};
      tile.ahead_lines = ahead;
      tile.rows.assign(rows.begin(), rows.begin() + variant.rows);
      Values arguments = call;
      for (const RowRange& range : tile.rows) append_rows(e, range, arguments);
      if (panels_.indexed) arguments.push_back(panel.index);
      const char* name_of_pass = pass.whole() ? "" : pass.starts ? ".first" : pass.ends ? ".last" : ".middle";
      std::string tile_name = fmt::format("{}.panel{}.tile{}{}", name_, p, v, name_of_pass);
      e.builder.CreateCall(tile_function(e, tile, panels_.indexed, tile_name, emit_tile_), arguments);
    });
  }

  Emitter& e;
  const Step& step_;
  const ConvKernel& kernel_;
  const KernelArguments& arguments_;
  const Panels& panels_;
  llvm::function_ref<void(const ConvTile&)> emit_tile_;
  const ConvShape shape_ = row_shape(kernel_);
  const Tiling tiling_ = conv_tiling(shape_, kernel_);
  // At most; a last band has fewer.
  const int64_t tiles_of_unit_ = kernel_.row_sums ? static_cast<int64_t>(kernel_.tiles.size()) : 1;
  const std::string name_ = e.builder.GetInsertBlock()->getParent()->getName().str();
  const Strips strips_{e, step_};
};

}  // namespace

void emit_conv(Emitter& e, const Step& step, const ConvKernel& kernel, const KernelArguments& arguments,
               const Panels& panels, llvm::function_ref<void(const ConvTile&)> emit_tile) {
  ConvUnits(e, step, kernel, arguments, panels, emit_tile).emit();
}

}  // namespace cardinal
