// A tile function of fast matrix multiplication: the seven products of passes/strassen.h for some pairs of
// pixels and a panel of output channels, each added to an earlier one as it is computed:
//
//   y = A11 B11;          out 11 = finish(y + A12 B21)
//   u = y + S2 T2;        v = u + S1 T1;    out 12 = finish(v + S4 B22)
//   y = S3 T3;            out 22 = finish(y + v)
//   y = y + u;            out 21 = finish(y + A22 T4)
//
// y, u and v are on the stack between the reductions, which are calls of a function that all tiles share. A
// reduction also forms sums of quarters that a later one reads, block by block, while FMAs keep the CPU busy
// (a pass of their own took 5% of ResNeXt-50's time), for the first panel; the others find them. Strides are
// read from a table of the kernel's, so that layers of all shapes share tile functions.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "codegen/emitter.h"

namespace cardinal {

// The strides that tile functions read.
class StrideTable {
 public:
  enum Entry : int {
    blocks,         // of input channels in a product
    x_block,        // floats from a block of x to the next
    x_half,         // to the second half of its channels
    x_row,          // to the other pixels of the pairs
    weight_block,   // from the weights of a block of output channels to those of the next
    half_channels,  // of the output
    sums,           // sums + n: from the start of a tile's sums to Sn
    first_port = sums + 5
  };
  using SumsPlaces = std::array<int64_t, 4>;  // of S1 to S4
  StrideTable(const View& x, int64_t out_half_channels, int64_t weight_floats, const SumsPlaces&);
  // Floats to the next block, half, row of a view whose rows and halves of channels are quarters.
  int add_port(const View&);
  llvm::Value* emit(Emitter&) const;
  static llvm::Value* load(Emitter&, llvm::Value* table, int entry);

 private:
  std::vector<uint64_t> values_;
};

// What a tile reads or writes of a view besides x and the sums.
struct StrassenPort {
  const View* view = nullptr;
  llvm::Value* at = nullptr;  // pixel 0 of row 0, block 0 of the panel in the first half
  int strides = 0;            // where the table has them
};

// What a tile function is made for, and its parameters.
struct StrassenTile {
  const Step& step;
  const StrassenKernel& kernel;
  int pixels = 0, second = 0;  // second: how many of the pixels have another in the second half
  int blocks = 1;              // of the panel
  int64_t ahead_lines = 0;     // of weights, prefetched with each block of the reduction
  llvm::Value *x = nullptr, *sums = nullptr, *weights = nullptr;
  llvm::Value *ratios = nullptr, *scales = nullptr;
  llvm::Value *outer_scales = nullptr, *bias = nullptr;  // of block 0 of the panel
  llvm::Value *ahead = nullptr, *table = nullptr;
  llvm::Value* forms_sums = nullptr;  // or else they are in their places
  StrassenPort out, carried, accumulated;
  std::vector<StrassenPort> operands;
};

// Everything that the code of a tile function depends on.
std::string strassen_tile_name(const Emitter&, const StrassenTile&);
void emit_strassen_tile(Emitter&, const StrassenTile&);

}  // namespace cardinal
