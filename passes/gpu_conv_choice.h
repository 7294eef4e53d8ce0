// Which kernel computes a convolution or linear layer on a GPU, from its shape and the GPU's facts alone.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "passes/plan.h"

namespace cardinal {

struct GpuConvProblem {
  ConvShape shape;
  View x;
  DType dtype = DType::f16;  // of values and weights
  Epilogue epilogue;
  std::optional<GpuConvKernel::Algorithm> wanted;
  std::optional<GpuTile> wanted_tile = std::nullopt;
  bool tf32 = false;       // whether f32 values may be rounded to 11 bits and multiplied on tensor cores
  bool use_wgmma = false;  // in place of mma, where it is possible
};

struct GpuConvChoice {
  GpuConvKernel kernel;       // without bias
  bool copies_input = false;  // into the workspace, since the kernel cannot read x where it is
  Candidate candidate;
};

// Best first; empty only if what is wanted cannot be.
std::vector<GpuConvChoice> gpu_conv_choices(const GpuConvProblem&, const GpuFacts&);

// Operands, result and weights, each once.
int64_t gpu_conv_bytes(const GpuConvProblem&);
// Of tensor cores on values of a type, and of whatever multiplies values of a plan's precision.
double mma_tflops(DType, const GpuFacts&);
double product_tflops(DType, bool tf32, bool wgmma, const GpuFacts&);
// Whether the algorithms mma and wgmma can read x where it is: in whole 16-byte vectors of channels.
bool mma_can_read(const GpuConvProblem&);

// ---- what the choices of mma and wgmma have in common

// Parts of the reduction that are considered.
inline constexpr std::array<int64_t, 8> kProductSplits = {1, 2, 3, 4, 6, 8, 12, 16};
int64_t product_tiles(const GpuConvKernel&);  // of a group: thread blocks, but for parts
// Of a part's reduction; none if there are no so many parts of some length.
std::optional<int64_t> steps_of_part(const GpuConvKernel&);
// Says what the kernel is and predicts its time, `compute` us being that of its arithmetic.
void finish_product_choice(GpuConvChoice&, const GpuConvProblem&, const GpuFacts&, int64_t thread_blocks,
                           double compute);

// ---- what the kernels' emitters and packing share with the choice

// Channels of a group that a tap of the mma algorithm's reduction has: whole 16-byte vectors.
int64_t mma_tap_channels(const ConvShape&);
int64_t mma_reduction(const ConvShape&);   // kh * kw * mma_tap_channels
int64_t mma_weight_row(const ConvShape&);  // of the packed weights, whole steps of any tile_k
inline constexpr int64_t kMmaSumsPad =
    8;  // floats between rows of sums in shared memory, against bank conflicts
int64_t mma_sums_bytes(const GpuConvKernel&);    // of a tile, in shared memory
int64_t mma_shared_bytes(const GpuConvKernel&);  // the same or the stages, of which there is more

// The sums of a split convolution's parts.
View split_view(const GpuConvKernel&);

// The patch of x in shared memory. A unit is 8 consecutive values of it, half of a step of the tensor core:
// 8 channels of a pixel, or 4 channels of two.
struct PatchUnit {
  int64_t ky = 0, kx = 0, channel = 0;  // of its first value, the channel within the window
};
struct Patch {
  int64_t rows = 0, columns = 0;           // pixels
  int64_t pixel_bytes = 0, row_bytes = 0;  // from one to the next
  std::vector<PatchUnit> units;            // two for each step, the last of an odd number repeated
  int64_t steps() const { return static_cast<int64_t>(units.size() / 2); }
  int64_t unit_offset(const ConvShape& s, size_t i) const {
    return units[i].ky * s.dilation_h * row_bytes + units[i].kx * s.dilation_w * pixel_bytes +
           units[i].channel * 2;
  }
};
inline constexpr int64_t kPatchPixels = 128;  // rows of the tensor core's tiles of one thread block
Patch make_patch(const GpuConvKernel&);
// Tiles of 8 output channels that reduce over the same window.
int64_t patch_sharing_tiles(const GpuConvKernel&);
// First input channel of the window of output channels [8 * tile, 8 * tile + 8).
int64_t patch_window_start(const GpuConvKernel&, int64_t tile);

}  // namespace cardinal
