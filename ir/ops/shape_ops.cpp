#include "ir/ops/shape_ops.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cardinal {

namespace {

std::string ordinal(size_t i) {
  static constexpr std::string_view kWords[] = {"first", "second", "third", "fourth"};
  return i < std::size(kWords) ? std::string(kWords[i]) : fmt::format("{}th", i + 1);
}

// Equal but for channels.
bool concatenates(const Shape& a, const Shape& b) {
  return a.rank() == b.rank() && a.n() == b.n() && a.h() == b.h() && a.w() == b.w();
}

}  // namespace

Inferred Concat::infer(std::span<const TensorType> operands) const {
  const TensorType& first = operands[0];
  if (first.shape.rank() != 4 && first.shape.rank() != 2)
    return OpError{
        fmt::format("concat needs inputs [N, C, H, W] or [N, C], got {}", to_string(first)), {}, 0};
  Shape out = first.shape;
  for (size_t i = 1; i < operands.size(); ++i) {
    if (!concatenates(first.shape, operands[i].shape))
      return OpError{
          fmt::format(
              "concat along channels needs equal sizes elsewhere; the first operand is {}, the {} is {}",
              to_string(first), ordinal(i), to_string(operands[i])),
          {},
          static_cast<int>(i)};
    out[1] += operands[i].shape.c();
  }
  if (std::string problem = shape_problem(out); !problem.empty()) return OpError{"the result's " + problem};
  return TensorType{first.dtype, out};
}

void Concat::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  auto position = out.data.begin();
  for (int64_t n = 0; n < out.type.shape.n(); ++n)
    for (const Tensor* x : operands) {
      int64_t image = x->type.shape.elements() / x->type.shape.n();
      position = std::copy_n(x->data.begin() + n * image, image, position);
    }
}

double Concat::flops(std::span<const TensorType>, const TensorType&) const { return 0; }

Inferred Flatten::infer(std::span<const TensorType> operands) const {
  const Shape& x = operands[0].shape;
  if (x.rank() != 4)
    return OpError{fmt::format("flatten needs an input [N, C, H, W], got {}", to_string(operands[0])), {}, 0};
  Shape out{x.n(), x.c() * x.h() * x.w()};
  if (std::string problem = shape_problem(out); !problem.empty()) return OpError{"the result's " + problem};
  return TensorType{operands[0].dtype, out};
}

void Flatten::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  if (order == FlattenOrder::chw) {
    out.data = operands[0]->data;
    return;
  }
  const Tensor& x = *operands[0];
  const Shape& shape = x.type.shape;
  double* to = out.data.data();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t h = 0; h < shape.h(); ++h)
      for (int64_t w = 0; w < shape.w(); ++w)
        for (int64_t c = 0; c < shape.c(); ++c) *to++ = x.at(n, c, h, w);
}

double Flatten::flops(std::span<const TensorType>, const TensorType&) const { return 0; }

namespace {

Inferred infer_softmax(std::string_view op, const TensorType& x) {
  if (x.shape.rank() == 4 || x.shape.rank() == 2) return x;
  return OpError{fmt::format("{} needs an input [N, C, H, W] or [N, C], got {}", op, to_string(x)), {}, 0};
}

// The results of a pixel are finish(x - largest, sum of their exponentials).
template <class Finish>
void evaluate_softmax(const Tensor& in, Tensor& out, Finish&& finish) {
  const Shape& shape = out.type.shape;
  int64_t plane = shape.h() * shape.w(), channels = shape.c();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t pixel = 0; pixel < plane; ++pixel) {
      const double* x = in.data.data() + n * channels * plane + pixel;
      double* y = out.data.data() + n * channels * plane + pixel;
      double largest = x[0], sum = 0;
      for (int64_t c = 1; c < channels; ++c) largest = std::max(largest, x[c * plane]);
      for (int64_t c = 0; c < channels; ++c) sum += std::exp(x[c * plane] - largest);
      for (int64_t c = 0; c < channels; ++c) y[c * plane] = finish(x[c * plane] - largest, sum);
    }
}

}  // namespace

Inferred Softmax::infer(std::span<const TensorType> operands) const {
  return infer_softmax(name, operands[0]);
}

void Softmax::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_softmax(*operands[0], out, [](double x, double sum) { return std::exp(x) / sum; });
}

// Subtract, exponential, sum, divide.
double Softmax::flops(std::span<const TensorType>, const TensorType& out) const {
  return 4 * static_cast<double>(out.shape.elements());
}

Inferred LogSoftmax::infer(std::span<const TensorType> operands) const {
  return infer_softmax(name, operands[0]);
}

void LogSoftmax::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_softmax(*operands[0], out, [](double x, double sum) { return x - std::log(sum); });
}

double LogSoftmax::flops(std::span<const TensorType>, const TensorType& out) const {
  return 4 * static_cast<double>(out.shape.elements());
}

}  // namespace cardinal
