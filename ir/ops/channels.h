// Ops whose every result channel is a channel of the operand, or part of one.
#pragma once

#include <optional>

#include "ir/op_interface.h"

namespace cardinal {

// Where a channel of the result comes from: a channel of the operand and the pixel that its first pixel is,
// or nowhere (kNoChannel).
inline constexpr int64_t kNoChannel = -1;
struct ChannelSource {
  int64_t channel = 0, dh = 0, dw = 0;
  bool operator==(const ChannelSource&) const = default;
};

// Pixel (h, w) of a channel of the result is pixel (step.h * h + dh, step.w * w + dw) of its source, `fill`
// outside the image and where there is no source.
struct Gathering {
  std::vector<ChannelSource> sources;  // by channel of the result
  Pair step;
  double fill = 0;
};

// The channel that the result begins with, if it is a range of whole channels.
std::optional<int64_t> range_start(const Gathering&, const Shape& x, const Shape& out);

void evaluate_gathering(const Gathering&, const Tensor& x, Tensor& out);

// A range of channels, of rows and of columns. Operand: x [N, C, H, W], or [N, C] with h and w left alone.
struct Slice {
  static constexpr std::string_view name = "slice";
  static constexpr std::string_view summary =
      "ranges of channels, rows and columns, each [begin, end] or [begin, end, step]";
  static constexpr Arity tensors{1, 1};
  AxisRange c, h, w;
  static constexpr auto fields =
      std::tuple{optional("c", &Slice::c), optional("h", &Slice::h), optional("w", &Slice::w)};

  Inferred infer(std::span<const TensorType> operands) const;
  Gathering gathering(const Shape& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

// Channel i * groups + j of the result is channel j * (C / groups) + i. Zhang et al. 2018 (ShuffleNet).
struct ChannelShuffle {
  static constexpr std::string_view name = "channel_shuffle";
  static constexpr std::string_view summary =
      "interleaves groups of channels: the first of each, then the second of each";
  static constexpr Arity tensors{1, 1};
  int64_t groups = 1;
  static constexpr auto fields = std::tuple{required("groups", &ChannelShuffle::groups)};

  Inferred infer(std::span<const TensorType> operands) const;
  Gathering gathering(const Shape& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

// A depthwise convolution whose kernels have a single 1 (Wu et al. 2018, ShiftNet): the channels fall into
// KH * KW groups of C / (KH * KW), in the order of the kernel's taps, and group (i, j) reads
// x[h + dilation * (i - KH / 2)][w + dilation * (j - KW / 2)]. The channels left over are not shifted.
struct Shift {
  static constexpr std::string_view name = "shift";
  static constexpr std::string_view summary =
      "shifts groups of channels, each to another tap of the kernel, filling with zeros";
  static constexpr Arity tensors{1, 1};
  Pair kernel;
  Pair dilation;
  static constexpr auto fields =
      std::tuple{required("kernel", &Shift::kernel), optional("dilation", &Shift::dilation)};

  Inferred infer(std::span<const TensorType> operands) const;
  Gathering gathering(const Shape& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

// Blocks of pixels become channels: channel c of pixel (h, w) goes, over blocks of B x B (the factor), to
// channel c * B^2 + (h % B) * B + w % B (crd) or ((h % B) * B + w % B) * C + c (dcr) of pixel (h / B, w / B).
struct SpaceToDepth {
  static constexpr std::string_view name = "space_to_depth";
  static constexpr std::string_view summary = "blocks of pixels become channels of one pixel";
  static constexpr Arity tensors{1, 1};
  int64_t factor = 2;
  DepthOrder order = DepthOrder::crd;
  static constexpr auto fields =
      std::tuple{required("factor", &SpaceToDepth::factor), optional("order", &SpaceToDepth::order)};

  Inferred infer(std::span<const TensorType> operands) const;
  Gathering gathering(const Shape& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

// The inverse of space_to_depth: a pixel shuffle (Shi et al. 2016).
struct DepthToSpace {
  static constexpr std::string_view name = "depth_to_space";
  static constexpr std::string_view summary =
      "channels of one pixel become a block of pixels (pixel shuffle)";
  static constexpr Arity tensors{1, 1};
  int64_t factor = 2;
  DepthOrder order = DepthOrder::crd;
  static constexpr auto fields =
      std::tuple{required("factor", &DepthToSpace::factor), optional("order", &DepthToSpace::order)};

  Inferred infer(std::span<const TensorType> operands) const;
  // The channels of the result's pixels (factor * h + row, factor * w + column).
  Gathering gathering_at(const Shape& x, int64_t row, int64_t column) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

}  // namespace cardinal
