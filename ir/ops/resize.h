#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// What a result pixel is along one axis: x[first] * (1 - weight) + x[second] * weight.
struct ResizeTap {
  int64_t first = 0, second = 0;
  double weight = 0;
  bool operator==(const ResizeTap&) const = default;
};

// Operand: x [N, C, H, W]; result [N, C, size], or [N, C, floor(scale * [H, W])] if the size is 0. Pixel i
// lies at i * step (nearest, rounded down), at (i + 0.5) * step - 0.5 (bilinear), or at i * (in - 1) / (out -
// 1) (bilinear_corners); step is in / out, or 1 / scale where there is no size. PyTorch's rules.
struct Resize {
  static constexpr std::string_view name = "resize";
  static constexpr std::string_view summary = "the image enlarged or reduced, by a scale or to a size";
  static constexpr Arity tensors{1, 1};
  Factors scale{1, 1};
  Pair size{0, 0};
  ResizeMode mode = ResizeMode::nearest;
  static constexpr auto fields = std::tuple{optional("scale", &Resize::scale),
                                            optional("size", &Resize::size), optional("mode", &Resize::mode)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// For each row, or column, of the result.
struct ResizeTaps {
  std::vector<ResizeTap> rows, columns;
};
ResizeTaps resize_taps(const Resize&, const Shape& x, const Shape& out);

}  // namespace cardinal
