#include "codegen/cpu/conv.h"

#include <algorithm>

#include "codegen/cpu/epilogue.h"

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

void store_tile(Emitter& e, const ConvTile& tile, const Values& acc, int first_lane) {
  for (int i = 0; i < tile.variant.pixels; ++i)
    for (int j = 0; j < tile.panel.blocks; ++j) {
      const Destination to{tile.step, tile.kernel.epilogue, tile.out, tile.operands, tile.is_last_block(j)};
      store_result(e, to, acc[static_cast<size_t>(i * tile.panel.blocks + j)], {.block = j, .w = i},
                   first_lane);
    }
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

// Parameters: x, weights, out, the epilogue's operands, the bias if any, the weights to be prefetched if any,
// the row range if it varies.
llvm::Function* tile_function(Emitter& e, ConvTile tile, llvm::StringRef name,
                              llvm::function_ref<void(const ConvTile&)> emit_tile) {
  size_t operand_count = tile.step.inputs.size() - 1;
  size_t optional_count = (tile.kernel.has_bias ? 1 : 0) + (tile.ahead_lines ? 1 : 0);
  llvm::SmallVector<llvm::Type*> parameters(3 + operand_count + optional_count, e.ptr);
  if (!tile.rows.constant()) parameters.append(2, e.i64);
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
    tile.rows = rows_from(tile.rows, function, next);
    emit_tile(tile);
  });
}

}  // namespace

void emit_conv(Emitter& e, const Step& step, const ConvKernel& kernel, const KernelArguments& arguments,
               const Panels& panels, llvm::function_ref<void(const ConvTile&)> emit_tile) {
  ConvShape shape = row_shape(kernel);
  Tiling tiling = make_tiling(shape, kernel.tiles);
  std::string name = e.builder.GetInsertBlock()->getParent()->getName().str();
  int64_t tiles_of_panel = shape.n * shape.oh * static_cast<int64_t>(tiling.tiles.size());
  int64_t ahead_lines = ceil_div(panels.prefetch_floats, kLineFloats * tiles_of_panel);

  auto one_unit = [&](llvm::Value* unit) {
    UnitIndex at = decode_unit(e, unit, shape, tiling.tiles.size());
    RowRange rows = valid_rows(e, shape, at.row);
    llvm::Value* pixel = first_pixel(e, tiling, at.tile);
    llvm::Value* block = e.mul(at.outer, kernel.panel);
    auto at_tile = [&](const View& view, llvm::Value* base) {
      return block_address(e, view, base, {at.image, block, at.row, pixel});
    };
    BlockIndex window{at.image, e.table_entry(panels.first_block, at.outer, "first_block"),
                      e.sub(e.mul(at.row, shape.stride_h), shape.pad_top),
                      e.sub(e.mul(pixel, shape.stride_w), shape.pad_left)};
    llvm::Value* w =
        e.element(arguments.weights[0], e.table_entry(panels.weight_offset, at.outer, "weight_offset"));
    Values call{block_address(e, step.inputs[0], arguments.inputs[0], window), w,
                at_tile(step.output, arguments.out)};
    for (size_t i = 1; i < step.inputs.size(); ++i)
      call.push_back(at_tile(step.inputs[i], arguments.inputs[i]));
    if (kernel.has_bias) call.push_back(e.element(arguments.weights[1], e.mul(block, kChannelBlock)));
    if (ahead_lines) {
      llvm::Value* done = e.mul(e.rem(unit, tiles_of_panel), ahead_lines * kLineFloats);
      call.push_back(e.element(e.element(w, panels.prefetch_floats), done));
    }
    append_rows(e, rows, call);

    emit_by_class(e, at.outer, panels.class_of, [&](int p) {
      emit_by_class(e, at.tile, tiling.variant_of, [&](int v) {
        ConvTile tile{step, kernel, shape, tiling.variants[static_cast<size_t>(v)],
                      panels.classes[static_cast<size_t>(p)]};
        tile.ahead_lines = ahead_lines;
        tile.rows = rows;
        std::string tile_name = name + ".panel" + std::to_string(p) + ".tile" + std::to_string(v);
        e.builder.CreateCall(tile_function(e, tile, tile_name, emit_tile), call);
      });
    });
  };
  e.for_range(arguments.begin, arguments.end, 1, one_unit);
}

}  // namespace cardinal
