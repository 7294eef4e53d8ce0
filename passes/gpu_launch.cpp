#include "passes/gpu_launch.h"

#include <algorithm>

#include "passes/gpu_conv_choice.h"
#include "passes/gpu_conv_wgmma.h"
#include "passes/gpu_cost.h"
#include "passes/gpu_pair_choice.h"

namespace cardinal {

namespace {

GpuLaunch items(int64_t count) { return {ceil_div(count, kItemThreads), 1, 1, kItemThreads}; }

// A warp for each item.
GpuLaunch warps(int64_t count) { return {ceil_div(count * 32, kItemThreads), 1, 1, kItemThreads}; }

int64_t pixels(const View& view) { return view.shape.n() * view.shape.h() * view.shape.w(); }

GpuLaunch vectors_of(const View& out) { return items(pixels(out) * channel_vectors(out)); }

GpuLaunch launch_of(const Step&, const GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  switch (k.algorithm) {
    case GpuConvKernel::Algorithm::simt:
      return {};
    case GpuConvKernel::Algorithm::depthwise:
      return {};
    case GpuConvKernel::Algorithm::patch: {
      const Patch patch = make_patch(k);
      return {s.n * ceil_div(s.oh, k.tile_h) * ceil_div(s.ow, k.tile_w), s.oc / k.tile_n, 1, 128,
              patch.rows * patch.row_bytes};
    }
    case GpuConvKernel::Algorithm::mma:
    case GpuConvKernel::Algorithm::wgmma:
      break;
  }
  const int64_t tiles = product_tiles(k);
  if (k.algorithm == GpuConvKernel::Algorithm::wgmma)
    return {tiles, 1, k.split_k, wgmma_threads(k), wgmma_shared_bytes(k)};
  return {tiles, s.groups, k.split_k, 32 * k.warps_m * k.warps_n, mma_shared_bytes(k)};
}

struct LaunchOf {
  const Step& step;
  GpuLaunch operator()(const GpuConvKernel& k) const {
    const View& out = step.output;
    if (k.algorithm == GpuConvKernel::Algorithm::simt) return vectors_of(out);
    if (k.algorithm == GpuConvKernel::Algorithm::depthwise)
      return items(k.shape.n * k.shape.oh * ceil_div(k.shape.ow, k.tile_w) * channel_vectors(out));
    return launch_of(step, k);
  }
  GpuLaunch operator()(const GpuConvPairKernel& k) const {
    const ConvShape& s = k.first.shape;
    return {ceil_div(s.n * s.oh * s.ow, k.first.tile_m), 1, 1, kPairThreads, pair_memory(k).bytes};
  }
  // A thread block for 8 vectors of channels, whose pixels 16 threads share.
  GpuLaunch image_reduction() const {
    return {ceil_div(channel_vectors(step.output), 8), step.output.shape.n(), 1, 128, 128 * kGpuVector * 4};
  }
  GpuLaunch operator()(const PoolKernel& k) const {
    return k.mode == PoolKernel::Mode::global_average ? image_reduction() : vectors_of(step.output);
  }
  GpuLaunch operator()(const MomentsKernel&) const { return image_reduction(); }
  GpuLaunch operator()(const GroupFactorsKernel& k) const { return warps(step.output.shape.n() * k.groups); }
  GpuLaunch operator()(const SoftmaxKernel&) const { return warps(pixels(step.output)); }
  GpuLaunch operator()(const LayerNormKernel&) const { return warps(pixels(step.output)); }
  template <class K>
  GpuLaunch operator()(const K&) const {
    return vectors_of(step.output);
  }
};

int64_t bytes_of(const View& view) { return view.shape.elements() * dtype_bytes(view.dtype); }

}  // namespace

int64_t existing_channels(const View& view) {
  const int64_t end = view.first_channel + view.shape.c();
  return (view.padded ? round_up(end, kChannelBlock) : end) - view.first_channel;
}

int64_t channel_vectors(const View& view) { return ceil_div(existing_channels(view), kGpuVector); }

void set_gpu_launches(Plan& plan) {
  for (Step& step : plan.steps) {
    step.launch = std::visit(LaunchOf{step}, step.kernel);
    step.units = step.launch.thread_blocks();
    step.bytes = bytes_of(step.output);
    if (step.second_output) step.bytes += bytes_of(*step.second_output);
    for (const View& input : step.inputs) step.bytes += bytes_of(input);
    for (const PackedWeight& weight : step.weights) step.bytes += weight.floats * int64_t{sizeof(float)};
    step.predicted_us =
        memory_microseconds(static_cast<double>(step.bytes), *plan.target.gpu) + kLaunchMicroseconds;
    if (!step.candidates.empty()) step.predicted_us = step.candidates[0].microseconds;
  }
}

}  // namespace cardinal
