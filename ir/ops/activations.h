// Ops that are one function of each element. `activation()` says which; their shape rule, semantics and flops
// follow from it (ir/op.cpp), and so do their code and their fusion.
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

#define CARDINAL_PLAIN_ACTIVATION(Op, kind, text)       \
  struct Op : PlainActivation<Activation::Kind::kind> { \
    static constexpr std::string_view name = #kind;     \
    static constexpr std::string_view summary = text;   \
  };
CARDINAL_PLAIN_ACTIVATION(Relu, relu, "max(x, 0)")
CARDINAL_PLAIN_ACTIVATION(Relu6, relu6, "min(max(x, 0), 6)")
CARDINAL_PLAIN_ACTIVATION(Sigmoid, sigmoid, "1 / (1 + exp(-x))")
CARDINAL_PLAIN_ACTIVATION(Tanh, tanh, "hyperbolic tangent")
CARDINAL_PLAIN_ACTIVATION(Silu, silu, "x * sigmoid(x)")
CARDINAL_PLAIN_ACTIVATION(Hardswish, hardswish, "x * min(max(x + 3, 0), 6) / 6")
CARDINAL_PLAIN_ACTIVATION(Selu, selu, "1.0507 * elu(x, alpha=1.67326), the self-normalising constants")
CARDINAL_PLAIN_ACTIVATION(Softplus, softplus, "log(1 + exp(x))")
CARDINAL_PLAIN_ACTIVATION(Softsign, softsign, "x / (1 + abs(x))")
CARDINAL_PLAIN_ACTIVATION(Mish, mish, "x * tanh(softplus(x))")
CARDINAL_PLAIN_ACTIVATION(Exp, exp,
                          "e to the x, of x from -87.3 to 88.3; others are taken to be the nearer of these")
CARDINAL_PLAIN_ACTIVATION(Sqrt, sqrt, "square root of max(x, 0)")
CARDINAL_PLAIN_ACTIVATION(Abs, abs, "x without its sign")
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
};

struct LeakyRelu {
  static constexpr std::string_view name = "leaky_relu";
  static constexpr std::string_view summary = "x if x > 0, else negative_slope * x";
  static constexpr Arity tensors{1, 1};
  double negative_slope = 0.01;
  static constexpr auto fields = std::tuple{optional("negative_slope", &LeakyRelu::negative_slope)};
  Activation activation() const { return {Activation::Kind::leaky_relu, negative_slope}; }
};

struct Hardsigmoid {
  static constexpr std::string_view name = "hardsigmoid";
  static constexpr std::string_view summary = "min(max(alpha * x + beta, 0), 1)";
  static constexpr Arity tensors{1, 1};
  double alpha = 1.0 / 6;
  double beta = 0.5;
  static constexpr auto fields =
      std::tuple{optional("alpha", &Hardsigmoid::alpha), optional("beta", &Hardsigmoid::beta)};
  Activation activation() const { return {Activation::Kind::hardsigmoid, alpha, beta}; }
};

struct Clip {
  static constexpr std::string_view name = "clip";
  static constexpr std::string_view summary = "min(max(x, min), max), two numbers";
  static constexpr Arity tensors{1, 1};
  double min = 0;
  double max = 0;
  static constexpr auto fields = std::tuple{required("min", &Clip::min), required("max", &Clip::max)};
  Activation activation() const { return {Activation::Kind::clip, min, max}; }
  Inferred infer(std::span<const TensorType> operands) const;  // min <= max
};

// Clevert et al. 2016.
struct Elu {
  static constexpr std::string_view name = "elu";
  static constexpr std::string_view summary = "x if x > 0, else alpha * (exp(x) - 1)";
  static constexpr Arity tensors{1, 1};
  double alpha = 1;
  static constexpr auto fields = std::tuple{optional("alpha", &Elu::alpha)};
  Activation activation() const { return {Activation::Kind::elu, alpha}; }
};

// Barron 2017: elu with a continuous derivative for every alpha.
struct Celu {
  static constexpr std::string_view name = "celu";
  static constexpr std::string_view summary = "x if x > 0, else alpha * (exp(x / alpha) - 1)";
  static constexpr Arity tensors{1, 1};
  double alpha = 1;
  static constexpr auto fields = std::tuple{optional("alpha", &Celu::alpha)};
  Activation activation() const { return {Activation::Kind::celu, alpha}; }
  Inferred infer(std::span<const TensorType> operands) const;  // alpha > 0
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
};

void evaluate_activation(Activation, const Tensor& x, Tensor& out);

}  // namespace cardinal
