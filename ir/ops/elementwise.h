// Elementwise ops: the activations, add and mul.
#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// An activation without attributes. Op structs below differ only in name.
template <Activation::Kind K>
struct PlainActivation {
  static constexpr Arity tensors{1, 1};
  static constexpr auto fields = std::tuple{};
  Activation activation() const { return {K}; }
};

Inferred infer_activation(std::span<const TensorType> operands);
void evaluate_activation(Activation activation, const Tensor& x, Tensor& out);

#define CARDINAL_PLAIN_ACTIVATION(Op, kind, text)                                                     \
  struct Op : PlainActivation<Activation::Kind::kind> {                                               \
    static constexpr std::string_view name = #kind;                                                   \
    static constexpr std::string_view summary = text;                                                 \
    Inferred infer(std::span<const TensorType> operands) const { return infer_activation(operands); } \
    void evaluate(std::span<const Tensor* const> operands, Tensor& out) const {                       \
      evaluate_activation(activation(), *operands[0], out);                                           \
    }                                                                                                 \
    double flops(std::span<const TensorType>, const TensorType& out) const {                          \
      return static_cast<double>(out.shape.elements());                                               \
    }                                                                                                 \
  };
CARDINAL_PLAIN_ACTIVATION(Relu, relu, "max(x, 0)")
CARDINAL_PLAIN_ACTIVATION(Relu6, relu6, "min(max(x, 0), 6)")
CARDINAL_PLAIN_ACTIVATION(Sigmoid, sigmoid, "1 / (1 + exp(-x))")
CARDINAL_PLAIN_ACTIVATION(Tanh, tanh, "hyperbolic tangent")
CARDINAL_PLAIN_ACTIVATION(Silu, silu, "x * sigmoid(x)")
CARDINAL_PLAIN_ACTIVATION(Hardswish, hardswish, "x * min(max(x + 3, 0), 6) / 6")
CARDINAL_PLAIN_ACTIVATION(Hardsigmoid, hardsigmoid, "min(max(x + 3, 0), 6) / 6")
#undef CARDINAL_PLAIN_ACTIVATION

// Hendrycks and Gimpel 2016. The approximation is 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
struct Gelu {
  static constexpr std::string_view name = "gelu";
  static constexpr std::string_view summary = "x * Phi(x), exact with erf, or Phi approximated with tanh";
  static constexpr Arity tensors{1, 1};
  bool approximate = false;
  static constexpr auto fields = std::tuple{optional("approximate", &Gelu::approximate)};
  Activation activation() const {
    return {approximate ? Activation::Kind::gelu_tanh : Activation::Kind::gelu};
  }

  Inferred infer(std::span<const TensorType> operands) const { return infer_activation(operands); }
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
    evaluate_activation(activation(), *operands[0], out);
  }
  double flops(std::span<const TensorType>, const TensorType& out) const {
    return static_cast<double>(out.shape.elements());
  }
};

struct LeakyRelu {
  static constexpr std::string_view name = "leaky_relu";
  static constexpr std::string_view summary = "x if x > 0, else negative_slope * x";
  static constexpr Arity tensors{1, 1};
  double negative_slope = 0.01;
  static constexpr auto fields = std::tuple{optional("negative_slope", &LeakyRelu::negative_slope)};
  Activation activation() const { return {Activation::Kind::leaky_relu, negative_slope}; }

  Inferred infer(std::span<const TensorType> operands) const { return infer_activation(operands); }
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
    evaluate_activation(activation(), *operands[0], out);
  }
  double flops(std::span<const TensorType>, const TensorType& out) const {
    return static_cast<double>(out.shape.elements());
  }
};

struct Affine {
  static constexpr std::string_view name = "affine";
  static constexpr std::string_view summary =
      "scale * x + shift, two numbers; written 2 * x, x + 1, 1 - x, x / 2 as well";
  static constexpr Arity tensors{1, 1};
  double scale = 1;
  double shift = 0;
  static constexpr auto fields =
      std::tuple{optional("scale", &Affine::scale), optional("shift", &Affine::shift)};
  Activation activation() const { return {Activation::Kind::affine, scale, shift}; }

  Inferred infer(std::span<const TensorType> operands) const { return infer_activation(operands); }
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
    evaluate_activation(activation(), *operands[0], out);
  }
  double flops(std::span<const TensorType>, const TensorType& out) const {
    return 2 * static_cast<double>(out.shape.elements());
  }
};

// Operands of add and mul: two tensors of one shape, or one of them [N, C, 1, 1] against [N, C, H, W]
// (broadcast over H and W); then the epilogue's. The result has the larger shape.
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

// Checks the operands that an epilogue takes against the type it is applied to; "" if they fit.
std::string check_epilogue(const Epilogue&, std::span<const TensorType> extra_operands,
                           const TensorType& result);
// Applies the steps in place.
void evaluate_epilogue(const Epilogue&, std::span<const Tensor* const> extra_operands, Tensor& result);
double epilogue_flops(const Epilogue&, const TensorType& result);

}  // namespace cardinal
