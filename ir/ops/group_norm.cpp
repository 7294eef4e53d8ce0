#include "ir/ops/group_norm.h"

#include <fmt/format.h>

#include <cmath>

namespace cardinal {

Inferred GroupNorm::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (auto error = check_features(name, x)) return *error;
  if (auto error = check_eps(eps)) return *error;
  if (groups < 1) return OpError{fmt::format("groups must be at least 1, got {}", groups), "groups"};
  if (x.shape.c() % groups != 0)
    return OpError{fmt::format("{} channels are not divisible by groups={}", x.shape.c(), groups), "groups"};
  return x;
}

std::vector<Parameter> GroupNorm::parameters(const TensorType& x) const { return norm_parameters(*this, x); }

void GroupNorm::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const std::vector<double>& x = operands[0]->data;
  const Shape& shape = out.type.shape;
  const auto plane = static_cast<size_t>(shape.h() * shape.w());
  const auto width = static_cast<size_t>(shape.c() / groups), size = width * plane;
  const NormValues values = norm_values(*this, operands.subspan(1), shape.c());
  for (size_t group = 0; group < static_cast<size_t>(shape.n() * groups); ++group) {
    const size_t first = group * size;
    double mean = 0, variance = 0;
    for (size_t i = first; i < first + size; ++i) mean += x[i] / static_cast<double>(size);
    for (size_t i = first; i < first + size; ++i)
      variance += (x[i] - mean) * (x[i] - mean) / static_cast<double>(size);
    const double deviation = std::sqrt(variance + eps);
    for (size_t i = first; i < first + size; ++i) {
      const size_t c = i / plane % static_cast<size_t>(shape.c());
      out.data[i] = (x[i] - mean) / deviation * values.scale[c] + values.shift[c];
    }
  }
}

// Sum; subtract, square, sum; multiply, add.
double GroupNorm::flops(std::span<const TensorType>, const TensorType& out) const {
  return 6 * static_cast<double>(out.shape.elements());
}

GroupNorm InstanceNorm::as_group_norm(const Shape& x) const {
  GroupNorm norm;
  static_cast<NormWeights&>(norm) = *this;
  norm.groups = x.c();
  return norm;
}

Inferred InstanceNorm::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() != 4)
    return OpError{fmt::format("{} needs an input [N, C, H, W], got {}", name, to_string(x)), {}, 0};
  if (auto error = check_eps(eps)) return *error;
  return x;
}

std::vector<Parameter> InstanceNorm::parameters(const TensorType& x) const {
  return norm_parameters(*this, x);
}

void InstanceNorm::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  as_group_norm(out.type.shape).evaluate(operands, out);
}

double InstanceNorm::flops(std::span<const TensorType> operands, const TensorType& out) const {
  return as_group_norm(out.shape).flops(operands, out);
}

}  // namespace cardinal
