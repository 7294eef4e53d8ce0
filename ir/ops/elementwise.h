// Elementwise ops of two tensors, and the epilogues that elementwise work is fused into.
#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// He et al. 2015. Operands: x [N, C, H, W] or [N, C]; weight [C], or [1] if `shared`; then the epilogue's.
struct Prelu {
  static constexpr std::string_view name = "prelu";
  static constexpr std::string_view summary = "x if x > 0, else weight * x, with a weight for each channel";
  static constexpr Arity tensors{1, 1};
  static constexpr int constants_from = 1;
  bool shared = false;
  Epilogue epilogue;
  static constexpr auto fields =
      std::tuple{optional("shared", &Prelu::shared), internal("epilogue", &Prelu::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  std::vector<Parameter> parameters(const TensorType& x) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Operands of add, mul, div, max and min: two tensors of one rank whose dimensions are equal, or 1 in one of
// them (broadcast along it); then the epilogue's.
struct Add {
  static constexpr std::string_view name = "add";
  static constexpr std::string_view summary = "elementwise sum; written x + y as well";
  static constexpr Arity tensors{2, 2};
  Epilogue epilogue;
  static constexpr auto fields = std::tuple{internal("epilogue", &Add::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

struct Mul {
  static constexpr std::string_view name = "mul";
  static constexpr std::string_view summary = "elementwise product; written x * y as well";
  static constexpr Arity tensors{2, 2};
  Epilogue epilogue;
  static constexpr auto fields = std::tuple{internal("epilogue", &Mul::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

struct Div {
  static constexpr std::string_view name = "div";
  static constexpr std::string_view summary = "elementwise quotient; written x / y as well";
  static constexpr Arity tensors{2, 2};
  Epilogue epilogue;
  static constexpr auto fields = std::tuple{internal("epilogue", &Div::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

struct Max {
  static constexpr std::string_view name = "max";
  static constexpr std::string_view summary = "elementwise, the larger one";
  static constexpr Arity tensors{2, 2};
  Epilogue epilogue;
  static constexpr auto fields = std::tuple{internal("epilogue", &Max::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

struct Min {
  static constexpr std::string_view name = "min";
  static constexpr std::string_view summary = "elementwise, the smaller one";
  static constexpr Arity tensors{2, 2};
  Epilogue epilogue;
  static constexpr auto fields = std::tuple{internal("epilogue", &Min::epilogue)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
  double flops(std::span<const TensorType> operands, const TensorType& out) const;
};

// Checks the operands that an epilogue takes against the type it is applied to; "" if they fit.
std::string check_epilogue(const Epilogue&, std::span<const TensorType> extra_operands,
                           const TensorType& result);
// Applies the steps in place.
void evaluate_epilogue(const Epilogue&, std::span<const Tensor* const> extra_operands, Tensor& result);
double epilogue_flops(const Epilogue&, const TensorType& result);

}  // namespace cardinal
