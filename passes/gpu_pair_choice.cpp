#include "passes/gpu_pair_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "passes/gpu_cost.h"

namespace cardinal {

namespace {

// m pixels, n output channels of the first convolution at a time, k channels a step: a pass of copies by all
// threads is no more than m or n rows. `efficiency` as in gpu_conv_choice.cpp.
struct PairTile {
  int m, n, k, warps_m, warps_n;
  double efficiency;
};
constexpr std::array kPairTiles = {
    PairTile{128, 64, 32, 4, 2, 0.8},
    PairTile{64, 128, 32, 2, 4, 0.75},
    PairTile{64, 64, 32, 2, 4, 0.65},
    PairTile{32, 64, 64, 2, 4, 0.4},
};
constexpr int kStages = 3;
// A chunk's epilogue; its first steps are copied while the chunk before is multiplied. An estimate.
constexpr double kChunkMicroseconds = 0.75;
constexpr int64_t kMostSums = 96;               // of a thread, so that a step's operands have registers, too
constexpr int64_t kMostSharedBytes = 99 << 10;  // of every GPU from sm_80 on

GpuConvPairKernel pair_of(const GpuConvProblem& first, const GpuConvProblem& second, const PairTile& tile) {
  const auto kernel = [&](const GpuConvProblem& p, int64_t n, int stages) {
    GpuConvKernel k{GpuConvKernel::Algorithm::mma,
                    p.shape,
                    p.dtype,
                    tile.m,
                    n,
                    tile.k,
                    tile.warps_m,
                    tile.warps_n,
                    stages};
    k.epilogue = p.epilogue;
    return k;
  };
  const int64_t all = round_up(second.shape.oc, int64_t{16} * tile.warps_n);
  return {kernel(first, tile.n, kStages), kernel(second, all, 1)};
}

// What apart each reads and writes, but for the first's result, which is not read again.
int64_t pair_bytes(const GpuConvProblem& first, const GpuConvProblem& second) {
  const ConvShape& s = second.shape;
  return gpu_conv_bytes(first) + gpu_conv_bytes(second) -
         s.n * s.ic * s.ih * s.iw * dtype_bytes(second.x.dtype);
}

std::optional<GpuPairChoice> choice_of(const GpuConvProblem& first, const GpuConvProblem& second,
                                       const GpuFacts& gpu, const PairTile& tile) {
  GpuPairChoice choice;
  choice.kernel = pair_of(first, second, tile);
  const GpuConvKernel &a = choice.kernel.first, &b = choice.kernel.second;
  const PairMemory memory = pair_memory(choice.kernel);
  if (tile.m * (a.tile_n + b.tile_n) > kMostSums * kPairThreads || memory.bytes > kMostSharedBytes)
    return std::nullopt;

  const ConvShape& s = first.shape;
  const int64_t blocks = ceil_div(s.n * s.oh * s.ow, tile.m), chunks = ceil_div(s.oc, a.tile_n);
  const int64_t by_registers = pair_thread_blocks(choice.kernel);
  const int64_t resident =
      std::clamp<int64_t>((gpu.shared_bytes + 1024) / (memory.bytes + 1024), 1, by_registers);
  const GpuRounds run(blocks, resident, gpu);
  const double tflops = mma_tflops(a.dtype, gpu) * tile.efficiency;
  const auto steps = [&](const GpuConvKernel& k, int64_t reduction) {
    return static_cast<double>(ceil_div(reduction, k.tile_k)) *
           run.step_microseconds(2.0 * static_cast<double>(k.tile_m * k.tile_n * k.tile_k), tflops, gpu);
  };
  const double chunk = steps(a, mma_reduction(s)) + steps(b, a.tile_n) + kChunkMicroseconds;
  const double compute =
      static_cast<double>(run.rounds) * (static_cast<double>(chunks) * chunk + kFillMicroseconds);
  const double traffic = memory_microseconds(static_cast<double>(pair_bytes(first, second)), gpu);
  choice.candidate.microseconds = std::max(compute, traffic) + kLaunchMicroseconds;
  choice.candidate.text =
      fmt::format("pair {}x{}x{}, then {}, stages {}, {} thread blocks, {} KiB shared", a.tile_m, a.tile_n,
                  a.tile_k, b.tile_n, kStages, blocks, ceil_div(memory.bytes, 1024));
  return choice;
}

}  // namespace

std::vector<GpuPairChoice> gpu_pair_choices(const GpuConvProblem& first, const GpuConvProblem& second,
                                            const GpuFacts& gpu) {
  std::vector<GpuPairChoice> all;
  if (first.dtype == DType::f32 || first.shape.groups != 1 || !mma_can_read(first)) return all;
  for (const PairTile& tile : kPairTiles)
    if (auto choice = choice_of(first, second, gpu, tile)) all.push_back(*std::move(choice));
  std::stable_sort(all.begin(), all.end(), [](const GpuPairChoice& a, const GpuPairChoice& b) {
    return a.candidate.microseconds < b.candidate.microseconds;
  });
  return all;
}

PairMemory pair_memory(const GpuConvPairKernel& k) {
  const int64_t size = dtype_bytes(k.first.dtype);
  PairMemory memory;
  memory.chunk = mma_shared_bytes(k.first);
  memory.weights = memory.chunk + k.first.tile_m * k.first.tile_n * size;
  memory.bytes = std::max(memory.weights + k.second.tile_n * k.first.tile_n * size, mma_sums_bytes(k.second));
  return memory;
}

int64_t pair_thread_blocks(const GpuConvPairKernel& k) {
  // With 128 registers a thread two thread blocks fit a multiprocessor: those have room for so many sums, of
  // which the second's are there in both loops.
  constexpr int64_t kSums = 64, kSecondSums = 48;
  const int64_t first = k.first.tile_m * k.first.tile_n, second = k.first.tile_m * k.second.tile_n;
  return first + second <= kSums * kPairThreads && second <= kSecondSums * kPairThreads ? 2 : 1;
}

}  // namespace cardinal
