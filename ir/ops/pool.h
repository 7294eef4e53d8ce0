#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// The windows of a pooling op along both axes. stride 0 means "the kernel's".
struct PoolWindow {
  Pair kernel;
  Pair stride{0, 0};
  Padding padding;
  Pair dilation;
  bool ceil_mode =
      false;  // round the output size up; the last window must start inside the input or its left padding
};

// Operand: x [N, C, H, W]. Padding never wins the maximum.
struct MaxPool : PoolWindow {
  static constexpr std::string_view name = "max_pool";
  static constexpr std::string_view summary = "maximum over windows";
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields =
      std::tuple{required("kernel", static_cast<Pair MaxPool::*>(&MaxPool::kernel)),
                 optional("stride", static_cast<Pair MaxPool::*>(&MaxPool::stride)),
                 optional("padding", static_cast<Padding MaxPool::*>(&MaxPool::padding)),
                 optional("dilation", static_cast<Pair MaxPool::*>(&MaxPool::dilation)),
                 optional("ceil_mode", static_cast<bool MaxPool::*>(&MaxPool::ceil_mode))};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Operand: x [N, C, H, W]. The divisor counts padding if count_include_pad, but never what ceil_mode adds
// beyond it (PyTorch's rule).
struct AvgPool : PoolWindow {
  static constexpr std::string_view name = "avg_pool";
  static constexpr std::string_view summary = "mean over windows";
  static constexpr Arity tensors{1, 1};
  bool count_include_pad = true;
  static constexpr auto fields =
      std::tuple{required("kernel", static_cast<Pair AvgPool::*>(&AvgPool::kernel)),
                 optional("stride", static_cast<Pair AvgPool::*>(&AvgPool::stride)),
                 optional("padding", static_cast<Padding AvgPool::*>(&AvgPool::padding)),
                 optional("dilation", static_cast<Pair AvgPool::*>(&AvgPool::dilation)),
                 optional("ceil_mode", static_cast<bool AvgPool::*>(&AvgPool::ceil_mode)),
                 optional("count_include_pad", &AvgPool::count_include_pad)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Operand: x [N, C, H, W]; result [N, C, 1, 1].
struct GlobalAvgPool {
  static constexpr std::string_view name = "global_avg_pool";
  static constexpr std::string_view summary = "mean over H and W, keeping them as 1";
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields = std::tuple{};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Operand: x [N, C, H, W]; result [N, C, 1, 1].
struct GlobalMaxPool {
  static constexpr std::string_view name = "global_max_pool";
  static constexpr std::string_view summary = "maximum over H and W, keeping them as 1";
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields = std::tuple{};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// The i-th of `bins` intervals that an axis of `size` pixels is cut into: they cover it, and overlap or
// repeat pixels where the size is no multiple of their number (PyTorch's rule).
struct Bin {
  int64_t begin = 0, end = 0;
};
constexpr Bin adaptive_bin(int64_t i, int64_t bins, int64_t size) {
  return {i * size / bins, ceil_div((i + 1) * size, bins)};
}

// Operand: x [N, C, H, W]; result [N, C, output].
struct AdaptiveAvgPool {
  static constexpr std::string_view name = "adaptive_avg_pool";
  static constexpr std::string_view summary = "mean over a grid of bins, whatever the input's size";
  static constexpr Arity tensors{1, 1};
  Pair output;
  static constexpr auto fields = std::tuple{required("output", &AdaptiveAvgPool::output)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Operand: x [N, C, H, W]; result [N, C, output].
struct AdaptiveMaxPool {
  static constexpr std::string_view name = "adaptive_max_pool";
  static constexpr std::string_view summary = "maximum over a grid of bins, whatever the input's size";
  static constexpr Arity tensors{1, 1};
  Pair output;
  static constexpr auto fields = std::tuple{required("output", &AdaptiveMaxPool::output)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Operand: x [N, C, H, W] or [N, C]; result [N, 1, H, W] or [N, 1].
struct ChannelAvgPool {
  static constexpr std::string_view name = "channel_avg_pool";
  static constexpr std::string_view summary = "mean over the channels of each pixel, keeping them as 1";
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields = std::tuple{};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Operand: x [N, C, H, W] or [N, C]; result [N, 1, H, W] or [N, 1].
struct ChannelMaxPool {
  static constexpr std::string_view name = "channel_max_pool";
  static constexpr std::string_view summary = "maximum over the channels of each pixel, keeping them as 1";
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields = std::tuple{};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

}  // namespace cardinal
