#include "passes/gpu_conv_wgmma.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace cardinal {

namespace {

// Estimates, to be fitted when the kernel has been measured.
constexpr double kLaunchMicroseconds = 2;
constexpr double kStepMicroseconds = 0.15;  // from a stage's release to its being full again, per stage
constexpr double kFillMicroseconds = 1.8;   // barriers, the first stage's data, the sums' way out

// `efficiency` is the share of wgmma's rate that enough thread blocks of the tile reach.
struct WgmmaTile {
  int m, n, warps_m, warps_n, stages;
  double efficiency;
};
constexpr std::array kTiles = {
    WgmmaTile{128, 256, 8, 1, 4, 0.85}, WgmmaTile{128, 128, 8, 1, 6, 0.75}, WgmmaTile{64, 256, 4, 2, 4, 0.65},
    WgmmaTile{128, 64, 8, 1, 4, 0.55},  WgmmaTile{64, 128, 4, 2, 4, 0.5},   WgmmaTile{64, 64, 4, 2, 6, 0.35},
};

// The reduction's time in one part, in us: by the tensor cores' rate, or by how fast stages come round.
double reduction_microseconds(const GpuConvKernel& k, const GpuFacts& gpu, double efficiency,
                              int64_t thread_blocks, int64_t steps) {
  const int64_t together =
      std::min<int64_t>(wgmma_resident(k), ceil_div(thread_blocks, int64_t{gpu.multiprocessors}));
  const double step_flops = 2.0 * static_cast<double>(k.tile_m * k.tile_n * kWgmmaStep);
  const double rate =
      gpu.wgmma_tflops * efficiency / gpu.multiprocessors * 1e6;  // FLOP/us of a multiprocessor
  return static_cast<double>(steps) *
         std::max(kStepMicroseconds, static_cast<double>(together) * step_flops / rate);
}

std::optional<GpuConvChoice> choice_of(const GpuConvProblem& p, const GpuFacts& gpu, const WgmmaTile& tile,
                                       int64_t split) {
  const ConvShape& s = p.shape;
  GpuConvChoice choice;
  GpuConvKernel& k = choice.kernel;
  k.algorithm = GpuConvKernel::Algorithm::wgmma;
  k.shape = s;
  k.dtype = p.dtype;
  k.tile_m = tile.m, k.tile_n = tile.n, k.tile_k = kWgmmaStep;
  k.warps_m = tile.warps_m, k.warps_n = tile.warps_n, k.stages = tile.stages;
  k.split_k = split;
  k.epilogue = p.epilogue;
  const int64_t steps = ceil_div(mma_reduction(s), kWgmmaStep), steps_of_part = ceil_div(steps, split);
  if (split > 1 && (steps_of_part < 4 || ceil_div(steps, steps_of_part) != split)) return std::nullopt;
  choice.copies_input = !vector_readable(p);

  const int64_t blocks = ceil_div(s.n * s.oh * s.ow, tile.m) * ceil_div(s.oc, tile.n) * split;
  const int64_t rounds = ceil_div(blocks, int64_t{gpu.multiprocessors} * wgmma_resident(k));
  const double reduction = reduction_microseconds(k, gpu, tile.efficiency, blocks, steps_of_part);
  const double compute = static_cast<double>(rounds) * (reduction + kFillMicroseconds);
  double time = std::max(compute, conv_memory_microseconds(p, gpu)) + kLaunchMicroseconds;
  if (split > 1) time += split_sum_microseconds(p, gpu, split);
  if (choice.copies_input) time += input_copy_microseconds(p, gpu);
  choice.candidate.text = fmt::format(
      "wgmma {}x{}x{} stages {}{}, {} thread blocks{}", tile.m, tile.n, kWgmmaStep, tile.stages,
      split > 1 ? fmt::format(" split {}", split) : "", blocks, choice.copies_input ? ", copies x" : "");
  choice.candidate.microseconds = time;
  return choice;
}

}  // namespace

bool wgmma_possible(const GpuConvProblem& p, const GpuFacts& gpu) {
  return gpu.wgmma_tflops > 0 && p.dtype != DType::f32 && p.shape.groups == 1;
}

std::vector<GpuConvChoice> wgmma_choices(const GpuConvProblem& p, const GpuFacts& gpu) {
  std::vector<GpuConvChoice> all;
  for (const WgmmaTile& tile : kTiles)
    for (int64_t split : {1, 2, 3, 4, 6, 8, 12, 16})
      if (auto choice = choice_of(p, gpu, tile, split)) all.push_back(*choice);
  return all;
}

int64_t wgmma_threads(const GpuConvKernel& k) { return kWarpgroupThreads + 32 * k.warps_m * k.warps_n; }

int64_t wgmma_stage_bytes(const GpuConvKernel& k) { return (k.tile_m + k.tile_n) * kWgmmaRowBytes; }

int64_t wgmma_barriers_offset(const GpuConvKernel& k) {
  const int64_t sums = k.tile_m * (k.tile_n + kMmaSumsPad) * int64_t{sizeof(float)};
  return std::max(k.stages * wgmma_stage_bytes(k), sums);
}

int64_t wgmma_shared_bytes(const GpuConvKernel& k) { return wgmma_barriers_offset(k) + k.stages * 16; }

int wgmma_resident(const GpuConvKernel& k) {
  // Of sm_90: 228 KiB a multiprocessor, of which each thread block takes one for the system.
  constexpr int64_t kSharedBytes = 228 << 10, kSystemBytes = 1 << 10;
  // 80 registers a thread are for two. ptxas 13.0 then takes products of 32 sums a thread, not of 64, though
  // the warps that multiply have 96.
  constexpr int64_t kMostSums = 32;
  const int64_t sums = k.tile_m * k.tile_n / (32 * k.warps_m * k.warps_n);
  return sums <= kMostSums && 2 * (wgmma_shared_bytes(k) + kSystemBytes) <= kSharedBytes ? 2 : 1;
}

int64_t wgmma_weight_rows(const GpuConvKernel& k) { return round_up(k.shape.oc, k.tile_n); }

}  // namespace cardinal
