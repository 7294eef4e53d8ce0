#include "ir/ops/elementwise.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/ops/activations.h"

namespace cardinal {

namespace {

// What an epilogue can broadcast.
bool broadcasts_over_image(const Shape& from, const Shape& to) {
  return from.rank() == 4 && to.rank() == 4 && from == Shape{to.n(), to.c(), 1, 1};
}

Inferred infer_pairwise(std::string_view op, std::span<const TensorType> operands) {
  const TensorType &a = operands[0], &b = operands[1];
  TensorType out = a;
  bool fits = a.shape.rank() == b.shape.rank();
  for (int i = 0; fits && i < a.shape.rank(); ++i) {
    fits = a.shape[i] == b.shape[i] || a.shape[i] == 1 || b.shape[i] == 1;
    out.shape[i] = std::max(a.shape[i], b.shape[i]);
  }
  if (!fits)
    return OpError{fmt::format("{} needs two tensors whose dimensions are equal, or 1 in one of them; got {} "
                               "and {}",
                               op, to_string(a), to_string(b)),
                   {},
                   1};
  if (std::string problem = shape_problem(out.shape); !problem.empty())
    return OpError{"the result's " + problem};
  return out;
}

// out[i] = combine(out[i], b), where b has out's shape or is per channel.
template <class Combine>
void combine_with(const Tensor& b, Tensor& out, Combine&& combine) {
  size_t plane = out.data.size() / b.data.size();  // 1 if the shapes are equal, else H * W
  for (size_t i = 0; i < b.data.size(); ++i)
    for (size_t j = i * plane; j < (i + 1) * plane; ++j) out.data[j] = combine(out.data[j], b.data[i]);
}

// Where each element of a tensor of shape `out` comes from in one that is broadcast to it.
std::vector<size_t> sources(const Shape& from, const Shape& out) {
  std::vector<size_t> at{0};
  for (int axis = 0; axis < out.rank(); ++axis) {
    const auto extent = static_cast<size_t>(out[axis]), own = static_cast<size_t>(from[axis]);
    std::vector<size_t> next;
    next.reserve(at.size() * extent);
    for (size_t first : at)
      for (size_t i = 0; i < extent; ++i) next.push_back(first * own + (own == 1 ? 0 : i));
    at = std::move(next);
  }
  return at;
}

template <class Combine>
void evaluate_pairwise(std::span<const Tensor* const> operands, Tensor& out, Combine&& combine) {
  const Tensor &a = *operands[0], &b = *operands[1];
  const Shape& shape = out.type.shape;
  if (a.type.shape == shape && b.type.shape == shape) {
    std::transform(a.data.begin(), a.data.end(), b.data.begin(), out.data.begin(), combine);
    return;
  }
  const std::vector<size_t> from_a = sources(a.type.shape, shape), from_b = sources(b.type.shape, shape);
  for (size_t i = 0; i < out.data.size(); ++i) out.data[i] = combine(a.data[from_a[i]], b.data[from_b[i]]);
}

}  // namespace

Inferred Prelu::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() == 4 || x.shape.rank() == 2) return x;
  return OpError{fmt::format("prelu needs an input [N, C, H, W] or [N, C], got {}", to_string(x)), {}, 0};
}

std::vector<Parameter> Prelu::parameters(const TensorType& x) const {
  return {{Role::slope, {shared ? 1 : x.shape.c()}}};
}

void Prelu::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const Shape& shape = out.type.shape;
  const auto &x = operands[0]->data, &weight = operands[1]->data;
  const auto plane = static_cast<size_t>(shape.h() * shape.w()), channels = static_cast<size_t>(shape.c());
  for (size_t i = 0; i < x.size(); ++i)
    out.data[i] = x[i] < 0 ? x[i] * weight[shared ? 0 : i / plane % channels] : x[i];
}

double Prelu::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

Inferred Add::infer(std::span<const TensorType> operands) const { return infer_pairwise(name, operands); }
void Add::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_pairwise(operands, out, std::plus<>());
}
double Add::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

Inferred Mul::infer(std::span<const TensorType> operands) const { return infer_pairwise(name, operands); }
void Mul::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_pairwise(operands, out, std::multiplies<>());
}
double Mul::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

Inferred Div::infer(std::span<const TensorType> operands) const { return infer_pairwise(name, operands); }
void Div::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_pairwise(operands, out, std::divides<>());
}
double Div::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

Inferred Max::infer(std::span<const TensorType> operands) const { return infer_pairwise(name, operands); }
void Max::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_pairwise(operands, out, [](double a, double b) { return a < b ? b : a; });
}
double Max::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

Inferred Min::infer(std::span<const TensorType> operands) const { return infer_pairwise(name, operands); }
void Min::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_pairwise(operands, out, [](double a, double b) { return b < a ? b : a; });
}
double Min::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

std::string check_epilogue(const Epilogue& epilogue, std::span<const TensorType> extra_operands,
                           const TensorType& result) {
  if (extra_operands.size() != static_cast<size_t>(epilogue_operands(epilogue)))
    return fmt::format("the epilogue takes {} operands, got {}", epilogue_operands(epilogue),
                       extra_operands.size());
  for (const TensorType& extra : extra_operands)
    if (extra != result && !broadcasts_over_image(extra.shape, result.shape))
      return fmt::format("an epilogue operand must be {}{}, got {}", to_string(result),
                         result.shape.rank() == 4 ? " or [N, C, 1, 1]" : "", to_string(extra));
  return {};
}

void evaluate_epilogue(const Epilogue& epilogue, std::span<const Tensor* const> extra_operands,
                       Tensor& result) {
  size_t next = 0;
  for (const EpilogueStep& step : epilogue) {
    if (step.kind == EpilogueStep::Kind::activation)
      evaluate_activation(step.activation, result, result);
    else if (step.kind == EpilogueStep::Kind::add)
      combine_with(*extra_operands[next++], result, std::plus<>());
    else
      combine_with(*extra_operands[next++], result, std::multiplies<>());
  }
}

double epilogue_flops(const Epilogue& epilogue, const TensorType& result) {
  return static_cast<double>(epilogue.size()) * static_cast<double>(result.shape.elements());
}

}  // namespace cardinal
