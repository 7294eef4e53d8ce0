#include "passes/cost_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "passes/strassen.h"
#include "passes/tiling.h"
#include "passes/winograd.h"

namespace cardinal {

namespace {

// Bandwidths of one core, measured on Zen 4 (bytes a cycle from L2 and L3; DRAM reads 30 GB/s at best, in a
// chain of layers 24 for a linear layer, 17 for convolutions whose weights are used once). Other machines are
// near enough for ranking.
constexpr double kL2BytesPerCycle = 31, kL3BytesPerCycle = 27;
constexpr double kDramBytesPerMicrosecond = 20e3;
// Cycles of a tile beyond its arithmetic and its stores: addresses, loop starts and ends. An estimate.
constexpr double kTileCycles = 40;
// What the loops over several ranges of kernel rows cost a tile of several rows of pixels, for each vector of
// a block. An estimate.
constexpr double kRangesCycles = 20;
// Cycles that an FMA waits for the one before it, by those of its latency: 7, 8, and 9 accumulators reach 80,
// 87 and 96% of the FMA peak on Zen 3, where it is 4.
constexpr double kLatencySlack = 1.125;
// How much of the cheaper of two overlapping costs shows nevertheless. An estimate.
constexpr double kExposed = 0.1;
// How much of the time to read them shows of the many weights of fast matrix multiplication, besides.
// Measured on Zen 3, on images of 7x7: weights from memory serve three tiles.
constexpr double kWeightsExposed = 0.2;
// Where a network's weights stay in the L3, each level of fast matrix multiplication makes them 1.75 times as
// large, so that they no longer do, beside values and what else the CPU does. All layers of a network pay for
// that: MobileNetV2 took 4% longer on Zen 5 with all levels that gain less than this, and as long with none.
constexpr double kGrowthInCache = 0.06;
// Each further distinct tile function costs this share: instruction cache and code size. An estimate.
constexpr double kVariantPenalty = 0.002;
constexpr int64_t kWidestPanel = 8;
// Cycles of a Winograd transform for each vector read or written. Measured on Zen 4: 2 to 4, the more the
// less of the tensors is found in L2.
constexpr double kWinogradCycles = 2.5;
// What a step costs beyond its work: starting it on every thread and waiting for the last. An estimate.
constexpr double kStepMicroseconds = 0.5;
// LLVM starts to spill in loop bodies of about 350 instructions, which costs up to a third; unrolling stays
// well below.
constexpr int64_t kSpillingInstructions = 350;
constexpr double kSpillPenalty = 1.3;
constexpr int64_t kUnrolledInstructions = 200;
// With AVX-512, LLVM 22 puts one accumulator of a tile on the stack in each step if the tile leaves fewer
// than two registers free (measured on Zen 5: 14x2 and 5x5 are 17% and 9% slower than predicted otherwise,
// tiles that leave two are not).
constexpr int64_t kFreeRegisters = 2;
constexpr double kFullPenalty = 1.15;
// Tiles that read weights again: by so much slower than their loads on Zen 3, of direct kernels and of
// depthwise ones.
constexpr double kRereadPenalty = 1.05, kDepthwiseRereadPenalty = 1.2;
// With AVX-512, long steps are unrolled twice: more often is 1 to 4% slower on Zen 5.
constexpr int64_t kLongStep = 20;  // FMAs
constexpr int64_t kShortSum = 32;  // products; see tile_overhead
constexpr int64_t kLongSum = 256;  // channels; see choose_unroll

double overlapped(double a, double b) { return std::max(a, b) + kExposed * std::min(a, b); }

int64_t vectors_per_block(const Target& t) {
  return kChannelBlock / std::min<int64_t>(t.vector_lanes, kChannelBlock);
}

// Of the results of a panel of `blocks`, for one pixel.
int64_t panel_vectors(const ConvShape& s, const Target& t, int64_t blocks, bool last) {
  const int64_t v = vectors_per_block(t);
  return last ? (blocks - 1) * v + ceil_div(last_block_width(s, t), t.vector_lanes) : blocks * v;
}

// Whether groups share 128 bits: channel k of each of them is spread by a constant permutation, for which the
// loop over k is unrolled.
bool permutes_in_lanes(const ConvShape& s, const Target& t) {
  const int64_t width = s.ic / s.groups;
  return width > 1 && width <= 4 && width < t.vector_lanes;
}

constexpr int64_t kMostRows = 3;
int64_t most_rows(const ConvShape& s) { return std::min(kMostRows, row_count(s)); }  // of a lanes tile

// How many may gain. Depthwise 3x3 kernels have sums so short that the CPU computes several tiles at a time:
// two rows of pixels gained nothing on Zen 3. Nor did they where they make unrolled loops longer. Three short
// rows gain with stride 2, whose pixels share few columns of x: three rows of 4 pixels have as many
// accumulators as leave room for the weights of three taps in AVX2's registers. On Zen 3 they reach 84
// instead of 78% of FMA peak for 7 pixels a row; longer rows gain nothing over two of 5.
int64_t most_rows_worth_it(const ConvShape& s, const Target& t) {
  constexpr int64_t kShortRow = 8;
  if (has_short_sums(s) || permutes_in_lanes(s, t)) return 1;
  const bool three = s.stride_w > 1 && fills_registers(s, t) && s.ow <= kShortRow;
  return std::min<int64_t>(most_rows(s), three ? 3 : 2);
}

// Tiles that leave out the same taps, and how many there are.
struct TileGroup {
  std::vector<int64_t> valid;  // pixels for which horizontal tap kx is inside the input
  int64_t pixels = 0;
  int64_t count = 0;
};

std::vector<TileGroup> tile_groups(const ConvShape& s, int64_t widest) {
  const bool collapsed = collapses(s);
  // Beyond this the edges do not matter and finding them would take long.
  const bool exact = !collapsed && ceil_div(row_length(s), widest) * s.kw < 1'000'000;
  std::map<std::vector<int64_t>, TileGroup> groups;
  for (const RowTile& tile : balanced_tiles(row_length(s), widest)) {
    std::vector<int64_t> valid(exact ? static_cast<size_t>(s.kw) : 1, tile.pixels);
    for (int64_t kx = 0; exact && kx < s.kw; ++kx)
      valid[static_cast<size_t>(kx)] = valid_columns(s, kx).overlap(tile.x, tile.x + tile.pixels);
    TileGroup& group = groups[valid];
    group.pixels = std::max(group.pixels, tile.pixels);
    group.count++;
  }
  std::vector<TileGroup> result;
  for (auto& [valid, group] : groups) {
    group.valid = exact ? valid : std::vector<int64_t>(static_cast<size_t>(s.kw), group.pixels);
    result.push_back(std::move(group));
  }
  return result;
}

// Bands of `rows` rows of pixels each.
struct Bands {
  int64_t first_row = 0, rows = 1, count = 0;
};

// In all bands, the kernel rows that are inside the image for one row of pixels of a band, for two and so on.
std::array<int64_t, kMostRows + 1> valid_rows(const ConvShape& s, const Bands& bands) {
  std::array<int64_t, kMostRows + 1> by_rows{};
  const auto at = [&](int64_t band) { return bands.first_row + band * bands.rows; };
  for (int64_t ky = 0; ky < s.kh; ++ky) {
    const OutputRange all = valid_rows(s, ky);
    const OutputRange range{std::max(all.begin, at(0)), std::min(all.end, at(bands.count))};
    if (range.begin >= range.end) continue;
    const int64_t first = (range.begin - at(0)) / bands.rows, last = (range.end - 1 - at(0)) / bands.rows;
    const auto count = [&](int64_t band) {
      ++by_rows[static_cast<size_t>(range.overlap(at(band), at(band + 1)))];
    };
    count(first);
    if (last > first) count(last);
    by_rows[static_cast<size_t>(bands.rows)] += std::max<int64_t>(0, last - first - 1);
  }
  return by_rows;
}

// Bias, epilogue operands and stores of a tile whose pixels have `vectors` result vectors each.
double tile_overhead(const ConvProblem& p, const Target& t, int64_t pixels, int64_t vectors) {
  const ConvShape& s = p.shape;
  const auto results = static_cast<double>(pixels * vectors);
  const double operands = static_cast<double>(p.epilogue_operands) / t.loads_per_cycle;
  // Where a tile's sums are short this is a good part of it, and was measured on Zen 5 with AVX-512, to 5%.
  const bool short_sums = s.ic * s.kh * s.kw <= kShortSum && s.groups == 1 && s.oh > 1;
  if (t.vector_lanes >= kChannelBlock && short_sums)
    return 15 + 2.2 * static_cast<double>(pixels) + (0.5 + operands) * results;
  return kTileCycles + results * (1 + operands);
}

// Cycles of one multiply-add step over `valid` pixels and `vectors` weight vectors, all but one of which may
// be read again for each pixel: the widest of the three bottlenecks.
double direct_step(const Target& t, int64_t valid, int64_t vectors, bool rereads) {
  if (valid == 0) return 0;
  const double fma = static_cast<double>(valid * vectors) / t.fma_per_cycle;
  const int64_t weights = rereads ? 1 + (vectors - 1) * valid : vectors;
  const double load =
      static_cast<double>(valid + weights) / t.loads_per_cycle * (rereads ? kRereadPenalty : 1);
  return std::max({fma, load, kLatencySlack * t.fma_latency});
}

double direct_cycles(const ConvProblem& p, const Target& t, const std::vector<TileGroup>& groups,
                     int64_t panel) {
  const ConvShape& s = p.shape;
  const int64_t oc_blocks = ceil_div(s.oc, kChannelBlock);
  const double channels =
      static_cast<double>(std::min(input_windows(s, panel).reduce_blocks * kChannelBlock, s.ic));
  const double rows = static_cast<double>(valid_rows(s, {0, 1, s.oh})[1]) / static_cast<double>(s.oh);
  const auto panel_cycles = [&](int64_t blocks, bool last) {
    const int64_t vectors = panel_vectors(s, t, blocks, last);
    const double weight_bytes = channels * static_cast<double>(s.kh * s.kw * blocks * kChannelBlock * 4);
    const double stream = weight_bytes <= static_cast<double>(t.l1_bytes) / 2 ? 0
                          : weight_bytes <= static_cast<double>(t.l2_bytes) * 3 / 4
                              ? weight_bytes / kL2BytesPerCycle
                              : weight_bytes / kL3BytesPerCycle;
    double cycles = 0;
    for (const TileGroup& g : groups) {
      double step = 0;
      const bool rereads = rereads_weights(t, g.pixels, blocks);
      for (int64_t valid : g.valid) step += direct_step(t, valid, vectors, rereads);
      const double tile = overlapped(step * rows * channels, stream * rows / static_cast<double>(s.kh)) +
                          tile_overhead(p, t, g.pixels, vectors);
      cycles += tile * static_cast<double>(g.count);
    }
    return cycles * static_cast<double>(row_count(s) * s.n);
  };
  const int64_t panels = ceil_div(oc_blocks, panel);
  const double cycles = static_cast<double>(panels - 1) * panel_cycles(panel, false) +
                        panel_cycles(oc_blocks - (panels - 1) * panel, true);
  // Every panel reads the image again.
  const double image_bytes = channels * static_cast<double>(s.n * s.ih * s.iw * 4);
  return cycles + kExposed * static_cast<double>(panels) * image_bytes / kL2BytesPerCycle;
}

// Of a block of channels in some bands. Per tap row and channel k of a group, each input vector is loaded and
// permuted once and feeds an output for each tap.
double lanes_cycles(const ConvProblem& p, const Target& t, const std::vector<TileGroup>& groups,
                    const Bands& bands) {
  const ConvShape& s = p.shape;
  const int64_t width = s.ic / s.groups;
  // Wide groups are computed in 8 lanes on every target, two such FMAs and loads a cycle.
  const bool wide = width > 8;
  const int64_t v = wide ? 2 : vectors_per_block(t);
  const double fma_rate = wide ? 2 : t.fma_per_cycle, load_rate = wide ? 2 : t.loads_per_cycle;
  const bool across = width == 8 && v == 1, in_lane = permutes_in_lanes(s, t);
  // Zen 4: an in-lane permute is free at one an FMA, one across lanes at one per two.
  const double permutes = across ? 2 : in_lane ? 1 : 0;
  const auto kernel_rows = valid_rows(s, bands);
  const auto count = static_cast<double>(bands.count);
  double cycles = 0;
  for (const TileGroup& g : groups) {
    const HeldTaps held = held_taps(s, t, g.pixels * bands.rows);
    int64_t fmas = 0, weights = held.end - held.first, rereads = 0;
    for (int64_t tap = 0; tap < s.kw; ++tap) {
      const int64_t valid = g.valid[static_cast<size_t>(tap)];
      fmas += valid;
      if (!held.contains(tap)) rereads += valid;
    }
    const int64_t span = (g.pixels - 1) * s.stride_w + (s.kw - 1) * s.dilation_w + 1;
    const int64_t columns = std::min(g.pixels * s.kw, span);
    const double penalty = width == 1 && rereads ? kDepthwiseRereadPenalty : 1;
    const auto step = [&](int64_t rows) {
      const double loads = static_cast<double>(rows * (columns + rereads) + weights);
      return std::max({static_cast<double>(rows * fmas) / fma_rate, loads / load_rate * penalty,
                       static_cast<double>(rows * columns) * permutes});
    };
    const int64_t instructions =
        (in_lane ? width : 1) * (bands.rows * (fmas + columns * (in_lane ? 2 : 1)) + s.kw);
    const bool spills = instructions > kSpillingInstructions || (rereads && !fills_registers(s, t));
    const auto channels = static_cast<double>(v * width);
    double issued = 0, chain = 0;
    for (int64_t rows = 1; rows <= bands.rows; ++rows) {
      const auto times = channels * static_cast<double>(kernel_rows[static_cast<size_t>(rows)]);
      issued += times * step(rows);
      chain += times * kLatencySlack * static_cast<double>(t.fma_latency * s.kw);
    }
    const double ranges = bands.rows == 1 ? 0 : kRangesCycles * static_cast<double>(v);
    const double overhead = count * (ranges + tile_overhead(p, t, g.pixels * bands.rows, v));
    // An accumulator's FMAs follow each other; what else there is to do can be done while they wait.
    cycles +=
        static_cast<double>(g.count) * std::max(chain, issued * (spills ? kSpillPenalty : 1) + overhead);
  }
  return cycles;
}

double lanes_cycles(const ConvProblem& p, const Target& t, const std::vector<TileGroup>& groups, int64_t rows,
                    int64_t pixels) {
  const ConvShape& s = p.shape;
  const int64_t bands = row_count(s) / rows, rest = row_count(s) % rows;
  double cycles = lanes_cycles(p, t, groups, Bands{0, rows, bands});
  if (rest) cycles += lanes_cycles(p, t, tile_groups(s, rows * pixels / rest), Bands{bands * rows, rest, 1});
  return cycles * static_cast<double>(s.n * ceil_div(s.oc, kChannelBlock));
}

double weight_microseconds(const ConvProblem& p, const Target& t, double packed_bytes) {
  if (weights_in_memory(p.network_weights, t)) return packed_bytes / kDramBytesPerMicrosecond;
  if (p.network_weights > t.l2_bytes) return packed_bytes / (kL3BytesPerCycle * t.ghz * 1e3);
  return 0;
}

double finish(const ConvProblem& p, const Target& t, double cycles, double packed_floats, size_t variants) {
  const double us = overlapped(cycles / (t.ghz * 1e3), weight_microseconds(p, t, packed_floats * 4));
  return us * (1 + kVariantPenalty * static_cast<double>(variants - 1));
}

int choose_unroll(const ConvShape& s, const Target& t, int64_t pixels, int64_t panel) {
  const int64_t v = vectors_per_block(t), channels = std::min(s.ic, kChannelBlock);
  if (v == 1 && pixels > 1 && pixels * panel >= kLongStep && channels % 2 == 0) return 2;
  const int64_t broadcasts = v > 1 ? pixels : 0;  // AVX-512 folds them into the FMA
  const int64_t instructions = (pixels + 1) * panel * v + broadcasts;
  // Long sums over channels alone wait less for what is not in L1 if a block of 16 has no loop: with AVX2 on
  // Zen 3 5 to 10% from 256 channels on, with stride 2 up to 30%.
  const bool waits = v > 1 && s.kh * s.kw == 1 && s.ic / s.groups >= kLongSum;
  if (waits && channels == kChannelBlock && channels * instructions <= kSpillingInstructions)
    return static_cast<int>(channels);
  for (int64_t unroll = 8; unroll >= 3; --unroll)
    if (channels % unroll == 0 && unroll * instructions <= kUnrolledInstructions)
      return static_cast<int>(unroll);
  return static_cast<int>(std::min<int64_t>(channels, 4));
}

bool panel_allowed(const ConvShape& s, int64_t panel) {
  if (panel < 1 || panel > ceil_div(s.oc, kChannelBlock)) return false;
  return !groups_are_whole_blocks(s) || s.oc / s.groups / kChannelBlock % panel == 0;
}

bool wants(const StepOverride& wanted, ConvAlgorithm algorithm) {
  return !wanted.algorithm || *wanted.algorithm == algorithm;
}

double winograd_side_microseconds(const ConvProblem& p, const Target& t, WinogradKernel::Side side,
                                  int outputs) {
  const bool input = side == WinogradKernel::Side::input;
  const ConvShape& s = p.shape;
  const Shape tiles = input ? winograd_input(s, outputs) : winograd_products(s, outputs);
  const double elements = static_cast<double>(winograd_elements(outputs));
  const double pixels = input ? elements : outputs * outputs * (1 + 0.5 * p.epilogue_operands);
  const double vectors = static_cast<double>(tiles.elements()) / elements / t.vector_lanes;
  const double cycles = kWinogradCycles * (elements + pixels) + kTileCycles;
  const double bytes = static_cast<double>(tiles.elements()) * 4;
  const double us = vectors * cycles / (t.ghz * 1e3);
  if (bytes <= static_cast<double>(t.l2_bytes) / 2) return us;
  // Where weights stream through the caches little else stays there: what is written is read first, and later
  // written back.
  if (weights_in_memory(p.network_weights, t))
    return us + bytes / kDramBytesPerMicrosecond * (input ? 1 : 0.5);
  return us + bytes / (kL3BytesPerCycle * t.ghz * 1e3);
}

// Steps before the products: with two levels the outer sums are read and written; with a stride, x is copied
// first.
double strassen_input_microseconds(const ConvShape& s, const Target& t, int levels) {
  const double bytes = 4 * static_cast<double>(s.n * s.ic * s.oh * s.ow);
  const double copies = s.stride_h * s.stride_w == 1 ? 0 : 1;
  return 2 * bytes * (levels - 1 + copies) / (kL3BytesPerCycle * t.ghz * 1e3);
}

// Sums that are formed beside products: those of all of x, or with two levels those of seven quarters.
double strassen_sums_microseconds(const ConvShape& s, const Target& t, int levels) {
  const double bytes = 4 * static_cast<double>(s.n * s.ic * s.oh * s.ow);
  return 2 * bytes * (levels == 1 ? 1 : 1.75) / (kL3BytesPerCycle * t.ghz * 1e3);
}

// Beyond the products in registers: epilogues, and with two levels what is carried between products, 11
// quarters of the output read or written.
double strassen_finish_microseconds(const ConvProblem& p, const Target& t, int levels) {
  const ConvShape& s = p.shape;
  const double bytes = 4 * static_cast<double>(s.n * s.oc * s.oh * s.ow);
  return bytes * (0.5 * p.epilogue_operands + (levels == 1 ? 0 : 2.75)) / (kL3BytesPerCycle * t.ghz * 1e3);
}

}  // namespace

// What is read from end to end again and again, activations in between, and with it whatever else runs on the
// machine, must be much less than a cache to stay in it. Zen 3 with an L3 of 32 MB: 12 MB are read at 40 to
// 55 GB/s, 16 MB at 20 to 36, 32 MB as fast as memory.
bool weights_in_memory(int64_t network_weights, const Target& t) { return network_weights > t.l3_bytes / 2; }

bool lanes_possible(const ConvShape& s) {
  const int64_t width = s.ic / s.groups;
  const bool vectors_hold_groups = width == 1 || width == 2 || width == 4 || width == 8;
  return s.ic == s.oc && (vectors_hold_groups || width % 16 == 8) && (s.groups > 1 || s.ic == 1);
}

int64_t conv_registers(const ConvShape& s, const Target& t, ConvAlgorithm algorithm, int64_t pixels,
                       int64_t panel) {
  // lanes works on one vector of a block at a time: accumulators, a column and the weights of at least one
  // tap; with a permutation across lanes its indices, and one column more.
  if (algorithm == ConvAlgorithm::lanes) return pixels + (fills_registers(s, t) ? 2 : 4);
  const bool alone = panel * kChannelBlock >= s.oc;
  const int64_t vectors = panel_vectors(s, t, panel, alone);
  const bool one_weight = strassen_levels(algorithm) == 0 && rereads_weights(t, pixels, panel);
  return pixels * vectors + (one_weight ? 1 : vectors) + 1;
}

static bool leaves_too_few(const ConvShape& s, const Target& t, int64_t pixels, int64_t panel) {
  const int64_t registers = conv_registers(s, t, ConvAlgorithm::direct, pixels, panel);
  return vectors_per_block(t) == 1 && t.vector_registers - registers < kFreeRegisters;
}

std::vector<ConvChoice> conv_choices(const ConvProblem& p, const Target& t, const StepOverride& wanted) {
  const ConvShape& s = p.shape;
  const int64_t length = row_length(s);
  std::vector<ConvChoice> choices;
  int64_t previous = 0;
  for (int64_t limit = 1; limit <= std::min<int64_t>(length, t.vector_registers); ++limit) {
    const int64_t pixels = ceil_div(length, ceil_div(length, limit));  // of the widest of the balanced tiles
    if (wanted.pixels ? limit != std::min<int64_t>(*wanted.pixels, length) : pixels == previous) continue;
    previous = pixels;
    std::vector<TileGroup> groups;
    const auto add = [&](ConvAlgorithm algorithm, int64_t panel, int64_t rows) {
      if (conv_registers(s, t, algorithm, pixels * rows, panel) > t.vector_registers) return;
      if (groups.empty()) groups = tile_groups(s, limit);
      const bool direct = algorithm == ConvAlgorithm::direct;
      const double cycles =
          direct ? direct_cycles(p, t, groups, panel) : lanes_cycles(p, t, groups, rows, pixels);
      const double channels = direct
                                  ? static_cast<double>(input_windows(s, panel).reduce_blocks * kChannelBlock)
                                  : static_cast<double>(s.ic / s.groups);
      const double packed = channels * static_cast<double>(s.kh * s.kw * round_up(s.oc, kChannelBlock));
      ConvChoice choice{algorithm, static_cast<int>(pixels), static_cast<int>(rows), static_cast<int>(panel)};
      choice.k_unroll = wanted.k_unroll ? *wanted.k_unroll : direct ? choose_unroll(s, t, pixels, panel) : 1;
      choice.microseconds = finish(p, t, cycles, packed, groups.size());
      if (direct && leaves_too_few(s, t, pixels, panel)) choice.microseconds *= kFullPenalty;
      choices.push_back(choice);
    };
    if (wants(wanted, ConvAlgorithm::lanes) && lanes_possible(s) && wanted.panel.value_or(1) == 1)
      for (int64_t rows = 1; rows <= most_rows(s); ++rows)
        if (wanted.rows ? *wanted.rows == rows : rows <= most_rows_worth_it(s, t))
          add(ConvAlgorithm::lanes, 1, rows);
    if (!wants(wanted, ConvAlgorithm::direct) || wanted.rows.value_or(1) != 1) continue;
    for (int64_t panel = 1; panel <= (wanted.panel ? *wanted.panel : kWidestPanel); ++panel)
      if (panel_allowed(s, panel) && wanted.panel.value_or(static_cast<int>(panel)) == panel)
        add(ConvAlgorithm::direct, panel, 1);
  }
  std::stable_sort(choices.begin(), choices.end(),
                   [](const ConvChoice& a, const ConvChoice& b) { return a.microseconds < b.microseconds; });
  return choices;
}

std::vector<ConvChoice> winograd_choices(const ConvProblem& p, const Target& t, const StepOverride& wanted) {
  std::vector<ConvChoice> choices;
  for (ConvAlgorithm algorithm : {ConvAlgorithm::winograd_f2, ConvAlgorithm::winograd_f4}) {
    if (!wants(wanted, algorithm) || !winograd_possible(p.shape)) continue;
    const int outputs = winograd_outputs(algorithm);
    StepOverride products = wanted;
    products.algorithm = ConvAlgorithm::direct;
    const double input_us = winograd_side_microseconds(p, t, WinogradKernel::Side::input, outputs);
    const double output_us = winograd_side_microseconds(p, t, WinogradKernel::Side::output, outputs);
    for (ConvChoice choice :
         conv_choices({winograd_product_shape(p.shape, outputs), 0, p.network_weights}, t, products)) {
      choice.algorithm = algorithm;
      choice.input_us = input_us;
      choice.output_us = output_us;
      choice.microseconds += input_us + output_us + 2 * kStepMicroseconds;
      choices.push_back(choice);
    }
  }
  return choices;
}

std::vector<ConvChoice> strassen_choices(const ConvProblem& p, const Target& t, int levels,
                                         const StepOverride& wanted) {
  std::vector<ConvChoice> choices;
  for (int level = 1; level <= levels; ++level) {
    const ConvAlgorithm algorithm = level == 1 ? ConvAlgorithm::strassen_1 : ConvAlgorithm::strassen_2;
    if (!wants(wanted, algorithm) || !strassen_possible(p.shape, level)) continue;
    StepOverride products = wanted;
    products.algorithm = ConvAlgorithm::direct;
    const std::vector<ConvChoice> tiles =
        conv_choices({strassen_product_shape(p.shape, level), 0, p.network_weights}, t, products);
    // Where accumulators take nearly all registers, LLVM spills some between the seven loops and in them.
    const auto roomy = std::find_if(tiles.begin(), tiles.end(), [&](const ConvChoice& tile) {
      const bool asked_for = wanted.pixels || wanted.panel;
      return !rereads_weights(t, tile.pixels, tile.panel) &&
             (asked_for || 4 * tile.pixels * tile.panel * vectors_per_block(t) <= 3 * t.vector_registers);
    });
    if (roomy == tiles.end()) continue;
    ConvChoice& choice = choices.emplace_back(*roomy);
    choice.algorithm = algorithm;
    // Seven loops follow each other: longer ones are slower (measured on Zen 3 and Zen 4).
    if (!wanted.k_unroll) choice.k_unroll = std::min(choice.k_unroll, 4);
    choice.input_us = strassen_input_microseconds(p.shape, t, level);
    const double packed_bytes = static_cast<double>(strassen_weight_bytes(p.shape, level));
    choice.microseconds = choice.microseconds * std::pow(7, level) + choice.input_us +
                          strassen_sums_microseconds(p.shape, t, level) +
                          strassen_finish_microseconds(p, t, level) +
                          kWeightsExposed * weight_microseconds(p, t, packed_bytes);
    if (!weights_in_memory(p.network_weights, t)) choice.microseconds *= 1 + kGrowthInCache * level;
  }
  return choices;
}

std::string why_no_choice(const ConvShape& conv, const Target& t, const StepOverride& wanted) {
  const int levels = wanted.algorithm ? strassen_levels(*wanted.algorithm) : 0;
  if (levels && !strassen_possible(conv, levels))
    return fmt::format(
        "algorithm={} needs a 1x1 kernel without padding, one group, an output of at least two rows, and "
        "channels in and out divisible by {}",
        to_string(*wanted.algorithm), kChannelBlock << levels);
  const int outputs = wanted.algorithm ? winograd_outputs(*wanted.algorithm) : 0;
  if (outputs && !winograd_possible(conv))
    return fmt::format(
        "algorithm={} needs a 3x3 kernel with stride and dilation 1, groups of whole blocks of 16 channels, "
        "and an output of at least 2x2",
        to_string(*wanted.algorithm));
  const ConvShape s = outputs  ? winograd_product_shape(conv, outputs)
                      : levels ? strassen_product_shape(conv, levels)
                               : conv;
  const bool lanes = wanted.algorithm == ConvAlgorithm::lanes;
  if (lanes && !lanes_possible(s))
    return fmt::format(
        "algorithm=lanes needs groups of 1, 2, 4 or an odd multiple of 8 channels, as many out as in; "
        "here {} of {} in and {} out",
        s.groups, s.ic / s.groups, s.oc / s.groups);
  const int64_t rows = wanted.rows.value_or(1);
  if (!lanes && rows > 1) return fmt::format("rows={} needs algorithm=lanes", rows);
  if (rows > most_rows(s)) return fmt::format("rows={}: a tile has at most {} here", rows, most_rows(s));
  const int64_t panel = wanted.panel.value_or(1);
  if (lanes && panel != 1) return fmt::format("algorithm=lanes has panel=1, not {}", panel);
  if (!panel_allowed(s, panel)) {
    const int64_t blocks = ceil_div(s.oc, kChannelBlock);
    if (panel > blocks)
      return fmt::format("panel={} exceeds the {} blocks of 16 output channels", panel, blocks);
    return fmt::format("panel={} does not divide the {} blocks of 16 output channels of a group", panel,
                       s.oc / s.groups / kChannelBlock);
  }
  const int64_t pixels = wanted.pixels.value_or(1);
  const ConvAlgorithm algorithm = wanted.algorithm.value_or(ConvAlgorithm::direct);
  return fmt::format("pixels={}{} panel={} needs {} vector registers, {} has {}; make the tile smaller",
                     pixels, rows == 1 ? "" : fmt::format(" rows={}", rows), panel,
                     conv_registers(s, t, algorithm, rows * std::min(pixels, row_length(s)), panel), t.cpu,
                     t.vector_registers);
}

int pool_pixels(const ConvShape& s, const Target& t) {
  const auto columns = [&](int64_t pixels) {
    return std::min(pixels * s.kw, (pixels - 1) * s.stride_w + (s.kw - 1) * s.dilation_w + 1);
  };
  int64_t most = 1;
  while (most < s.ow && columns(most + 1) <= pool_columns(t)) ++most;
  return static_cast<int>(ceil_div(s.ow, ceil_div(s.ow, most)));
}

double traffic_microseconds(int64_t bytes, const Target& t) {
  return static_cast<double>(bytes) / (kL3BytesPerCycle * t.ghz * 1e3);
}

}  // namespace cardinal
