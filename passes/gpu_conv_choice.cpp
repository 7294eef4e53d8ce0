#include "passes/gpu_conv_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "passes/gpu_conv_wgmma.h"
#include "passes/gpu_cost.h"

namespace cardinal {

namespace {

using Algorithm = GpuConvKernel::Algorithm;

constexpr double kSimtStepMicroseconds = 0.02;  // an estimate, as those of gpu_cost.h

// `efficiency` is the share of the tensor cores' rate that enough thread blocks of the tile reach; `k` is of
// 16-bit values.
struct MmaTile {
  int m, n, k, warps_m, warps_n, stages;
  double efficiency;
};
constexpr std::array kMmaTiles = {
    MmaTile{128, 128, 32, 2, 4, 4, 0.9}, MmaTile{128, 64, 32, 4, 1, 4, 0.8},
    MmaTile{64, 128, 32, 1, 4, 4, 0.75}, MmaTile{64, 64, 64, 2, 2, 3, 0.65},
    MmaTile{128, 32, 32, 4, 1, 4, 0.55}, MmaTile{64, 32, 64, 4, 1, 3, 0.45},
    MmaTile{32, 64, 64, 1, 4, 4, 0.45},  MmaTile{16, 64, 64, 1, 4, 4, 0.25},
};

int64_t elements(const ConvShape& s) { return s.n * s.oc * s.oh * s.ow; }

double memory_of(const GpuConvProblem& p, const GpuFacts& gpu) {
  return memory_microseconds(static_cast<double>(gpu_conv_bytes(p)), gpu);
}

double direct_flops(const ConvShape& s) {
  return 2.0 * static_cast<double>(elements(s)) * static_cast<double>(s.ic / s.groups * s.kh * s.kw);
}

// ---- mma

std::optional<GpuConvChoice> mma_choice(const GpuConvProblem& p, const GpuFacts& gpu, const MmaTile& tile,
                                        int64_t split) {
  const ConvShape& s = p.shape;
  GpuConvChoice choice;
  GpuConvKernel& k = choice.kernel;
  const int64_t tile_k = tile.k * 2 / dtype_bytes(p.dtype);  // as many bytes of any type
  k = {Algorithm::mma, s, p.dtype, tile.m, tile.n, tile_k, tile.warps_m, tile.warps_n, tile.stages, split};
  k.epilogue = p.epilogue;
  const std::optional<int64_t> steps = steps_of_part(k);
  if (!steps) return std::nullopt;
  const int64_t blocks = product_tiles(k) * s.groups * split;
  const int64_t resident =
      std::clamp<int64_t>((gpu.shared_bytes + 1024) / (mma_shared_bytes(k) + 1024), 1, 2);
  const GpuRounds run(blocks, resident, gpu);
  const double tflops = mma_tflops(p.dtype, gpu) * tile.efficiency;
  const double step = run.step_microseconds(2.0 * tile.m * tile.n * tile_k, tflops, gpu);
  finish_product_choice(
      choice, p, gpu, blocks,
      static_cast<double>(run.rounds) * (static_cast<double>(*steps) * step + kFillMicroseconds));
  return choice;
}

bool mma_possible(const GpuConvProblem& p) {
  const ConvShape& s = p.shape;
  return (p.dtype != DType::f32 || p.tf32) &&
         (s.groups == 1 || (s.ic / s.groups % 8 == 0 && s.oc / s.groups % 8 == 0 && s.groups <= 65535));
}

// Splits only where tiles are too few for the multiprocessors.
std::vector<GpuConvChoice> mma_choices(const GpuConvProblem& p, const GpuFacts& gpu) {
  std::vector<GpuConvChoice> all;
  if (!mma_possible(p)) return all;
  for (const MmaTile& tile : kMmaTiles) {
    if (tile.m == 16 && p.shape.n * p.shape.oh * p.shape.ow > 16) continue;
    for (int64_t split : kProductSplits) {
      if (split > 1 && p.shape.groups > 1) break;
      if (auto choice = mma_choice(p, gpu, tile, split)) all.push_back(*choice);
    }
  }
  return all;
}

// ---- patch

// The tile of at most kPatchPixels whose thread blocks are the fewest, then whose patch is the smallest.
void choose_patch_tile(GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  int64_t best = -1;
  for (int64_t h = 1; h <= std::min(kPatchPixels, s.oh); ++h) {
    const int64_t w = std::min(kPatchPixels / h, s.ow);
    const int64_t tiles = ceil_div(s.oh, h) * ceil_div(s.ow, w);
    const int64_t patch = ((h - 1) * s.stride_h + s.kh) * ((w - 1) * s.stride_w + s.kw);
    const int64_t cost = tiles * (kPatchPixels * 4 + patch);
    if (best >= 0 && cost >= best) continue;
    best = cost;
    k.tile_h = h;
    k.tile_w = ceil_div(s.ow, ceil_div(s.ow, w));
  }
}

// Fills in the window and the channels of a thread block, if the shape allows it.
bool patch_channels(GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  constexpr int64_t kMostChannels = 64;
  if (s.groups == 1) {
    if (s.ic > 8 || s.oc % 8 != 0) return false;
    const bool pairs = s.ic <= 4 && s.stride_w % 2 == 0 && s.dilation_w == 1;
    k.window = k.patch_channels = pairs ? 4 : 8;
    for (k.tile_n = kMostChannels; s.oc % k.tile_n != 0;) k.tile_n -= 8;
    return true;
  }
  const int64_t icg = s.ic / s.groups, ocg = s.oc / s.groups;
  if (ocg < 2 || icg > kMostChannels || ocg > kMostChannels || s.oc % 8 != 0) return false;
  if (ocg % 8 != 0 && 8 % ocg != 0) return false;
  k.window = ocg >= 8 ? icg : 8 / ocg * icg;
  if (k.window % 8 != 0 || k.window > kMostChannels) return false;
  // Whole windows: those of tile_n output channels.
  const int64_t tile = std::max<int64_t>(8, ocg);
  int64_t count = std::max<int64_t>(1, kMostChannels / std::max(k.window, tile));
  while (s.oc / tile % count != 0) --count;
  k.tile_n = tile * count;
  k.patch_channels = k.window * count;
  return true;
}

void add_patch_choice(const GpuConvProblem& p, const GpuFacts& gpu, std::vector<GpuConvChoice>& all) {
  const ConvShape& s = p.shape;
  GpuConvChoice choice;
  GpuConvKernel& k = choice.kernel;
  k.algorithm = Algorithm::patch;
  k.shape = s;
  k.dtype = p.dtype;
  k.epilogue = p.epilogue;
  if (p.dtype == DType::f32 || !patch_channels(k)) return;
  choose_patch_tile(k);
  const Patch patch = make_patch(k);
  constexpr int64_t kMostSharedBytes = 96 << 10;  // of every GPU from sm_80 on
  if (patch.rows * patch.row_bytes > kMostSharedBytes) return;
  const int64_t tiles = s.n * ceil_div(s.oh, k.tile_h) * ceil_div(s.ow, k.tile_w);
  const int64_t blocks = tiles * (s.oc / k.tile_n);
  // A third of the rate: fragments are loaded for every few products, and warps wait for their patch.
  const double flops = 2.0 * kPatchPixels * static_cast<double>(blocks * k.tile_n * patch.steps() * 16);
  const int64_t rounds = ceil_div(blocks, int64_t{gpu.multiprocessors} * 2);
  const double compute = std::max(arithmetic_microseconds(flops, gpu.tensor_tflops / 3),
                                  static_cast<double>(rounds) * kFillMicroseconds);
  choice.candidate.text = fmt::format("patch {}x{}x{} window {}, {} thread blocks", k.tile_h, k.tile_w,
                                      k.tile_n, k.window, blocks);
  choice.candidate.microseconds = std::max(compute, memory_of(p, gpu)) + kLaunchMicroseconds;
  all.push_back(std::move(choice));
}

// ---- without tensor cores

GpuConvChoice simt_choice(const GpuConvProblem& p, const GpuFacts& gpu, Algorithm algorithm,
                          double efficiency) {
  GpuConvChoice choice;
  GpuConvKernel& k = choice.kernel;
  k.algorithm = algorithm;
  k.shape = p.shape;
  k.dtype = p.dtype;
  k.epilogue = p.epilogue;
  k.tile_w =
      algorithm == Algorithm::depthwise && p.shape.stride_w == 1 ? std::min<int64_t>(4, p.shape.ow) : 1;
  // A thread goes through its reduction one step after the other.
  const int64_t steps = p.shape.kh * p.shape.kw * (p.shape.ic / p.shape.groups);
  const double compute =
      std::max(arithmetic_microseconds(direct_flops(p.shape), gpu.simt_tflops * efficiency),
               static_cast<double>(steps) * kSimtStepMicroseconds);
  choice.candidate.text =
      algorithm == Algorithm::depthwise ? fmt::format("depthwise 1x{}x8", k.tile_w) : "simt 1x8";
  choice.candidate.microseconds = std::max(compute, memory_of(p, gpu)) + kLaunchMicroseconds;
  return choice;
}

}  // namespace

double mma_tflops(DType dtype, const GpuFacts& gpu) {
  return dtype == DType::f32 ? gpu.tensor_tflops / 2 : gpu.tensor_tflops;
}

double product_tflops(DType dtype, bool tf32, bool wgmma, const GpuFacts& gpu) {
  if (wgmma) return gpu.wgmma_tflops;
  return dtype == DType::f32 && !tf32 ? gpu.simt_tflops : mma_tflops(dtype, gpu);
}

int64_t gpu_conv_bytes(const GpuConvProblem& p) {
  const ConvShape& s = p.shape;
  const int64_t values =
      elements(s) * (1 + epilogue_operands(p.epilogue)) + s.oc * s.ic / s.groups * s.kh * s.kw;
  return values * dtype_bytes(p.dtype) + s.n * s.ic * s.ih * s.iw * dtype_bytes(p.x.dtype);
}

bool mma_can_read(const GpuConvProblem& p) {
  const View& x = p.x;
  bool good = x.dtype == p.dtype && x.stride_c == 1 && x.stride_block == kChannelBlock &&
              (x.padded || p.shape.ic % 8 == 0);
  for (int64_t distance : {x.offset, x.stride_n, x.stride_h, x.stride_w}) good = good && distance % 8 == 0;
  return good;
}

std::vector<GpuConvChoice> gpu_conv_choices(const GpuConvProblem& p, const GpuFacts& gpu) {
  const ConvShape& s = p.shape;
  const bool by_wgmma = wgmma_possible(p, gpu) && (p.wanted ? *p.wanted == Algorithm::wgmma : p.use_wgmma);
  std::vector<GpuConvChoice> all = by_wgmma ? wgmma_choices(p, gpu) : mma_choices(p, gpu);
  add_patch_choice(p, gpu, all);
  if (s.groups == s.ic && s.oc == s.ic && s.groups > 1)
    all.push_back(simt_choice(p, gpu, Algorithm::depthwise, 0.5));
  all.push_back(simt_choice(p, gpu, Algorithm::simt, 0.1));
  if (p.wanted) std::erase_if(all, [&](const GpuConvChoice& c) { return c.kernel.algorithm != *p.wanted; });
  if (p.wanted_tile)
    std::erase_if(all, [&](const GpuConvChoice& c) {
      return GpuTile{c.kernel.tile_m, c.kernel.tile_n} != *p.wanted_tile;
    });
  std::stable_sort(all.begin(), all.end(), [](const GpuConvChoice& a, const GpuConvChoice& b) {
    return a.candidate.microseconds < b.candidate.microseconds;
  });
  return all;
}

int64_t product_tiles(const GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  return ceil_div(s.n * s.oh * s.ow, k.tile_m) * ceil_div(s.oc / s.groups, k.tile_n);
}

std::optional<int64_t> steps_of_part(const GpuConvKernel& k) {
  constexpr int64_t kFewest = 4;
  const int64_t steps = ceil_div(mma_reduction(k.shape), k.tile_k), of_part = ceil_div(steps, k.split_k);
  if (k.split_k > 1 && (of_part < kFewest || ceil_div(steps, of_part) != k.split_k)) return std::nullopt;
  return of_part;
}

void finish_product_choice(GpuConvChoice& choice, const GpuConvProblem& p, const GpuFacts& gpu,
                           int64_t thread_blocks, double compute) {
  const GpuConvKernel& k = choice.kernel;
  const ConvShape& s = p.shape;
  choice.copies_input = !mma_can_read(p);
  double time = std::max(compute, memory_of(p, gpu)) + kLaunchMicroseconds;
  if (k.split_k > 1) {
    const double part_bytes = 4.0 * static_cast<double>(elements(s) * k.split_k);
    time += 2 * memory_microseconds(part_bytes, gpu) + kLaunchMicroseconds + 1;
  }
  if (choice.copies_input)
    time +=
        kLaunchMicroseconds +
        memory_microseconds(static_cast<double>(s.n * s.ih * s.iw * round_up(s.ic, kChannelBlock) * 4), gpu);
  choice.candidate.text =
      fmt::format("{} {}x{}x{} stages {}{}, {} thread blocks{}", to_string(k.algorithm), k.tile_m, k.tile_n,
                  k.tile_k, k.stages, k.split_k > 1 ? fmt::format(" split {}", k.split_k) : "", thread_blocks,
                  choice.copies_input ? ", copies x" : "");
  choice.candidate.microseconds = time;
}

int64_t mma_tap_channels(const ConvShape& s) { return round_up(s.ic / s.groups, 8); }
int64_t mma_reduction(const ConvShape& s) { return s.kh * s.kw * mma_tap_channels(s); }
int64_t mma_weight_row(const ConvShape& s) {
  constexpr int64_t kLongestStep = 64;
  return round_up(mma_reduction(s), kLongestStep);
}

int64_t mma_sums_bytes(const GpuConvKernel& k) {
  return k.tile_m * (k.tile_n + kMmaSumsPad) * int64_t{sizeof(float)};
}

int64_t mma_shared_bytes(const GpuConvKernel& k) {
  return std::max(k.stages * (k.tile_m + k.tile_n) * k.tile_k * dtype_bytes(k.dtype), mma_sums_bytes(k));
}

View split_view(const GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  return workspace_view({k.split_k * s.n, s.oc, s.oh, s.ow}, {Layout::nhwc, DType::f32});
}

Patch make_patch(const GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  const bool pairs = k.window == 4;
  Patch patch;
  for (int64_t ky = 0; ky < s.kh; ++ky)
    for (int64_t kx = 0; kx < s.kw; kx += pairs ? 2 : 1)
      for (int64_t channel = 0; channel < std::max<int64_t>(8, k.window); channel += 8)
        patch.units.push_back({ky, kx, channel});
  if (patch.units.size() % 2 != 0) patch.units.push_back(patch.units.back());
  const int64_t reach_w = pairs ? round_up(s.kw, 2) : (s.kw - 1) * s.dilation_w + 1;
  patch.rows = (k.tile_h - 1) * s.stride_h + (s.kh - 1) * s.dilation_h + 1;
  patch.columns = (k.tile_w - 1) * s.stride_w + reach_w;
  // An odd number of 16 bytes apart, pixels that follow each other are in different banks.
  patch.pixel_bytes = pairs ? 8 : (k.patch_channels / 8 | 1) * 16;
  patch.row_bytes = round_up(patch.columns * patch.pixel_bytes, 16);
  return patch;
}

int64_t patch_sharing_tiles(const GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  return s.groups == 1 ? k.tile_n / 8 : std::max<int64_t>(1, s.oc / s.groups / 8);
}

int64_t patch_window_start(const GpuConvKernel& k, int64_t tile) {
  const ConvShape& s = k.shape;
  return s.groups == 1 ? 0 : tile * 8 / (s.oc / s.groups) * (s.ic / s.groups);
}

}  // namespace cardinal
