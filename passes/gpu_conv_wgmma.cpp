#include "passes/gpu_conv_wgmma.h"

#include <algorithm>
#include <array>
#include <optional>

#include "passes/gpu_cost.h"

namespace cardinal {

namespace {

// Estimates, as those of gpu_cost.h.
constexpr double kRingMicroseconds = 0.15;     // from a stage's release to its being full again, per stage
constexpr double kRingFillMicroseconds = 1.8;  // barriers, the first stage's data, the sums' way out

// `efficiency` is the share of wgmma's rate that enough thread blocks of the tile reach.
struct WgmmaTile {
  int m, n, warps_m, warps_n, stages;
  double efficiency;
};
constexpr std::array kTiles = {
    WgmmaTile{128, 256, 8, 1, 4, 0.85}, WgmmaTile{128, 128, 8, 1, 6, 0.75}, WgmmaTile{64, 256, 4, 2, 4, 0.65},
    WgmmaTile{128, 64, 8, 1, 4, 0.55},  WgmmaTile{64, 128, 4, 2, 4, 0.5},   WgmmaTile{64, 64, 4, 2, 6, 0.35},
};

std::optional<GpuConvChoice> choice_of(const GpuConvProblem& p, const GpuFacts& gpu, const WgmmaTile& tile,
                                       int64_t split) {
  GpuConvChoice choice;
  GpuConvKernel& k = choice.kernel;
  k = {GpuConvKernel::Algorithm::wgmma,
       p.shape,
       p.dtype,
       tile.m,
       tile.n,
       kWgmmaStep,
       tile.warps_m,
       tile.warps_n,
       tile.stages,
       split};
  k.epilogue = p.epilogue;
  const std::optional<int64_t> steps = steps_of_part(k);
  if (!steps) return std::nullopt;
  const int64_t blocks = product_tiles(k) * split;
  const GpuRounds run(blocks, wgmma_resident(k), gpu);
  const double step = run.step_microseconds(2.0 * tile.m * tile.n * kWgmmaStep,
                                            gpu.wgmma_tflops * tile.efficiency, gpu, kRingMicroseconds);
  finish_product_choice(
      choice, p, gpu, blocks,
      static_cast<double>(run.rounds) * (static_cast<double>(*steps) * step + kRingFillMicroseconds));
  return choice;
}

}  // namespace

bool wgmma_possible(const GpuConvProblem& p, const GpuFacts& gpu) {
  return gpu.wgmma_tflops > 0 && p.dtype != DType::f32 && p.shape.groups == 1;
}

std::vector<GpuConvChoice> wgmma_choices(const GpuConvProblem& p, const GpuFacts& gpu) {
  std::vector<GpuConvChoice> all;
  for (const WgmmaTile& tile : kTiles)
    for (int64_t split : kProductSplits)
      if (auto choice = choice_of(p, gpu, tile, split)) all.push_back(*choice);
  return all;
}

int64_t wgmma_threads(const GpuConvKernel& k) { return kWarpgroupThreads + 32 * k.warps_m * k.warps_n; }

int64_t wgmma_stage_bytes(const GpuConvKernel& k) { return (k.tile_m + k.tile_n) * kWgmmaRowBytes; }

int64_t wgmma_barriers_offset(const GpuConvKernel& k) {
  return std::max(k.stages * wgmma_stage_bytes(k), mma_sums_bytes(k));
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
