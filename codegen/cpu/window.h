// What convolutions and pooling share: units cut a row of output pixels into tiles, taps that fall into the
// padding are left out. Which taps are valid horizontally is known for each tile when code is emitted,
// vertically it is a range computed for each row when the code runs.
#pragma once

#include "codegen/emitter.h"

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
