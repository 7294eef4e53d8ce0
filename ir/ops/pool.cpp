#include "ir/ops/pool.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "ir/ops/norm.h"
#include "ir/window.h"

namespace cardinal {

namespace {

std::optional<OpError> check_image(std::string_view op, const TensorType& x) {
  if (x.shape.rank() == 4) return {};
  return OpError{fmt::format("{} needs an input [N, C, H, W], got {}", op, to_string(x)), {}, 0};
}

Inferred infer_pool(std::string_view op, const PoolWindow& pool, const TensorType& x) {
  if (auto error = check_image(op, x)) return *error;
  Window window = window_of(pool);
  if (auto error = check_window(window, x.shape.h(), x.shape.w())) return *error;
  Pair size = output_size(window, x.shape.h(), x.shape.w());
  Shape out{x.shape.n(), x.shape.c(), size.h, size.w};
  if (std::string problem = shape_problem(out); !problem.empty()) return OpError{"the result's " + problem};
  if (auto error = check_coverage(window, x.shape.h(), x.shape.w())) return *error;
  return TensorType{x.dtype, out};
}

// Calls reduce(plane, oh, ow) for every element of the result and stores what it returns.
template <class Reduce>
void for_each_window(const Tensor& x, Tensor& out, Reduce&& reduce) {
  const Shape &in = x.type.shape, &shape = out.type.shape;
  double* result = out.data.data();
  for (int64_t plane = 0; plane < shape.n() * shape.c(); ++plane)
    for (int64_t oh = 0; oh < shape.h(); ++oh)
      for (int64_t ow = 0; ow < shape.w(); ++ow)
        *result++ = reduce(x.data.data() + plane * in.h() * in.w(), oh, ow);
}

double window_flops(const PoolWindow& pool, const TensorType& out) {
  return static_cast<double>(out.shape.elements()) * static_cast<double>(pool.kernel.h * pool.kernel.w);
}

}  // namespace

Inferred MaxPool::infer(std::span<const TensorType> operands) const {
  return infer_pool(name, *this, operands[0]);
}

void MaxPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  int64_t in_h = operands[0]->type.shape.h(), in_w = operands[0]->type.shape.w();
  Window window = window_of(*this);
  Padding pad = resolve_padding(window, in_h, in_w);
  for_each_window(*operands[0], out, [&](const double* plane, int64_t oh, int64_t ow) {
    double best = -std::numeric_limits<double>::infinity();
    for (int64_t kh = 0; kh < kernel.h; ++kh)
      for (int64_t kw = 0; kw < kernel.w; ++kw) {
        int64_t h = oh * window.stride.h + kh * dilation.h - pad.top,
                w = ow * window.stride.w + kw * dilation.w - pad.left;
        if (h >= 0 && h < in_h && w >= 0 && w < in_w) best = std::max(best, plane[h * in_w + w]);
      }
    return best;
  });
}

double MaxPool::flops(std::span<const TensorType>, const TensorType& out) const {
  return window_flops(*this, out);
}

Inferred AvgPool::infer(std::span<const TensorType> operands) const {
  return infer_pool(name, *this, operands[0]);
}

void AvgPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  int64_t in_h = operands[0]->type.shape.h(), in_w = operands[0]->type.shape.w();
  Window window = window_of(*this);
  Padding pad = resolve_padding(window, in_h, in_w);
  for_each_window(*operands[0], out, [&](const double* plane, int64_t oh, int64_t ow) {
    double sum = 0;
    int64_t inside = 0, padded = 0;
    for (int64_t kh = 0; kh < kernel.h; ++kh)
      for (int64_t kw = 0; kw < kernel.w; ++kw) {
        int64_t h = oh * window.stride.h + kh * dilation.h - pad.top,
                w = ow * window.stride.w + kw * dilation.w - pad.left;
        padded += h < in_h + pad.bottom && w < in_w + pad.right;
        if (h < 0 || h >= in_h || w < 0 || w >= in_w) continue;
        ++inside;
        sum += plane[h * in_w + w];
      }
    return sum / static_cast<double>(count_include_pad ? padded : inside);
  });
}

double AvgPool::flops(std::span<const TensorType>, const TensorType& out) const {
  return window_flops(*this, out);
}

namespace {

Inferred infer_global(std::string_view op, const TensorType& x) {
  if (auto error = check_image(op, x)) return *error;
  return TensorType{x.dtype, {x.shape.n(), x.shape.c(), 1, 1}};
}

}  // namespace

Inferred GlobalAvgPool::infer(std::span<const TensorType> operands) const {
  return infer_global(name, operands[0]);
}

void GlobalAvgPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  int64_t area = operands[0]->type.shape.h() * operands[0]->type.shape.w();
  for_each_window(*operands[0], out, [&](const double* plane, int64_t, int64_t) {
    double sum = 0;
    for (int64_t i = 0; i < area; ++i) sum += plane[i];
    return sum / static_cast<double>(area);
  });
}

double GlobalAvgPool::flops(std::span<const TensorType> operands, const TensorType&) const {
  return static_cast<double>(operands[0].shape.elements());
}

Inferred GlobalMaxPool::infer(std::span<const TensorType> operands) const {
  return infer_global(name, operands[0]);
}

void GlobalMaxPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  int64_t area = operands[0]->type.shape.h() * operands[0]->type.shape.w();
  for_each_window(*operands[0], out, [&](const double* plane, int64_t, int64_t) {
    return *std::max_element(plane, plane + area);
  });
}

double GlobalMaxPool::flops(std::span<const TensorType> operands, const TensorType&) const {
  return static_cast<double>(operands[0].shape.elements());
}

namespace {

Inferred infer_adaptive(std::string_view op, Pair output, const TensorType& x) {
  if (auto error = check_image(op, x)) return *error;
  if (output.h < 1 || output.w < 1)
    return OpError{fmt::format("output must be at least 1, got [{}, {}]", output.h, output.w), "output"};
  Shape out{x.shape.n(), x.shape.c(), output.h, output.w};
  if (std::string problem = shape_problem(out); !problem.empty())
    return OpError{"the result's " + problem, "output"};
  return TensorType{x.dtype, out};
}

// Calls reduce(plane, rows, columns) for the bin of every element of the result and stores what it returns.
template <class Reduce>
void for_each_bin(const Tensor& x, Tensor& out, Reduce&& reduce) {
  const Shape &in = x.type.shape, &shape = out.type.shape;
  for_each_window(x, out, [&](const double* plane, int64_t oh, int64_t ow) {
    return reduce(plane, adaptive_bin(oh, shape.h(), in.h()), adaptive_bin(ow, shape.w(), in.w()));
  });
}

double adaptive_flops(std::span<const TensorType> operands, const TensorType& out) {
  return static_cast<double>(std::max(operands[0].shape.elements(), out.shape.elements()));
}

}  // namespace

Inferred AdaptiveAvgPool::infer(std::span<const TensorType> operands) const {
  return infer_adaptive(name, output, operands[0]);
}

void AdaptiveAvgPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  int64_t in_w = operands[0]->type.shape.w();
  for_each_bin(*operands[0], out, [&](const double* plane, Bin rows, Bin columns) {
    double sum = 0;
    for (int64_t h = rows.begin; h < rows.end; ++h)
      for (int64_t w = columns.begin; w < columns.end; ++w) sum += plane[h * in_w + w];
    return sum / static_cast<double>((rows.end - rows.begin) * (columns.end - columns.begin));
  });
}

double AdaptiveAvgPool::flops(std::span<const TensorType> operands, const TensorType& out) const {
  return adaptive_flops(operands, out);
}

Inferred AdaptiveMaxPool::infer(std::span<const TensorType> operands) const {
  return infer_adaptive(name, output, operands[0]);
}

void AdaptiveMaxPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  int64_t in_w = operands[0]->type.shape.w();
  for_each_bin(*operands[0], out, [&](const double* plane, Bin rows, Bin columns) {
    double best = -std::numeric_limits<double>::infinity();
    for (int64_t h = rows.begin; h < rows.end; ++h)
      best =
          std::max(best, *std::max_element(plane + h * in_w + columns.begin, plane + h * in_w + columns.end));
    return best;
  });
}

double AdaptiveMaxPool::flops(std::span<const TensorType> operands, const TensorType& out) const {
  return adaptive_flops(operands, out);
}

namespace {

Inferred infer_channel_pool(std::string_view op, const TensorType& x) {
  if (auto error = check_features(op, x)) return *error;
  TensorType out = x;
  out.shape[1] = 1;
  return out;
}

// out[n, 0, ...] = the fold of x[n, :, ...] from `first` on.
template <class Fold>
void fold_channels(const Tensor& x, Tensor& out, double first, Fold&& fold) {
  const Shape& shape = x.type.shape;
  const auto channels = static_cast<size_t>(shape.c()), area = static_cast<size_t>(shape.h() * shape.w());
  std::fill(out.data.begin(), out.data.end(), first);
  for (size_t i = 0; i < x.data.size(); ++i) {
    double& result = out.data[i / (channels * area) * area + i % area];
    result = fold(result, x.data[i]);
  }
}

}  // namespace

Inferred ChannelAvgPool::infer(std::span<const TensorType> operands) const {
  return infer_channel_pool(name, operands[0]);
}

void ChannelAvgPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  fold_channels(*operands[0], out, 0.0, std::plus<>());
  for (double& value : out.data) value /= static_cast<double>(operands[0]->type.shape.c());
}

double ChannelAvgPool::flops(std::span<const TensorType> operands, const TensorType&) const {
  return static_cast<double>(operands[0].shape.elements());
}

Inferred ChannelMaxPool::infer(std::span<const TensorType> operands) const {
  return infer_channel_pool(name, operands[0]);
}

void ChannelMaxPool::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  fold_channels(*operands[0], out, -std::numeric_limits<double>::infinity(),
                [](double a, double b) { return std::max(a, b); });
}

double ChannelMaxPool::flops(std::span<const TensorType> operands, const TensorType&) const {
  return static_cast<double>(operands[0].shape.elements());
}

}  // namespace cardinal
