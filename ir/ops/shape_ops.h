// Ops that move data without computing, and softmax.
#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// Concatenation along channels. Operands: [N, Ci, H, W] or [N, Ci], one or more.
struct Concat {
  static constexpr std::string_view name = "concat";
  static constexpr std::string_view summary = "concatenation along channels";
  static constexpr Arity tensors{1, -1};
  static constexpr auto fields = std::tuple{};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// [N, C, H, W] to [N, C * H * W], in that order or in the order H, W, C.
struct Flatten {
  static constexpr std::string_view name = "flatten";
  static constexpr std::string_view summary = "[N, C, H, W] to [N, C * H * W]";
  static constexpr Arity tensors{1, 1};
  FlattenOrder order = FlattenOrder::chw;
  static constexpr auto fields = std::tuple{optional("order", &Flatten::order)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// exp(x - max) / sum over channels. Operand: [N, C] or [N, C, H, W].
struct Softmax {
  static constexpr std::string_view name = "softmax";
  static constexpr std::string_view summary = "softmax over channels";
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields = std::tuple{};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// x - max - log(sum of exp(x - max)) over channels. Operand: [N, C] or [N, C, H, W].
struct LogSoftmax {
  static constexpr std::string_view name = "log_softmax";
  static constexpr std::string_view summary = "logarithm of softmax over channels";
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields = std::tuple{};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

}  // namespace cardinal
