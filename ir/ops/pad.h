#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// Operand: x [N, C, H, W]. A negative side is cut off instead.
struct Pad {
  static constexpr std::string_view name = "pad";
  static constexpr std::string_view summary = "value around the image; a negative side is cut off";
  static constexpr Arity tensors{1, 1};
  Padding padding;
  double value = 0;
  static constexpr auto fields =
      std::tuple{required("padding", &Pad::padding), optional("value", &Pad::value)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

}  // namespace cardinal
