#include "ir/ops/training.h"

#include <fmt/format.h>

namespace cardinal {

namespace {

Inferred infer_unchanged(double p, const TensorType& x) {
  if (p >= 0 && p <= 1) return x;
  return OpError{fmt::format("p is a probability, from 0 to 1; got {}", p), "p"};
}

}  // namespace

Inferred Dropout::infer(std::span<const TensorType> operands) const {
  return infer_unchanged(p, operands[0]);
}

Inferred StochasticDepth::infer(std::span<const TensorType> operands) const {
  return infer_unchanged(p, operands[0]);
}

}  // namespace cardinal
