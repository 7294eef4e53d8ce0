#include "ir/ops/elementwise.h"

#include <fmt/format.h>

#include <algorithm>

namespace cardinal {

namespace {

bool broadcasts_to(const Shape& from, const Shape& to) {
  return from.rank() == 4 && to.rank() == 4 && from == Shape{to.n(), to.c(), 1, 1};
}

Inferred infer_pairwise(std::string_view op, std::span<const TensorType> operands) {
  const TensorType &a = operands[0], &b = operands[1];
  if (a == b || broadcasts_to(b.shape, a.shape)) return a;
  if (broadcasts_to(a.shape, b.shape)) return b;
  return OpError{
      fmt::format("{} needs two tensors of one shape, or [N, C, 1, 1] against [N, C, H, W]; got {} and {}",
                  op, to_string(a), to_string(b)),
      {},
      1};
}

// out[i] = combine(out[i], b), where b has out's shape or is per channel.
template <class Combine>
void combine_with(const Tensor& b, Tensor& out, Combine&& combine) {
  size_t plane = out.data.size() / b.data.size();  // 1 if the shapes are equal, else H * W
  for (size_t i = 0; i < b.data.size(); ++i)
    for (size_t j = i * plane; j < (i + 1) * plane; ++j) out.data[j] = combine(out.data[j], b.data[i]);
}

// Both ops commute, so the larger operand is copied and the other combined with it.
template <class Combine>
void evaluate_pairwise(std::span<const Tensor* const> operands, Tensor& out, Combine&& combine) {
  const Tensor *large = operands[0], *small = operands[1];
  if (small->data.size() > large->data.size()) std::swap(large, small);
  out.data = large->data;
  combine_with(*small, out, combine);
}

}  // namespace

Inferred infer_activation(std::span<const TensorType> operands) { return operands[0]; }

void evaluate_activation(Activation activation, const Tensor& x, Tensor& out) {
  std::transform(x.data.begin(), x.data.end(), out.data.begin(),
                 [&](double v) { return evaluate(activation, v); });
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

std::string check_epilogue(const Epilogue& epilogue, std::span<const TensorType> extra_operands,
                           const TensorType& result) {
  if (extra_operands.size() != static_cast<size_t>(epilogue_operands(epilogue)))
    return fmt::format("the epilogue takes {} operands, got {}", epilogue_operands(epilogue),
                       extra_operands.size());
  for (const TensorType& extra : extra_operands)
    if (extra != result && !broadcasts_to(extra.shape, result.shape))
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
