#include "codegen/cpu/window.h"

#include <fmt/format.h>

#include <algorithm>

namespace cardinal {

bool TileVariant::valid(int pixel, int64_t tap) const {
  return std::any_of(runs.begin(), runs.end(), [&](const TapRun& run) {
    return run.first <= tap && tap < run.end && contains(run.pixels, pixel);
  });
}

std::map<int64_t, std::vector<ColumnUse>> uses_by_column(const ConvShape& shape, const TileVariant& variant) {
  std::map<int64_t, std::vector<ColumnUse>> uses;
  for (int i = 0; i < variant.pixels; ++i)
    for (int64_t tap = 0; tap < shape.kw; ++tap)
      if (variant.valid(i, tap)) uses[i * shape.stride_w + tap * shape.dilation_w].push_back({i, tap});
  return uses;
}

static TileVariant make_variant(const ConvShape& shape, const RowTile& tile, int rows) {
  assert(tile.pixels <= 64);
  TileVariant variant{rows, static_cast<int>(tile.pixels), {}};
  for (int64_t tap = 0; tap < shape.kw; ++tap) {
    PixelSet valid = 0;
    for (int64_t i = 0; i < tile.pixels; ++i) {
      int64_t column = (tile.x + i) * shape.stride_w - shape.pad_left + tap * shape.dilation_w;
      if (column >= 0 && column < shape.iw) valid |= PixelSet{1} << i;
    }
    if (valid == 0) continue;
    if (!variant.runs.empty() && variant.runs.back().end == tap && variant.runs.back().pixels == valid)
      variant.runs.back().end = tap + 1;
    else
      variant.runs.push_back({tap, tap + 1, valid});
  }
  return variant;
}

void Tiling::append(const ConvShape& shape, const std::vector<RowTile>& more, int rows) {
  for (const RowTile& tile : more) {
    tiles.push_back(tile);
    const TileVariant variant = make_variant(shape, tile, rows);
    const auto found = std::find(variants.begin(), variants.end(), variant);
    variant_of.push_back(static_cast<int>(found - variants.begin()));
    if (found == variants.end()) variants.push_back(variant);
  }
}

Tiling make_tiling(const ConvShape& shape, const std::vector<RowTile>& tiles) {
  Tiling tiling;
  tiling.append(shape, tiles, 1);
  return tiling;
}

llvm::Value* first_pixel(Emitter& e, const Tiling& tiling, llvm::Value* tile) {
  std::vector<int64_t> first;
  for (const RowTile& t : tiling.tiles) first.push_back(t.x);
  return e.table_entry(first, tile, "first_pixel");
}

Strips::Place Strips::place(llvm::Value* index) const {
  if (strip_ == parts_) return {index, index, e_.integer(0), e_.mul(index, parts_), e_.integer(parts_)};
  llvm::Value *strip = e_.div(index, channels_), *channel = e_.rem(index, channels_);
  llvm::Value* first = e_.mul(strip, strip_);
  llvm::Value* length = parts_ % strip_ == 0 ? e_.integer(strip_) : e_.min(strip_, e_.sub(parts_, first));
  return {index, channel, first, e_.add(e_.mul(first, channels_), e_.mul(channel, length)), length};
}

llvm::Value* Strips::index_at(llvm::Value* position) const {
  if (strip_ == parts_) return e_.div(position, parts_);
  const std::string name = fmt::format("{}.run_{}_{}_{}", e_.target.cpu, channels_, parts_, strip_);
  llvm::Function* function = e_.module.getFunction(name);
  if (!function) {
    const llvm::IRBuilderBase::InsertPointGuard guard(e_.builder);
    function = e_.begin_function(name, {e_.i64}, e_.i64);
    llvm::Value* at = function->getArg(0);
    const Place first = place(e_.mul(e_.div(at, channels_ * strip_), channels_));
    llvm::Value* channel = e_.builder.CreateUDiv(e_.sub(at, first.position), first.length);
    e_.builder.CreateRet(e_.add(first.index, channel));
  }
  return e_.builder.CreateCall(function, {position});
}

llvm::Value* Strips::channel_at(llvm::Value* position) const { return place(index_at(position)).channel; }

llvm::Value* Strips::first_whole(llvm::Value* begin) const {
  const int64_t units = channels_ * strip_;
  return e_.div(e_.add(begin, units - 1), units);
}

void Strips::for_strips(llvm::Value* begin, llvm::Value* end,
                        llvm::function_ref<void(const Share&)> body) const {
  const int64_t units = channels_ * strip_;
  e_.for_range(e_.div(begin, units), first_whole(end), 1, [&](llvm::Value* strip) {
    llvm::Value* position = e_.mul(strip, units);
    llvm::Value* parts =
        parts_ % strip_ == 0 ? e_.integer(strip_) : e_.min(strip_, e_.sub(parts_, e_.mul(strip, strip_)));
    Share share{e_.max(begin, position), e_.min(end, e_.add(position, e_.mul(parts, channels_))), strip,
                parts};
    share.from_start = e_.builder.CreateICmpEQ(share.begin, position);
    body(share);
  });
}

void Strips::for_runs(llvm::Value* begin, llvm::Value* end, llvm::function_ref<void(const Run&)> body) const {
  llvm::Value *first = index_at(begin), *last = index_at(e_.sub(end, 1));
  llvm::Value* end_index = e_.builder.CreateSelect(e_.less(begin, end), e_.add(last, 1), first);
  e_.for_range(first, end_index, 1, [&](llvm::Value* index) {
    const Place p = place(index);
    body({p.channel, p.first, e_.max(0, e_.sub(begin, p.position)), e_.min(p.length, e_.sub(end, p.position)),
          p.position, e_.add(p.position, p.length)});
  });
}

llvm::Value* next_panel(Emitter& e, const Strips& strips, const Strips::Run& run,
                        const KernelArguments& arguments, int64_t floats) {
  llvm::Value* panel = e.rem(e.add(run.channel, 1), strips.channels());
  return e.builder.CreateSelect(e.less(run.next, arguments.end),
                                e.element(arguments.weights[0], e.mul(panel, floats)), arguments.next);
}

Part decode_part(Emitter& e, const PartGrid& grid, llvm::Value* part) {
  // The last quotient needs no remainder.
  const auto split = [&](int64_t count, bool is_last) {
    llvm::Value* remainder = is_last && count > 1 ? part : e.rem(part, count);
    part = is_last ? e.integer(0) : e.div(part, count);
    return remainder;
  };
  Part result{};
  result.tile = split(grid.tiles, grid.rows == 1 && grid.images == 1);
  result.row = split(grid.rows, grid.images == 1);
  result.image = part;
  return result;
}

void for_units(Emitter& e, const Step& step, const KernelArguments& arguments, const PartGrid& grid,
               llvm::function_ref<void(const UnitIndex&)> body) {
  const Strips strips(e, step);
  strips.for_runs(arguments.begin, arguments.end, [&](const Strips::Run& run) {
    e.for_range(run.begin, run.end, 1, [&](llvm::Value* i) {
      const Part part = decode_part(e, grid, e.add(run.first, i));
      body({run.channel, part.image, part.row, part.tile});
    });
  });
}

RowRange valid_rows(Emitter& e, const ConvShape& shape, llvm::Value* row) {
  int64_t last_top = (shape.oh - 1) * shape.stride_h - shape.pad_top;
  if (shape.pad_top == 0 && last_top + (shape.kh - 1) * shape.dilation_h < shape.ih)
    return {0, shape.kh, Trips::at_least_one};

  RowRange range;
  range.trips = Trips::at_least_one;
  for (int64_t y = 0; y < shape.oh; ++y) {
    bool any = false;
    for (int64_t r = 0; r < shape.kh && !any; ++r) {
      int64_t h = y * shape.stride_h - shape.pad_top + r * shape.dilation_h;
      any = h >= 0 && h < shape.ih;
    }
    if (!any) range.trips = Trips::any;
  }
  llvm::Value* top = e.sub(e.mul(row, shape.stride_h), shape.pad_top);
  // The number of taps before input row `limit`, counted from `top`.
  auto taps_before = [&](int64_t limit) {
    llvm::Value* distance = e.max(e.sub(limit, top), 0);
    return e.min(e.div(e.add(distance, shape.dilation_h - 1), shape.dilation_h), shape.kh);
  };
  range.begin = taps_before(0);
  range.end = taps_before(shape.ih);
  return range;
}

void append_rows(Emitter& e, const RowRange& range, Values& arguments) {
  if (range.constant()) return;
  arguments.push_back(e.value_of(range.begin));
  arguments.push_back(e.value_of(range.end));
}

RowRange rows_from(const RowRange& range, llvm::Function* tile, unsigned first_parameter) {
  if (range.constant()) return range;
  return {tile->getArg(first_parameter), tile->getArg(first_parameter + 1), range.trips};
}

void emit_by_class(Emitter& e, llvm::Value* i, llvm::ArrayRef<int> class_of,
                   llvm::function_ref<void(int)> emit) {
  int classes = *std::max_element(class_of.begin(), class_of.end()) + 1;
  std::vector<int64_t> count(static_cast<size_t>(classes));
  for (int c : class_of) ++count[static_cast<size_t>(c)];
  auto commonest = static_cast<int>(std::max_element(count.begin(), count.end()) - count.begin());
  if (count[static_cast<size_t>(commonest)] == static_cast<int64_t>(class_of.size())) return emit(commonest);

  llvm::LLVMContext& context = e.module.getContext();
  llvm::Function* function = e.builder.GetInsertBlock()->getParent();
  auto* join = llvm::BasicBlock::Create(context, "join", function);
  std::vector<llvm::BasicBlock*> blocks(static_cast<size_t>(classes));
  for (auto& block : blocks) block = llvm::BasicBlock::Create(context, "class", function, join);
  auto* choice = e.builder.CreateSwitch(i, blocks[static_cast<size_t>(commonest)]);
  for (size_t at = 0; at < class_of.size(); ++at)
    if (class_of[at] != commonest)
      choice->addCase(e.builder.getInt64(at), blocks[static_cast<size_t>(class_of[at])]);
  for (int c = 0; c < classes; ++c) {
    e.builder.SetInsertPoint(blocks[static_cast<size_t>(c)]);
    if (count[static_cast<size_t>(c)] == 0)
      e.builder.CreateUnreachable();
    else
      emit(c), e.builder.CreateBr(join);
  }
  join->moveAfter(e.builder.GetInsertBlock());
  e.builder.SetInsertPoint(join);
}

}  // namespace cardinal
