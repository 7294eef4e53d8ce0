#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// y = x weight^T + bias. Operands: x [N, IC]; weight [OC, IC]; bias [OC] if `bias`; then the epilogue's.
struct Linear {
  static constexpr std::string_view name = "linear";
  static constexpr std::string_view summary = "fully connected layer over a rank-2 tensor";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  int64_t channels = 0;
  bool bias = true;
  Epilogue epilogue;
  static constexpr auto fields =
      std::tuple{required("channels", &Linear::channels), optional("bias", &Linear::bias),
                 internal("epilogue", &Linear::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

}  // namespace cardinal
