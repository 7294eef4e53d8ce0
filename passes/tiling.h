// How a convolution or pooling is cut into register tiles.
#pragma once

#include <vector>

#include "passes/plan.h"

namespace cardinal {

// The outputs of one axis for which a tap of the window falls inside the input: [begin, end), possibly empty.
struct OutputRange {
  int64_t begin = 0, end = 0;
  int64_t overlap(int64_t from, int64_t to) const;  // with [from, to)
};
OutputRange valid_rows(const ConvShape&, int64_t ky);
OutputRange valid_columns(const ConvShape&, int64_t kx);

// The fewest tiles of at most `widest` pixels that cover `length`, of one or two adjacent widths, the wider
// ones first.
std::vector<RowTile> balanced_tiles(int64_t length, int64_t widest);

// A 1x1 convolution without stride or padding does not see rows: the image is one row. Not beyond 64 Ki
// pixels, where it would only make the list of tiles long.
bool collapses(const ConvShape&);
int64_t row_length(const ConvShape&);  // of the rows that are tiled: oh * ow if collapsed
int64_t row_count(const ConvShape&);
// The tiles of the rows that bands of `rows` leave, with no more pixels in all than a band's have.
std::vector<RowTile> last_band_tiles(const ConvShape&, int64_t rows, int64_t pixels);
int64_t units_of_image(const ConvKernel&);  // for each panel

// Blocks of input channels that each panel of `panel` output blocks needs.
struct InputWindows {
  int64_t reduce_blocks = 0;         // as many for every panel
  std::vector<int64_t> first_block;  // per panel; empty if all 0
};
InputWindows input_windows(const ConvShape&, int64_t panel);
// Lanes that a direct kernel computes of the last block of output channels: those of the vectors that hold
// any. Where the block's other lanes exist, they are set to 0.
int64_t last_block_width(const ConvShape&, const Target&);
// Whether a direct kernel's tile of one block of output channels, two vectors, has more accumulators than
// leave room for both vectors of weights: the second one is then each FMA's operand in memory.
bool rereads_weights(const Target&, int64_t pixels, int64_t panel);
// Whether a lanes kernel has so few products in each sum, as those of depthwise 3x3 kernels, that the CPU
// computes several tiles at a time and that epilogues take a good part of the time.
bool has_short_sums(const ConvShape&);
// Whether a lanes kernel may fill all vector registers: AVX2 has few of them, and LLVM uses the last one.
// Where sums are short epilogues need them: on Zen 3 SiLU after 14 accumulators takes half as long again as
// after 7.
bool fills_registers(const ConvShape&, const Target&);
// The taps of a row whose weights a lanes kernel holds in registers, those in the middle, which most pixels
// have: as many as `pixels` accumulators and a column of x leave room for, but one at least. The others'
// weights are each FMA's operand in memory.
struct HeldTaps {
  int64_t first = 0, end = 0;
  bool contains(int64_t tap) const { return first <= tap && tap < end; }
};
HeldTaps held_taps(const ConvShape&, const Target&, int64_t pixels);
// From the packed weights of one block of output channels to those of the next: an odd number of cache lines,
// since the blocks of a panel, which are read together, would else fall into the same few sets of the caches.
int64_t weight_block_floats(const ConvKernel&);
// What a direct convolution adds up by itself where sums are blocked: about 64 terms. Where groups straddle
// blocks all of them, for what is reduced depends on the panel there.
SumBlock blocked_sum(const ConvShape&);
// How a direct kernel without groups goes over its tiles and input blocks for the caches' sake: in strips of
// so many tiles, see Step, and in passes of so many input blocks, see ConvKernel. 0: all.
struct Passes {
  int64_t tiles = 0, blocks = 0;
};
Passes choose_passes(const ConvKernel&, const Target&);
// Whether a lanes kernel prefetches the rows of x that the next row of pixels reads: x does not stay in L2.
// Zen 3: the depthwise layers of MobileNetV2 on 112x112 and 56x56 take 0.87 and 0.95 of the time.
bool prefetches_rows(const ConvShape&, const Target&);
// How many columns of x a pooling kernel takes at a time: their sums or maxima stay in registers.
int64_t pool_columns(const Target&);
// Whether groups are whole blocks of channels on both sides, so that a panel within a group wastes nothing.
bool groups_are_whole_blocks(const ConvShape&);

}  // namespace cardinal
