#include "ir/ops/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cardinal {

namespace {

bool has_size(const Resize& op) { return op.size != Pair{0, 0}; }

ResizeTap nearest(int64_t i, int64_t in, double step) {
  // In single precision, as PyTorch computes it: the product may come out on either side of an integer.
  const float position = static_cast<float>(i) * static_cast<float>(step);
  const int64_t at = std::min(static_cast<int64_t>(std::floor(position)), in - 1);
  return {at, at, 0};
}

ResizeTap between(double position, int64_t in) {
  position = std::clamp(position, 0.0, static_cast<double>(in - 1));
  const auto first = static_cast<int64_t>(position);
  return {first, std::min(first + 1, in - 1), position - static_cast<double>(first)};
}

std::vector<ResizeTap> axis_taps(const Resize& op, double scale, int64_t in, int64_t out) {
  const double ratio = static_cast<double>(in) / static_cast<double>(out);
  const double step = has_size(op) ? ratio : 1 / scale;
  const double corner_step = out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0;
  const bool corners = op.mode == ResizeMode::bilinear_corners;
  std::vector<ResizeTap> taps;
  for (int64_t i = 0; i < out; ++i) {
    const auto at = static_cast<double>(i);
    if (op.mode == ResizeMode::nearest)
      taps.push_back(nearest(i, in, step));
    else
      taps.push_back(between(corners ? at * corner_step : (at + 0.5) * step - 0.5, in));
  }
  return taps;
}

std::optional<OpError> check_attributes(const Resize& op) {
  constexpr double kLargestScale = 1024;  // far above any network's
  if (has_size(op) && op.scale != Factors{1, 1})
    return OpError{"resize takes a scale or a size, not both", "size"};
  for (double scale : {op.scale.h, op.scale.w})
    if (!(scale > 0 && scale <= kLargestScale))
      return OpError{fmt::format("scale must be above 0 and at most {}, got {}", kLargestScale, scale),
                     "scale"};
  if (has_size(op) && (op.size.h < 1 || op.size.w < 1))
    return OpError{fmt::format("size must be at least 1, got [{}, {}]", op.size.h, op.size.w), "size"};
  return {};
}

}  // namespace

ResizeTaps resize_taps(const Resize& op, const Shape& x, const Shape& out) {
  return {axis_taps(op, op.scale.h, x.h(), out.h()), axis_taps(op, op.scale.w, x.w(), out.w())};
}

Inferred Resize::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() != 4)
    return OpError{fmt::format("resize needs an input [N, C, H, W], got {}", to_string(x)), {}, 0};
  if (auto error = check_attributes(*this)) return *error;
  TensorType out = x;
  const auto scaled = [](int64_t extent, double factor) {
    return static_cast<int64_t>(std::floor(static_cast<double>(extent) * factor));
  };
  out.shape[2] = has_size(*this) ? size.h : scaled(x.shape.h(), scale.h);
  out.shape[3] = has_size(*this) ? size.w : scaled(x.shape.w(), scale.w);
  if (std::string problem = shape_problem(out.shape); !problem.empty())
    return OpError{"the result's " + problem, has_size(*this) ? "size" : "scale"};
  return out;
}

void Resize::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const Tensor& x = *operands[0];
  const Shape& shape = out.type.shape;
  const ResizeTaps taps = resize_taps(*this, x.type.shape, shape);
  auto to = out.data.begin();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < shape.c(); ++c)
      for (const ResizeTap& row : taps.rows)
        for (const ResizeTap& column : taps.columns) {
          const auto along = [&](int64_t h) {
            return x.at(n, c, h, column.first) * (1 - column.weight) +
                   x.at(n, c, h, column.second) * column.weight;
          };
          *to++ = along(row.first) * (1 - row.weight) + along(row.second) * row.weight;
        }
}

// Three interpolations of two multiply-adds.
double Resize::flops(std::span<const TensorType>, const TensorType& out) const {
  return mode == ResizeMode::nearest ? 0 : 12 * static_cast<double>(out.shape.elements());
}

}  // namespace cardinal
