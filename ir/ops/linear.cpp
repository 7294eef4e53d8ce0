#include "ir/ops/linear.h"

#include <fmt/format.h>

namespace cardinal {

Inferred Linear::infer(std::span<const TensorType> operands) const {
  const Shape& x = operands[0].shape;
  if (x.rank() != 2)
    return OpError{fmt::format("linear needs an input [N, C], got {}{}", to_string(operands[0]),
                               x.rank() == 4 ? "; flatten it first" : ""),
                   {},
                   0};
  if (channels < 1) return OpError{fmt::format("channels must be at least 1, got {}", channels), "channels"};
  Shape out{x.n(), channels};
  if (std::string problem = shape_problem(out); !problem.empty()) return OpError{"the result's " + problem};
  return TensorType{operands[0].dtype, out};
}

std::vector<Parameter> Linear::parameters(const TensorType& x) const {
  std::vector<Parameter> out{{Role::kernel, {channels, x.shape.c()}}};
  if (bias) out.push_back({Role::bias, {channels}});
  return out;
}

void Linear::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const Tensor &x = *operands[0], &weight = *operands[1];
  int64_t in = x.type.shape.c();
  for (int64_t n = 0; n < x.type.shape.n(); ++n)
    for (int64_t oc = 0; oc < channels; ++oc) {
      double sum = bias ? operands[2]->data[oc] : 0.0;
      for (int64_t c = 0; c < in; ++c) sum += x.data[n * in + c] * weight.data[oc * in + c];
      out.data[n * channels + oc] = sum;
    }
}

double Linear::flops(std::span<const TensorType> operands, const TensorType& out) const {
  return static_cast<double>(out.shape.elements()) *
         (2 * static_cast<double>(operands[0].shape.c()) + (bias ? 1 : 0));
}

}  // namespace cardinal
