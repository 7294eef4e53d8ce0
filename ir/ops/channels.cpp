#include "ir/ops/channels.h"

#include <fmt/format.h>

namespace cardinal {

std::optional<int64_t> range_start(const Gathering& gathering, const Shape& x, const Shape& out) {
  const std::vector<ChannelSource>& sources = gathering.sources;
  if (sources.empty() || gathering.step != Pair{} || x.h() != out.h() || x.w() != out.w()) return {};
  const int64_t first = sources[0].channel;
  for (size_t i = 0; i < sources.size(); ++i)
    if (first < 0 || sources[i] != ChannelSource{first + static_cast<int64_t>(i)}) return {};
  return first;
}

void evaluate_gathering(const Gathering& gathering, const Tensor& x, Tensor& out) {
  const Shape &in = x.type.shape, &shape = out.type.shape;
  auto to = out.data.begin();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (const auto& [channel, dh, dw] : gathering.sources)
      for (int64_t oh = 0; oh < shape.h(); ++oh)
        for (int64_t ow = 0; ow < shape.w(); ++ow) {
          const int64_t h = gathering.step.h * oh + dh, w = gathering.step.w * ow + dw;
          const bool inside = channel != kNoChannel && h >= 0 && h < in.h() && w >= 0 && w < in.w();
          *to++ = inside ? x.at(n, channel, h, w) : gathering.fill;
        }
}

namespace {

std::optional<OpError> check_features(std::string_view op, const TensorType& x) {
  if (x.shape.rank() == 4 || x.shape.rank() == 2) return {};
  return OpError{fmt::format("{} needs an input [N, C, H, W] or [N, C], got {}", op, to_string(x)), {}, 0};
}

std::optional<OpError> check_image(std::string_view op, const TensorType& x) {
  if (x.shape.rank() == 4) return {};
  return OpError{fmt::format("{} needs an input [N, C, H, W], got {}", op, to_string(x)), {}, 0};
}

struct SlicedAxis {
  std::string_view field, what;
  int dimension;
  AxisRange range;
};

std::optional<OpError> check_range(const SlicedAxis& axis, int64_t size) {
  const auto& [field, what, dimension, range] = axis;
  const auto problem = [&](std::string text) {
    return OpError{fmt::format("{}={}: {}", field, to_string(to_attr(range)), std::move(text)),
                   std::string(field)};
  };
  if (range.step < 1) return problem(fmt::format("the step must be at least 1, got {}", range.step));
  const AxisRange r = resolve(range, size);
  if (r.begin < 0 || r.begin >= size) return problem(fmt::format("it begins outside the {} {}", size, what));
  if (r.end > size) return problem(fmt::format("it ends behind the {} {}", size, what));
  if (r.end <= r.begin) return problem(fmt::format("it leaves none of the {} {}", size, what));
  return {};
}

}  // namespace

Inferred Slice::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (auto error = check_features(name, x)) return *error;
  TensorType out = x;
  for (const SlicedAxis& axis :
       {SlicedAxis{"c", "channels", 1, c}, SlicedAxis{"h", "rows", 2, h}, SlicedAxis{"w", "columns", 3, w}}) {
    if (axis.dimension >= x.shape.rank()) {
      if (axis.range == AxisRange{}) continue;
      return OpError{fmt::format("{} has no {} to slice", to_string(x), axis.what), std::string(axis.field)};
    }
    const int64_t size = x.shape[axis.dimension];
    if (auto error = check_range(axis, size)) return *error;
    out.shape[axis.dimension] = length(resolve(axis.range, size));
  }
  return out;
}

Gathering Slice::gathering(const Shape& x) const {
  const AxisRange channels = resolve(c, x.c()), rows = resolve(h, x.h()), columns = resolve(w, x.w());
  Gathering out{{}, {rows.step, columns.step}};
  for (int64_t channel = channels.begin; channel < channels.end; channel += channels.step)
    out.sources.push_back({channel, rows.begin, columns.begin});
  return out;
}

void Slice::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_gathering(gathering(operands[0]->type.shape), *operands[0], out);
}

Inferred ChannelShuffle::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (auto error = check_features(name, x)) return *error;
  if (groups < 1) return OpError{fmt::format("groups must be at least 1, got {}", groups), "groups"};
  if (x.shape.c() % groups != 0)
    return OpError{fmt::format("{} channels are not divisible by groups={}", x.shape.c(), groups), "groups"};
  return x;
}

Gathering ChannelShuffle::gathering(const Shape& x) const {
  Gathering out;
  for (int64_t c = 0; c < x.c(); ++c) out.sources.push_back({c % groups * (x.c() / groups) + c / groups});
  return out;
}

void ChannelShuffle::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_gathering(gathering(operands[0]->type.shape), *operands[0], out);
}

Inferred Shift::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (auto error = check_image(name, x)) return *error;
  for (const auto& [pair, field] : {std::pair{kernel, "kernel"}, std::pair{dilation, "dilation"}})
    if (pair.h < 1 || pair.w < 1 || pair.h > kMaxDim || pair.w > kMaxDim)
      return OpError{fmt::format("{} must be from 1 to {}, got [{}, {}]", field, kMaxDim, pair.h, pair.w),
                     field};
  if (kernel.h * kernel.w > x.shape.c())
    return OpError{
        fmt::format("a shift by {}x{} kernel taps needs as many channels or more; the input has {}", kernel.h,
                    kernel.w, x.shape.c()),
        "kernel"};
  return x;
}

Gathering Shift::gathering(const Shape& x) const {
  const int64_t taps = kernel.h * kernel.w, width = x.c() / taps;
  Gathering out;
  for (int64_t c = 0; c < x.c(); ++c) {
    const int64_t tap = c / width;
    ChannelSource& source = out.sources.emplace_back(ChannelSource{c});
    if (tap >= taps) continue;
    source.dh = dilation.h * (tap / kernel.w - kernel.h / 2);
    source.dw = dilation.w * (tap % kernel.w - kernel.w / 2);
  }
  return out;
}

void Shift::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_gathering(gathering(operands[0]->type.shape), *operands[0], out);
}

namespace {

std::optional<OpError> check_factor(int64_t factor) {
  constexpr int64_t kLargest = 1024;  // whose square is still far from overflowing a dimension's product
  if (factor >= 1 && factor <= kLargest) return {};
  return OpError{fmt::format("factor must be from 1 to {}, got {}", kLargest, factor), "factor"};
}

// The channel of the deep tensor that holds pixel `pixel`, of factor^2, of channel c of `channels`.
int64_t deep_channel(DepthOrder order, int64_t pixels, int64_t channels, int64_t c, int64_t pixel) {
  return order == DepthOrder::crd ? c * pixels + pixel : pixel * channels + c;
}

}  // namespace

Inferred SpaceToDepth::infer(std::span<const TensorType> operands) const {
  const Shape& x = operands[0].shape;
  if (auto error = check_image(name, operands[0])) return *error;
  if (auto error = check_factor(factor)) return *error;
  if (x.h() % factor != 0 || x.w() % factor != 0)
    return OpError{
        fmt::format("{}x{} pixels are not divisible into blocks of {}x{}", x.h(), x.w(), factor, factor),
        "factor"};
  const Shape out{x.n(), x.c() * factor * factor, x.h() / factor, x.w() / factor};
  if (std::string problem = shape_problem(out); !problem.empty())
    return OpError{"the result's " + problem, "factor"};
  return TensorType{operands[0].dtype, out};
}

Gathering SpaceToDepth::gathering(const Shape& x) const {
  const int64_t pixels = factor * factor;
  Gathering out{std::vector<ChannelSource>(static_cast<size_t>(x.c() * pixels)), {factor, factor}};
  for (int64_t c = 0; c < x.c(); ++c)
    for (int64_t pixel = 0; pixel < pixels; ++pixel)
      out.sources[static_cast<size_t>(deep_channel(order, pixels, x.c(), c, pixel))] = {c, pixel / factor,
                                                                                        pixel % factor};
  return out;
}

void SpaceToDepth::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_gathering(gathering(operands[0]->type.shape), *operands[0], out);
}

Inferred DepthToSpace::infer(std::span<const TensorType> operands) const {
  const Shape& x = operands[0].shape;
  if (auto error = check_image(name, operands[0])) return *error;
  if (auto error = check_factor(factor)) return *error;
  if (x.c() % (factor * factor) != 0)
    return OpError{
        fmt::format("{} channels are not divisible into blocks of {}x{} pixels", x.c(), factor, factor),
        "factor"};
  const Shape out{x.n(), x.c() / (factor * factor), x.h() * factor, x.w() * factor};
  if (std::string problem = shape_problem(out); !problem.empty())
    return OpError{"the result's " + problem, "factor"};
  return TensorType{operands[0].dtype, out};
}

Gathering DepthToSpace::gathering_at(const Shape& x, int64_t row, int64_t column) const {
  const int64_t pixels = factor * factor, channels = x.c() / pixels;
  Gathering out;
  for (int64_t c = 0; c < channels; ++c)
    out.sources.push_back({deep_channel(order, pixels, channels, c, row * factor + column)});
  return out;
}

void DepthToSpace::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const Tensor& x = *operands[0];
  const Shape& shape = out.type.shape;
  double* to = out.data.data();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < shape.c(); ++c)
      for (int64_t h = 0; h < shape.h(); ++h)
        for (int64_t w = 0; w < shape.w(); ++w) {
          const int64_t pixel = h % factor * factor + w % factor;
          *to++ = x.at(n, deep_channel(order, factor * factor, shape.c(), c, pixel), h / factor, w / factor);
        }
}

}  // namespace cardinal
