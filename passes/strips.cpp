#include "passes/strips.h"

#include <algorithm>
#include <cmath>

#include "passes/strassen.h"
#include "passes/tiling.h"

namespace cardinal {

namespace {

// Of an image, so that as many threads can each keep to a part of it. More would read the weights more often.
constexpr int64_t kImageStrips = 4;

// Tiles whose part of x and of the sums, the seven first factors, takes half of the L2 cache; but not a few
// tiles alone, as every strip reads all weights (measured on Zen 3).
int64_t cached_tiles(const Step& step, const StrassenKernel& kernel, const Target& target) {
  constexpr int64_t kFewTiles = 16;
  const auto products = static_cast<int64_t>(kStrassenProducts.size());
  const int64_t tile_bytes = 4 * products * step.inputs[0].shape.c() / 2 * kernel.pixels;
  return std::max(target.l2_bytes / 2 / tile_bytes, kFewTiles);
}

// Parts of the images that a strip may have for the caches' sake; 0: any number.
int64_t cached_parts(const Step& step, const Target& target) {
  if (const auto* conv = std::get_if<ConvKernel>(&step.kernel)) return choose_passes(*conv, target).tiles;
  if (const auto* product = std::get_if<StrassenKernel>(&step.kernel))
    return cached_tiles(step, *product, target);
  return 0;
}

// A thread that has a part of the channels reads all of the images, most of them from another core's cache;
// one that has a part of the images reads all of the weights. So there are strips as long as the weights that
// are read again are no more than the rest.
int64_t image_parts(const Step& step, int64_t parts) {
  const int64_t images = step.output.shape.n(), of_image = ceil_div(parts, images);
  const int64_t rest = step.bytes - step.weight_bytes, most = kImageStrips * images;
  constexpr int64_t kFewBytes = 1 << 17;  // take some microseconds, wherever they are
  if (rest < kFewBytes) return parts;
  const int64_t strips =
      step.weight_bytes == 0 ? most : std::clamp<int64_t>(rest / step.weight_bytes, 1, most);
  return strips >= images ? ceil_div(of_image, strips / images) : ceil_div(images, strips) * of_image;
}

}  // namespace

int64_t channel_parts(const Step& step) {
  struct Count {
    const Step& step;
    int64_t operator()(const ConvKernel& k) const { return ceil_div(step.output.blocks(), k.panel); }
    int64_t operator()(const StrassenKernel& k) const { return ceil_div(step.output.blocks() / 2, k.panel); }
    int64_t operator()(const StrassenSumsKernel&) const { return step.inputs[0].blocks() / 2; }
    int64_t operator()(const WinogradKernel& k) const {
      return ceil_div(k.side == WinogradKernel::Side::input ? k.shape.ic : k.shape.oc, kChannelBlock);
    }
    int64_t operator()(const GroupFactorsKernel&) const { return 1; }
    int64_t operator()(const ReorderKernel&) const { return 1; }
    int64_t operator()(const SoftmaxKernel&) const { return 1; }
    int64_t operator()(const ChannelPoolKernel&) const { return 1; }
    int64_t operator()(const LayerNormKernel&) const { return 1; }
    int64_t operator()(const GpuConvKernel&) const { return 1; }
    int64_t operator()(const GpuConvPairKernel&) const { return 1; }
    int64_t operator()(const SplitSumKernel&) const { return 1; }
    // Blocks of the output: units are rows or images of them, or tiles of rows.
    int64_t operator()(const PoolKernel&) const { return step.output.blocks(); }
    int64_t operator()(const PointwiseKernel&) const { return step.output.blocks(); }
    int64_t operator()(const GatherKernel&) const { return step.output.blocks(); }
    int64_t operator()(const ResizeKernel&) const { return step.output.blocks(); }
    int64_t operator()(const AdaptivePoolKernel&) const { return step.output.blocks(); }
    int64_t operator()(const PadKernel&) const { return step.output.blocks(); }
    int64_t operator()(const MomentsKernel&) const { return step.output.blocks(); }
    int64_t operator()(const ChannelConvKernel&) const { return step.output.blocks(); }
    int64_t operator()(const ResponseNormKernel&) const { return step.output.blocks(); }
  };
  return std::visit(Count{step}, step.kernel);
}

int64_t fetched_floats(const Step& step) {
  if (const auto* conv = std::get_if<ConvKernel>(&step.kernel))
    return conv->algorithm == ConvAlgorithm::direct ? conv->panel * weight_block_floats(*conv) : 0;
  if (const auto* product = std::get_if<StrassenKernel>(&step.kernel))
    return product->panel * strassen_block_floats(step.inputs[0].shape.c());
  return 0;
}

int64_t choose_strip(const Step& step, const Target& target) {
  const int64_t channels = channel_parts(step);
  if (channels == 1) return 0;
  const int64_t parts = step.units / channels, cached = cached_parts(step, target);
  int64_t strip = image_parts(step, parts);
  if (cached && cached < strip) strip = cached;
  if (strip >= parts) return 0;
  return ceil_div(parts, ceil_div(parts, strip));
}

int64_t choose_grain(const Step& step) {
  // Sums are formed again for each range.
  if (std::holds_alternative<StrassenKernel>(step.kernel))
    return step.strip ? channel_parts(step) * step.strip : step.units;
  // A range costs half a microsecond on Zen 3: addresses, and weights that are not in L1.
  constexpr double kRangeMicroseconds = 4;
  if (step.predicted_us <= kRangeMicroseconds) return std::max<int64_t>(1, step.units);
  return static_cast<int64_t>(
      std::ceil(static_cast<double>(step.units) * kRangeMicroseconds / step.predicted_us));
}

}  // namespace cardinal
