// What convolutions and pooling share: units cut a row of output pixels into tiles, taps that fall into the
// padding are left out. Which taps are valid horizontally is known for each tile when code is emitted,
// vertically it is a range computed for each row when the code runs.
#pragma once

#include <algorithm>

#include "codegen/cpu/kernels.h"
#include "passes/strips.h"

namespace cardinal {

using PixelSet = uint64_t;  // bit i: pixel i of a tile
inline bool contains(PixelSet set, int pixel) { return (set >> pixel) & 1; }

// Consecutive horizontal taps [first, end) that are inside the image for the same pixels of a tile.
struct TapRun {
  int64_t first = 0, end = 0;
  PixelSet pixels = 0;
  bool operator==(const TapRun&) const = default;
};

// Tiles of equal width and equal runs share code. Taps that are valid for no pixel are in no run.
struct TileVariant {
  int pixels = 0;
  std::vector<TapRun> runs;
  bool operator==(const TileVariant&) const = default;
  bool valid(int pixel, int64_t tap) const;
};

struct Tiling {
  std::vector<RowTile> tiles;
  std::vector<TileVariant> variants;
  std::vector<int> variant_of;  // by tile
};
Tiling make_tiling(const ConvShape&, const std::vector<RowTile>&);
llvm::Value* first_pixel(Emitter&, const Tiling&, llvm::Value* tile);

// The parts of the images that a step's units are taken in, see Step::strip.
class Strips {
 public:
  Strips(Emitter& e, const Step& step)
      : e_(e),
        channels_(channel_parts(step)),
        parts_(step.units / channels_),
        strip_(step.strip ? std::min(step.strip, parts_) : parts_) {}
  int64_t channels() const { return channels_; }
  int64_t strip() const { return strip_; }
  bool single() const { return strip_ == parts_; }

  struct Place {
    llvm::Value* unit = nullptr;      // as plan.h counts
    llvm::Value* channel = nullptr;   // its block or panel
    llvm::Value* of_strip = nullptr;  // which part of its strip it is
    llvm::Value* end = nullptr;  // the position of the first unit after it whose channel or strip is another
  };
  // Of the unit that is done as the `position`-th.
  Place locate(llvm::Value* position) const;
  // The units of one strip among those done from `begin` to `end`.
  struct Share {
    llvm::Value *begin, *end;  // positions
    llvm::Value* strip;        // counted from 0
    llvm::Value* parts;        // of the strip
    llvm::Value* from_start;   // whether the first of them is the strip's first
  };
  void for_strips(llvm::Value* begin, llvm::Value* end, llvm::function_ref<void(const Share&)> body) const;
  // The first strip all of whose units come after `begin`, counted from 0.
  llvm::Value* first_whole(llvm::Value* begin) const;
  int64_t parts() const { return parts_; }
  // body(begin, end) for runs of consecutive units that together are those done from `begin` to `end`.
  void for_runs(llvm::Value* begin, llvm::Value* end,
                llvm::function_ref<void(llvm::Value*, llvm::Value*)> body) const;

 private:
  struct Run {
    llvm::Value *index, *position, *unit, *length;
  };
  Run run(llvm::Value* index) const;
  Run run_at(llvm::Value* position) const;

  Emitter& e_;
  int64_t channels_, parts_, strip_;
};
// body(unit) for all units [arguments.begin, arguments.end), counted as plan.h does.
void for_units(Emitter&, const Step&, const KernelArguments&, llvm::function_ref<void(llvm::Value*)> body);

// The weights that follow those of a unit's panel: of the next panel that is computed, `floats` apart, or of
// the next step.
llvm::Value* next_panel(Emitter&, const Strips&, const Strips::Place&, const KernelArguments&,
                        int64_t floats);

// unit = ((outer * images + image) * rows + row) * tiles + tile
struct UnitIndex {
  llvm::Value *outer, *image, *row, *tile;
};
UnitIndex decode_unit(Emitter&, llvm::Value* unit, const ConvShape&, size_t tiles);

// The kernel rows [begin, end) inside the image for an output row; constants if that is all of them
// everywhere.
struct RowRange {
  Index begin = 0, end = 0;
  Trips trips = Trips::any;  // whether the range is empty somewhere
  bool constant() const { return begin.is_constant(); }
};
RowRange valid_rows(Emitter&, const ConvShape&, llvm::Value* row);
// The same range as parameters of a tile function, and back.
void append_rows(Emitter&, const RowRange&, Values& arguments);
RowRange rows_from(const RowRange& range, llvm::Function* tile, unsigned first_parameter);

// emit(class_of[i]): no branch if all classes are the same, else a switch with the commonest class as its
// default.
void emit_by_class(Emitter&, llvm::Value* i, llvm::ArrayRef<int> class_of,
                   llvm::function_ref<void(int)> emit);

}  // namespace cardinal
