#include "passes/tiling.h"

#include <algorithm>

namespace cardinal {

namespace {

// Outputs o with 0 <= o * stride + position < in.
OutputRange valid_outputs(int64_t position, int64_t stride, int64_t in, int64_t out) {
  const int64_t begin = position >= 0 ? 0 : ceil_div(-position, stride);
  const int64_t end = position < in ? (in - 1 - position) / stride + 1 : 0;
  return {std::min(begin, out), std::max(std::min(begin, out), std::min(end, out))};
}

}  // namespace

int64_t OutputRange::overlap(int64_t from, int64_t to) const {
  return std::max<int64_t>(0, std::min(end, to) - std::max(begin, from));
}

OutputRange valid_rows(const ConvShape& s, int64_t ky) {
  return valid_outputs(ky * s.dilation_h - s.pad_top, s.stride_h, s.ih, s.oh);
}

OutputRange valid_columns(const ConvShape& s, int64_t kx) {
  return valid_outputs(kx * s.dilation_w - s.pad_left, s.stride_w, s.iw, s.ow);
}

std::vector<RowTile> balanced_tiles(int64_t length, int64_t widest) {
  const int64_t count = ceil_div(length, widest);
  const int64_t narrow = length / count, wider = length % count;
  std::vector<RowTile> tiles;
  tiles.reserve(static_cast<size_t>(count));
  int64_t x = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t pixels = narrow + (i < wider ? 1 : 0);
    tiles.push_back({x, pixels});
    x += pixels;
  }
  return tiles;
}

bool collapses(const ConvShape& s) {
  return s.kh == 1 && s.kw == 1 && s.stride_h == 1 && s.stride_w == 1 && s.pad_top == 0 && s.pad_left == 0 &&
         s.oh == s.ih && s.ow == s.iw && s.oh * s.ow <= 65536;
}

int64_t row_length(const ConvShape& s) { return collapses(s) ? s.oh * s.ow : s.ow; }
int64_t row_count(const ConvShape& s) { return collapses(s) ? 1 : s.oh; }

bool groups_are_whole_blocks(const ConvShape& s) {
  return s.groups > 1 && s.ic / s.groups % kChannelBlock == 0 && s.oc / s.groups % kChannelBlock == 0;
}

InputWindows input_windows(const ConvShape& s, int64_t panel) {
  const int64_t ic_blocks = ceil_div(s.ic, kChannelBlock), oc_blocks = ceil_div(s.oc, kChannelBlock);
  if (s.groups == 1) return {ic_blocks, {}};
  const int64_t icg = s.ic / s.groups, ocg = s.oc / s.groups;
  InputWindows windows;
  for (int64_t block = 0; block < oc_blocks; block += panel) {
    const int64_t last_channel = std::min((block + panel) * kChannelBlock, s.oc) - 1;
    const int64_t begin = block * kChannelBlock / ocg * icg, end = (last_channel / ocg + 1) * icg;
    windows.first_block.push_back(begin / kChannelBlock);
    windows.reduce_blocks =
        std::max(windows.reduce_blocks, ceil_div(end, kChannelBlock) - begin / kChannelBlock);
  }
  for (int64_t& first : windows.first_block) first = std::min(first, ic_blocks - windows.reduce_blocks);
  if (windows.first_block.back() == 0) windows.first_block.clear();
  return windows;
}

int64_t last_block_width(const ConvShape& s, const Target& t) {
  const int64_t tail = s.oc % kChannelBlock;
  return tail == 0 ? kChannelBlock : std::min(kChannelBlock, round_up(tail, t.vector_lanes));
}

SumBlock blocked_sum(const ConvShape& s) {
  constexpr int64_t kTerms = 64;
  if (s.groups > 1 && !groups_are_whole_blocks(s)) return {};
  const int64_t channels = s.ic / s.groups, row = std::min(channels, kChannelBlock) * s.kw;
  if (s.kh > 1 && row * s.kh > kTerms) return {1, std::max<int64_t>(1, kTerms / row)};
  const int64_t blocks = std::max<int64_t>(1, kTerms / (row * s.kh));
  return {blocks < ceil_div(channels, kChannelBlock) ? blocks : 0, 0};
}

Passes choose_passes(const ConvKernel& kernel, const Target& t) {
  const ConvShape& s = kernel.shape;
  if (kernel.algorithm != ConvAlgorithm::direct || s.groups != 1) return {};
  // Bytes that a step of a tile's reduction reads of x and of the weights for each cycle of its
  // multiply-adds. What L2 and L3 deliver beside them without being noticed was found on Zen 3: 6x1 tiles,
  // which read 4 and 11, reach 82 to 91% of FMA peak without passes and 94 to 96% with them (3x3 kernels 55
  // to 84% and 75 to 92%). 14x2 tiles of AVX-512 read half of that. Reading x from few input blocks is not
  // noticed either: as many streams are prefetched by the CPU itself.
  constexpr double kHiddenX = 3, kHiddenWeights = 8;
  constexpr int64_t kPrefetchedStreams = 8;
  const double cycles =
      static_cast<double>(kernel.pixels * kernel.panel * kChannelBlock) / (t.vector_lanes * t.fma_per_cycle);
  const int64_t tiles = s.n * units_of_image(kernel);
  constexpr int64_t kFewTiles = 4;  // would not use weights again often enough
  if (tiles < kFewTiles) return {};
  Passes passes;
  constexpr int64_t kVectorBytes = 4 * kChannelBlock;
  const int64_t block_lines = kernel.panel * s.kh * s.kw * kChannelBlock;  // of the weights
  const int64_t l1_blocks = t.l1_bytes / 2 / (block_lines * kVectorBytes);
  if (static_cast<double>(kernel.panel * kVectorBytes) > kHiddenWeights * cycles &&
      kernel.reduce_blocks > l1_blocks && l1_blocks > 0)
    passes.blocks = ceil_div(kernel.reduce_blocks, ceil_div(kernel.reduce_blocks, l1_blocks));
  if (passes.blocks && kernel.sum.blocks)
    passes.blocks = std::max<int64_t>(1, passes.blocks / kernel.sum.blocks) * kernel.sum.blocks;
  const int64_t blocks = passes.blocks ? passes.blocks : kernel.reduce_blocks;
  const int64_t l2_tiles = t.l2_bytes / 2 / (blocks * kVectorBytes * kernel.pixels);
  const bool again = ceil_div(s.oc, kChannelBlock) > kernel.panel;  // a second panel reads x again
  if (again && blocks > kPrefetchedStreams && static_cast<double>(4 * kernel.pixels) > kHiddenX * cycles &&
      tiles > l2_tiles && l2_tiles >= kFewTiles)
    passes.tiles = ceil_div(tiles, ceil_div(tiles, l2_tiles));
  return passes;
}

std::vector<RowTile> last_band_tiles(const ConvShape& s, int64_t rows, int64_t pixels) {
  const int64_t rest = row_count(s) % rows;
  return rest ? balanced_tiles(row_length(s), rows * pixels / rest) : std::vector<RowTile>();
}

int64_t units_of_image(const ConvKernel& kernel) {
  const int64_t bands = row_count(kernel.shape) / kernel.rows;
  if (kernel.row_sums) return bands + !kernel.last_tiles.empty();
  return bands * static_cast<int64_t>(kernel.tiles.size()) + static_cast<int64_t>(kernel.last_tiles.size());
}

bool prefetches_rows(const ConvShape& s, const Target& t) {
  return s.kh > 1 && s.stride_h == 1 && 4 * s.n * s.ic * s.ih * s.iw > t.l2_bytes;
}

int64_t pool_columns(const Target& t) {
  constexpr int64_t kEnough = 16;  // to hide an addition's latency, and for code that stays small
  const int64_t vectors = ceil_div(kChannelBlock, t.vector_lanes);
  return std::min((t.vector_registers - 2) / vectors, kEnough);
}

bool rereads_weights(const Target& t, int64_t pixels, int64_t panel) {
  return panel == 1 && 2 * t.vector_lanes == kChannelBlock && 2 * pixels + 3 > t.vector_registers;
}

bool has_short_sums(const ConvShape& s) {
  constexpr int64_t kFewProducts = 16;
  return s.ic / s.groups * s.kh * s.kw < kFewProducts;
}

bool fills_registers(const ConvShape& s, const Target& t) {
  return 2 * t.vector_lanes == kChannelBlock && !has_short_sums(s);
}

HeldTaps held_taps(const ConvShape& s, const Target& t, int64_t pixels) {
  const int64_t rest = fills_registers(s, t) ? 1 : 3;  // two columns, and maybe indices of a permutation
  const int64_t count = std::clamp<int64_t>(t.vector_registers - pixels - rest, 1, s.kw);
  const int64_t first = (s.kw - count) / 2;
  return {first, first + count};
}

int64_t weight_block_floats(const ConvKernel& kernel) {
  const ConvShape& s = kernel.shape;
  const int64_t lines = std::min(kernel.reduce_blocks * kChannelBlock, s.ic) * s.kh * s.kw;
  return kChannelBlock * (lines | 1);
}

}  // namespace cardinal
