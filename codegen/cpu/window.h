// What convolutions and pooling share: units cut a row of output pixels into tiles, taps that fall into the
// padding are left out. Which taps are valid horizontally is known for each tile when code is emitted,
// vertically it is a range computed for each row when the code runs.
#pragma once

#include <algorithm>
#include <map>

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

// Tiles of equal size and equal runs share code. Taps that are valid for no pixel are in no run.
struct TileVariant {
  int rows = 1;    // of pixels
  int pixels = 0;  // of a row
  std::vector<TapRun> runs;
  bool operator==(const TileVariant&) const = default;
  bool valid(int pixel, int64_t tap) const;
};

// What a column of the input is for in a tile.
struct ColumnUse {
  int pixel = 0;  // of a row
  int64_t tap = 0;
};
// By column from the start of pixel 0's window.
std::map<int64_t, std::vector<ColumnUse>> uses_by_column(const ConvShape&, const TileVariant&);

struct Tiling {
  std::vector<RowTile> tiles;
  std::vector<TileVariant> variants;
  std::vector<int> variant_of;  // by tile
  void append(const ConvShape&, const std::vector<RowTile>&, int rows);
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
  int64_t parts() const { return parts_; }
  int64_t strip() const { return strip_; }

  // Consecutive units of a strip that have the channels in common.
  struct Run {
    llvm::Value* channel = nullptr;                // their block or panel
    llvm::Value* first = nullptr;                  // the strip's first part
    llvm::Value *begin = nullptr, *end = nullptr;  // the parts, counted from that one
    // The positions of the strip's first part and of that after its last one, with these channels.
    llvm::Value *position = nullptr, *next = nullptr;
  };
  // body(run) for the units done from the `begin`-th to the `end`-th.
  void for_runs(llvm::Value* begin, llvm::Value* end, llvm::function_ref<void(const Run&)> body) const;
  llvm::Value* channel_at(llvm::Value* position) const;
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

 private:
  // A strip's parts with some channels; `index` counts them in the order in which they are done.
  struct Place {
    llvm::Value *index, *channel, *first, *position, *length;
  };
  Place place(llvm::Value* index) const;
  llvm::Value* index_at(llvm::Value* position) const;

  Emitter& e_;
  int64_t channels_, parts_, strip_;
};

// The weights that follow those of a run's panel: of the next panel that is computed, `floats` apart, or of
// the next step.
llvm::Value* next_panel(Emitter&, const Strips&, const Strips::Run&, const KernelArguments&, int64_t floats);

// A part of the images is a tile of a row of one: (image * rows + row) * tiles + tile.
struct PartGrid {
  int64_t images = 1, rows = 1, tiles = 1;
};
struct Part {
  llvm::Value *image, *row, *tile;
};
Part decode_part(Emitter&, const PartGrid&, llvm::Value* part);

struct UnitIndex {
  llvm::Value *outer, *image, *row, *tile;  // outer: the block or panel
};
// body(unit) for all units [arguments.begin, arguments.end) of a step.
void for_units(Emitter&, const Step&, const KernelArguments&, const PartGrid&,
               llvm::function_ref<void(const UnitIndex&)> body);

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
