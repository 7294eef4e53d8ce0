#include "ir/ops/activations.h"

#include <fmt/format.h>

#include <algorithm>

namespace cardinal {

void evaluate_activation(Activation activation, const Tensor& x, Tensor& out) {
  std::transform(x.data.begin(), x.data.end(), out.data.begin(),
                 [&](double v) { return evaluate(activation, v); });
}

Inferred Clip::infer(std::span<const TensorType> operands) const {
  if (max < min) return OpError{fmt::format("max={} is below min={}", max, min), "max"};
  return operands[0];
}

Inferred Celu::infer(std::span<const TensorType> operands) const {
  if (!(alpha > 0)) return OpError{fmt::format("alpha must be above 0, got {}", alpha), "alpha"};
  return operands[0];
}

}  // namespace cardinal
