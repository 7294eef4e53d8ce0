// The products of fast matrix multiplication (passes/strassen.h):
//
//   for each unit (panel, image, tile):
//     tile function of (pixels, second pixels):      strassen_tile.h, shared by kernels of all shapes
#include <algorithm>
#include <tuple>

#include "codegen/cpu/conv.h"
#include "codegen/cpu/strassen_tile.h"
#include "passes/strassen.h"

namespace cardinal {
namespace {

constexpr int64_t kProducts = kStrassenProducts.size();

// Of the next panel's weights, with each block of input channels, so that a strip's tiles fetch them all. A
// few numbers only, so that kernels share tile functions; fetching lines twice costs next to nothing.
int64_t prefetched_lines(const StrassenKernel& kernel, int64_t strip) {
  const int64_t needed = ceil_div(kChannelBlock * kernel.panel, strip);
  return needed <= 2 ? 2 : ceil_div(needed, 8) * 8;
}

// The kernel: walks over units and calls tile functions.
class Products {
 public:
  Products(Emitter& e, const Step& step, const StrassenKernel& kernel, const KernelArguments& arguments)
      : e_(e),
        step_(step),
        kernel_(kernel),
        arguments_(arguments),
        block_floats_(strassen_block_floats(step.inputs[0].shape.c())),
        out_half_(step.output.blocks() / 2),
        strips_(e, step),
        ahead_lines_(prefetched_lines(kernel, strips_.strip())),
        share_floats_(kProducts * step.inputs[0].blocks() / 2 * ahead_lines_ * kLineFloats) {
    StrideTable table(step.inputs[0], out_half_ * kChannelBlock, block_floats_, sums_places());
    for (const RowTile& tile : kernel.tiles) {
      const auto second = static_cast<int>(std::clamp<int64_t>(kernel.second - tile.x, 0, tile.pixels));
      const std::pair<int, int> variant{static_cast<int>(tile.pixels), second};
      auto found = std::find(variants_.begin(), variants_.end(), variant);
      variant_of_.push_back(static_cast<int>(found - variants_.begin()));
      if (found == variants_.end()) variants_.push_back(variant);
      first_pixel_.push_back(tile.x);
    }
    ports_.push_back(table.add_port(step.output));
    for (size_t i = 1; i < step.inputs.size(); ++i) ports_.push_back(table.add_port(step.inputs[i]));
    strides_ = table.emit(e);
  }

  void emit() {
    strips_.for_strips(arguments_.begin, arguments_.end, [&](const Strips::Share& share) {
      strips_.for_runs(share.begin, share.end, [&](const Strips::Run& run) {
        emit_by_class(e_, run.channel, panel_classes(), [&](int panel) {
          const int64_t rest = out_half_ % kernel_.panel;
          emit_run(share, run, panel == 0 ? kernel_.panel : static_cast<int>(rest));
        });
      });
    });
  }

 private:
  void emit_run(const Strips::Share& share, const Strips::Run& run, int blocks) {
    const PartGrid parts{step_.output.shape.n(), 1, static_cast<int64_t>(kernel_.tiles.size())};
    const PanelArguments panel = panel_arguments(run);
    // Of all that are multiplied, those of the first panel form their sums.
    llvm::Value* formed = e_.sub(e_.add(share.begin, share.parts), run.position);
    e_.for_range(run.begin, run.end, 1, [&](llvm::Value* i) {
      const Part part = decode_part(e_, parts, e_.add(run.first, i));
      Values call = tile_arguments(panel, part, sums_of(share, i), i);
      call.push_back(e_.less(i, formed));
      emit_by_class(e_, part.tile, variant_of_,
                    [&](int v) { e_.builder.CreateCall(tile_function(blocks, v), call); });
    });
  }

  // From a tile's sums to S1 to S4. With a single panel S3 and S4 may have the places of S1 and S2, which are
  // read before: less to hold in the L1 cache.
  StrideTable::SumsPlaces sums_places() const {
    const int64_t place = step_.inputs[0].blocks() / 2 * kernel_.pixels * kChannelBlock;
    const bool single = strips_.channels() == 1;
    return {0, place, single ? 0 : 2 * place, single ? place : 3 * place};
  }

  // Where a tile's sums are, see plan.h. With a single panel no other tile's are needed any more.
  llvm::Value* sums_of(const Strips::Share& share, llvm::Value* of_strip) {
    llvm::Value* room = share.begin;
    if (strips_.channels() > 1) {
      llvm::Value* room_of_strip = e_.add(e_.mul(share.strip, strips_.strip()), strips_.parts());
      llvm::Value* room_of_whole = e_.mul(strips_.first_whole(arguments_.begin), strips_.strip());
      room = e_.add(e_.builder.CreateSelect(share.from_start, room_of_whole, room_of_strip), of_strip);
    }
    return e_.element(arguments_.scratch, e_.mul(room, step_.scratch->stride_n));
  }

  // 1: the last panel, if it has fewer blocks.
  std::vector<int> panel_classes() const {
    std::vector<int> classes(static_cast<size_t>(strips_.channels()), 0);
    if (out_half_ % kernel_.panel != 0) classes.back() = 1;
    return classes;
  }

  // Those that the tiles of a panel have in common, or where theirs are counted from.
  struct PanelArguments {
    llvm::Value *weights, *next;  // and those to be fetched
    Values places;                // of the result and of the inputs after x
    Values constants;
  };
  PanelArguments panel_arguments(const Strips::Run& run) {
    llvm::Value* block = e_.mul(run.channel, kernel_.panel);
    PanelArguments panel{e_.element(arguments_.weights[0], e_.mul(block, block_floats_)),
                         next_panel(e_, strips_, run, arguments_, kernel_.panel * block_floats_),
                         {},
                         {}};
    panel.places.push_back(block_address(e_, step_.output, arguments_.out, {0, block}));
    for (size_t i = 1; i < step_.inputs.size(); ++i)
      panel.places.push_back(block_address(e_, step_.inputs[i], arguments_.inputs[i], {0, block}));
    panel.constants.push_back(arguments_.weights[1]);
    for (size_t i = 2; i < arguments_.weights.size(); ++i)
      panel.constants.push_back(e_.element(arguments_.weights[i], e_.mul(block, kChannelBlock)));
    return panel;
  }

  Values tile_arguments(const PanelArguments& panel, const Part& part, llvm::Value* sums,
                        llvm::Value* of_strip) {
    llvm::Value* pixel = e_.table_entry(first_pixel_, part.tile, "first_pixel");
    const auto address = [&](const View& view, llvm::Value* base) {
      return block_address(e_, view, base, {part.image, 0, 0, pixel});
    };
    Values call{address(step_.inputs[0], arguments_.inputs[0]), sums, panel.weights};
    for (size_t i = 0; i < panel.places.size(); ++i)
      call.push_back(address(i == 0 ? step_.output : step_.inputs[i], panel.places[i]));
    call.append(panel.constants);
    // The next panel's weights, a share with each tile, the last of them again with the rest.
    const int64_t rest = std::max<int64_t>(0, kernel_.panel * block_floats_ - share_floats_);
    call.push_back(e_.element(panel.next, e_.min(e_.mul(of_strip, share_floats_), rest)));
    call.push_back(strides_);
    return call;
  }

  llvm::Function* tile_function(int blocks, int variant) {
    StrassenTile tile{step_, kernel_};
    tile.blocks = blocks;
    std::tie(tile.pixels, tile.second) = variants_[static_cast<size_t>(variant)];
    tile.ahead_lines = ahead_lines_;
    const std::string name = strassen_tile_name(e_, tile);
    if (llvm::Function* known = e_.module.getFunction(name)) return known;
    const size_t parameters = 4 + (step_.inputs.size() - 1) + (step_.weights.size() - 1) + 2;
    llvm::SmallVector<llvm::Type*> types(parameters, e_.ptr);
    types.push_back(e_.builder.getInt1Ty());
    return e_.outlined(name, types, [&](llvm::Function* function) {
      // Only the operands of the epilogue may be where the output is.
      for (unsigned i : {0u, 1u, 2u}) function->addParamAttr(i, llvm::Attribute::NoAlias);
      unsigned next = 0;
      const auto take = [&] { return function->getArg(next++); };
      tile.x = take(), tile.sums = take(), tile.weights = take();
      size_t input = 0;
      const auto port = [&] {
        const View& view = input == 0 ? step_.output : step_.inputs[input];
        return StrassenPort{&view, take(), ports_[input++]};
      };
      tile.out = port();
      if (kernel_.carries) tile.carried = port();
      for (int i = 0; i < epilogue_operands(kernel_.epilogue); ++i) tile.operands.push_back(port());
      if (kernel_.accumulates) tile.accumulated = port();
      tile.ratios = take(), tile.scales = take();
      if (kernel_.outer_scale) tile.outer_scales = take();
      if (kernel_.has_bias) tile.bias = take();
      tile.ahead = take(), tile.table = take(), tile.forms_sums = take();
      emit_strassen_tile(e_, tile);
    });
  }

  Emitter& e_;
  const Step& step_;
  const StrassenKernel& kernel_;
  const KernelArguments& arguments_;
  const int64_t block_floats_, out_half_;
  const Strips strips_;
  const int64_t ahead_lines_, share_floats_;
  std::vector<int> ports_;  // entries of the table: of the output, then of the inputs after x
  llvm::Value* strides_ = nullptr;
  std::vector<std::pair<int, int>> variants_;  // pixels, second pixels
  std::vector<int> variant_of_;                // by tile
  std::vector<int64_t> first_pixel_;
};

}  // namespace

void emit_strassen(Emitter& e, const Step& step, const StrassenKernel& kernel,
                   const KernelArguments& arguments) {
  Products(e, step, kernel, arguments).emit();
}

}  // namespace cardinal
