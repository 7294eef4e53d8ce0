// Ops that act while a network is trained and hand their operand on at inference. Networks keep them so that
// their text follows the paper; passes remove them.
#pragma once

#include "ir/op_interface.h"

namespace cardinal {

// Srivastava et al. 2014.
struct Dropout {
  static constexpr std::string_view name = "dropout";
  static constexpr std::string_view summary = "x: dropout acts in training only";
  static constexpr Arity tensors{1, 1};
  double p = 0.5;
  static constexpr auto fields = std::tuple{optional("p", &Dropout::p)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const { out.data = operands[0]->data; }
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

// Huang et al. 2016.
struct StochasticDepth {
  static constexpr std::string_view name = "stochastic_depth";
  static constexpr std::string_view summary = "x: branches are dropped in training only";
  static constexpr Arity tensors{1, 1};
  double p = 0.5;
  static constexpr auto fields = std::tuple{required("p", &StochasticDepth::p)};

  Inferred infer(std::span<const TensorType> operands) const;
  void evaluate(std::span<const Tensor* const> operands, Tensor& out) const { out.data = operands[0]->data; }
  double flops(std::span<const TensorType>, const TensorType&) const { return 0; }
};

}  // namespace cardinal
