#pragma once

#include "ir/ops/channels.h"

namespace cardinal {

// Operand: x [N, C, H, W]. A negative side is cut off instead. Channels of zero are the shortcut of He et al.
// 2016, section 3.3, option A.
struct Pad {
  static constexpr std::string_view name = "pad";
  static constexpr std::string_view summary =
      "value around the image, and as channels; a negative side is cut off";
  static constexpr Arity tensors{1, 1};
  Padding padding;
  double value = 0;
  Sides channels;
  static constexpr auto fields =
      std::tuple{required("padding", &Pad::padding), optional("value", &Pad::value),
                 optional("channels", &Pad::channels)};

  Inferred infer(std::span<const TensorType> operands) const;
  Gathering gathering(const Shape& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

}  // namespace cardinal
