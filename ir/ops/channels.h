// Ops whose every result channel is a channel of the operand, possibly shifted within the image.
#pragma once

#include <optional>

#include "ir/op_interface.h"

namespace cardinal {

// Where a channel of the result comes from: its pixel (h, w) is pixel (h + dh, w + dw) of the operand's
// channel, 0 outside the image.
struct ChannelSource {
  int64_t channel = 0, dh = 0, dw = 0;
  bool operator==(const ChannelSource&) const = default;
};

// The channel that the sources begin with, if they are one range of unshifted channels.
std::optional<int64_t> range_start(std::span<const ChannelSource>);

void evaluate_sources(std::span<const ChannelSource>, const Tensor& x, Tensor& out);

// Channels [begin, end); end 0 stands for the operand's last.
struct Slice {
  static constexpr std::string_view name = "slice";
  static constexpr std::string_view summary = "channels from begin up to, without, end";
  static constexpr Arity tensors{1, 1};
  int64_t begin = 0;
  int64_t end = 0;
  static constexpr auto fields = std::tuple{optional("begin", &Slice::begin), optional("end", &Slice::end)};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<ChannelSource> sources(int64_t channels) const;
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
  std::vector<ChannelSource> sources(int64_t channels) const;
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
  std::vector<ChannelSource> sources(int64_t channels) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

}  // namespace cardinal
