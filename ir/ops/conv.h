#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// 2-D cross-correlation, grouped and dilated. Operands: x [N, IC, H, W]; weight [OC, IC / groups, KH, KW];
// bias [OC] if `bias`; then the epilogue's.
struct Conv {
  static constexpr std::string_view name = "conv";
  static constexpr std::string_view summary =
      "2-D convolution (cross-correlation) with zero padding, stride, dilation and groups";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  int64_t channels = 0;
  Pair kernel;
  Pair stride;
  Padding padding = Padding::same();
  Pair dilation;
  int64_t groups = 1;
  bool bias = false;
  Epilogue epilogue;
  static constexpr auto fields =
      std::tuple{required("channels", &Conv::channels), required("kernel", &Conv::kernel),
                 optional("stride", &Conv::stride),     optional("padding", &Conv::padding),
                 optional("dilation", &Conv::dilation), optional("groups", &Conv::groups),
                 optional("bias", &Conv::bias),         internal("epilogue", &Conv::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

}  // namespace cardinal
