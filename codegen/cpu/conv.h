// What the convolution algorithms share: the kernel function that walks over units and calls a tile function
// for each, and the epilogue of a tile. An algorithm says how weights are laid out in panels and emits the
// reduction of a tile.
//
//   for each unit (panel, image, band, tile):                   the kernel function
//     tile function of (tile variant, panel class):             never inlined
//       acc[i][j] = reduction                                   the algorithm's
//       out[i][j] = epilogue(acc[i][j])                         store_tile
//
// Where rows are added up, a unit is a band of tiles, which add what they store to its rows' sums.
#pragma once

#include "codegen/cpu/kernels.h"
#include "codegen/cpu/window.h"

namespace cardinal {

inline constexpr int64_t kLineFloats = 16;  // of a cache line

// Panels of equal class run the same code.
struct PanelClass {
  int blocks = 1;             // of 16 output channels
  bool last = false;          // its last block is the tensors' last, and is masked in one of them
  int64_t tail_channels = 0;  // of a last input block that is not whole; 0 if all are whole
  int last_width = 16;        // lanes that are computed of its last block
  bool operator==(const PanelClass&) const = default;
};

struct Panels {
  std::vector<PanelClass> classes;
  std::vector<int> class_of;           // the rest by panel
  std::vector<int64_t> first_block;    // of the input
  std::vector<int64_t> weight_offset;  // floats
  bool indexed = false;                // whether tile functions are told which panel they compute
  int64_t floats = 0;                  // from a panel's weights to the next one's
  int64_t block_floats = 0;            // from those of one input block to those of the next
  void append(const PanelClass&, int64_t first, int64_t offset);
};

// Whether any tensor that a tile's blocks are read from or written to lacks the lanes beyond its last
// channel.
bool masked(const Step&);

// Which part of the reduction a tile function does, see ConvKernel.
struct ReducePass {
  int64_t blocks = 0;               // of the input
  bool starts = true, ends = true;  // else it takes up the partial sums in the output, leaves them there
  bool whole() const { return starts && ends; }
};

using RowRanges = llvm::SmallVector<RowRange, 3>;

// A tile function: what it is made for, and its parameters.
struct ConvTile {
  const Step& step;
  const ConvKernel& kernel;
  const ConvShape& shape;  // rows joined if the kernel is collapsed
  const TileVariant& variant;
  const PanelClass& panel;
  ReducePass pass;
  llvm::Value* x = nullptr;     // at channel 0 of the pass's first block, row 0 and tap 0 of pixel 0's window
  llvm::Value* w = nullptr;     // the panel's, of the pass's first block
  llvm::Value* bias = nullptr;  // of the panel; null if there is none
  llvm::Value* index = nullptr;  // of the panel, if Panels::indexed
  llvm::Value* ahead = nullptr;  // this tile's share of the next panel's weights, to be prefetched
  int64_t ahead_lines = 0;       // of 64 bytes, for each of the panel's blocks
  llvm::Value* out = nullptr;    // at pixel 0 and block 0 of the tile, as are the epilogue's operands
  Values operands;
  llvm::Value* row_sum = nullptr;  // at block 0 of the tile's first row, if rows are added up
  RowRanges rows;  // of the kernel that are inside the image, for each of the tile's rows of pixels
  const View& x_view() const { return step.inputs[0]; }
  bool is_last_block(int j) const { return panel.last && j == panel.blocks - 1; }
  // Lanes of the results of block `j` of the panel.
  int width(int j) const {
    return j == panel.blocks - 1 ? panel.last_width : static_cast<int>(kChannelBlock);
  }
  // Lanes that exist of block `j` of the panel in one of the step's views.
  int lanes(const View& view, int j) const {
    return is_last_block(j) ? last_block_lanes(view) : static_cast<int>(kChannelBlock);
  }
};

// Partial sums, one for each result, from where the output is and back.
Values load_partial(Emitter&, const ConvTile&);
void store_partial(Emitter&, const ConvTile&, const Values& acc);

// Applies the epilogue to the results of pixel i (row by row) and block j, at [i * panel.blocks + j], stores
// them and adds them to the sums of their rows, if any.
// They are as wide as ConvTile::width says, or narrower vectors starting at lane `first_lane` of their
// blocks.
void store_tile(Emitter&, const ConvTile&, const Values& acc, int first_lane = 0);

// Emits the kernel. `emit_tile` emits the body of a tile function.
void emit_conv(Emitter&, const Step&, const ConvKernel&, const KernelArguments&, const Panels&,
               llvm::function_ref<void(const ConvTile&)> emit_tile);

}  // namespace cardinal
