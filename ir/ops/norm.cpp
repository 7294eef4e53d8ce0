#include "ir/ops/norm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace cardinal {

std::optional<OpError> check_eps(double eps) {
  if (eps >= 0) return {};
  return OpError{fmt::format("eps must not be negative, got {}", eps), "eps"};
}

std::optional<OpError> check_features(std::string_view op, const TensorType& x) {
  if (x.shape.rank() == 4 || x.shape.rank() == 2) return {};
  return OpError{fmt::format("{} needs an input [N, C, H, W] or [N, C], got {}", op, to_string(x)), {}, 0};
}

std::vector<Parameter> norm_parameters(const NormWeights& norm, const TensorType& x) {
  std::vector<Parameter> out;
  if (norm.scale) out.push_back({Role::scale, {x.shape.c()}});
  if (norm.shift) out.push_back({Role::shift, {x.shape.c()}});
  return out;
}

NormValues norm_values(const NormWeights& norm, std::span<const Tensor* const> weights, int64_t channels) {
  const auto count = static_cast<size_t>(channels);
  return {norm.scale ? weights[0]->data : std::vector<double>(count, 1.0),
          norm.shift ? weights[norm.scale]->data : std::vector<double>(count, 0.0)};
}

namespace {

// The operands from `first` to `last` must be [channels].
std::optional<OpError> check_vectors(std::span<const TensorType> operands, size_t first, size_t last,
                                     int64_t channels) {
  for (size_t i = first; i <= last && i < operands.size(); ++i)
    if (operands[i].shape != Shape{channels})
      return OpError{fmt::format("operand {} must be [{}], one value for each of {} channels, got {}", i,
                                 channels, channels, to_string(operands[i])),
                     {},
                     static_cast<int>(i)};
  return {};
}

std::optional<OpError> check_vector(std::span<const TensorType> operands, size_t which) {
  if (operands[which].shape.rank() == 1) return {};
  return OpError{fmt::format("operand {} must be [C], got {}", which, to_string(operands[which])),
                 {},
                 static_cast<int>(which)};
}

// Calls apply(channel, first, last) for each run of elements that share a channel.
template <class Apply>
void for_each_channel(const Shape& shape, Apply&& apply) {
  size_t plane = static_cast<size_t>(shape.h() * shape.w()), position = 0;
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < shape.c(); ++c, position += plane) apply(c, position, position + plane);
}

}  // namespace

Inferred BatchNorm::infer(std::span<const TensorType> operands) const {
  if (auto error = check_features(name, operands[0])) return *error;
  if (auto error = check_eps(eps)) return *error;
  return operands[0];
}

std::vector<Parameter> BatchNorm::parameters(const TensorType& x) const {
  std::vector<Parameter> out = norm_parameters(*this, x);
  out.push_back({Role::mean, {x.shape.c()}});
  out.push_back({Role::variance, {x.shape.c()}});
  return out;
}

void BatchNorm::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const NormValues values = norm_values(*this, operands.subspan(1), out.type.shape.c());
  auto &x = operands[0]->data, &mean = operands[operands.size() - 2]->data, &variance = operands.back()->data;
  for_each_channel(out.type.shape, [&](int64_t c, size_t first, size_t last) {
    double factor = values.scale[c] / std::sqrt(variance[c] + eps);
    for (size_t i = first; i < last; ++i) out.data[i] = (x[i] - mean[c]) * factor + values.shift[c];
  });
}

double BatchNorm::flops(std::span<const TensorType>, const TensorType& out) const {
  return 2 * static_cast<double>(out.shape.elements());
}

Inferred ChannelAffine::infer(std::span<const TensorType> operands) const {
  if (auto error = check_features(name, operands[0])) return *error;
  for (int i : {1, 2}) {
    const Shape& values = operands[static_cast<size_t>(i)].shape;
    const int64_t channels = operands[0].shape.c(), count = values.elements();
    if (count != 1 && (count != channels || *std::ranges::max_element(values.dims()) != channels))
      return OpError{fmt::format("operand {} must be one value, or one for each of {} channels, got {}", i,
                                 channels, to_string(operands[static_cast<size_t>(i)])),
                     {},
                     i};
  }
  return operands[0];
}

void ChannelAffine::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  auto &x = operands[0]->data, &scale = operands[1]->data, &shift = operands[2]->data;
  const auto of = [](const std::vector<double>& values, int64_t c) {
    return values[values.size() == 1 ? 0 : static_cast<size_t>(c)];
  };
  for_each_channel(out.type.shape, [&](int64_t c, size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) out.data[i] = x[i] * of(scale, c) + of(shift, c);
  });
}

double ChannelAffine::flops(std::span<const TensorType>, const TensorType& out) const {
  return 2 * static_cast<double>(out.shape.elements());
}

Inferred Fill::infer(std::span<const TensorType>) const {
  if (shape.rank() == 0) return OpError{"a fill must have at least one dimension, got []", "shape"};
  if (std::string problem = shape_problem(shape); !problem.empty()) return OpError{problem, "shape"};
  return TensorType{DType::f32, shape};
}

void Fill::evaluate(std::span<const Tensor* const>, Tensor& out) const {
  std::fill(out.data.begin(), out.data.end(), value);
}

Inferred FoldScale::infer(std::span<const TensorType> operands) const {
  if (auto error = check_eps(eps)) return *error;
  if (auto error = check_vector(operands, 0)) return *error;
  int64_t channels = operands[0].shape[0];
  if (auto error = check_vectors(operands, 1, 1, channels)) return *error;
  if (operands.size() == 2) return operands[0];
  const Shape& w = operands[2].shape;
  if (w.rank() == 0 || w[0] != channels)
    return OpError{fmt::format("the scaled weights must have {} as their first dimension, got {}", channels,
                               to_string(operands[2])),
                   {},
                   2};
  return operands[2];
}

void FoldScale::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  auto &gamma = operands[0]->data, &variance = operands[1]->data;
  size_t row = out.data.size() / gamma.size();
  for (size_t c = 0; c < gamma.size(); ++c) {
    double scale = gamma[c] / std::sqrt(variance[c] + eps);
    for (size_t i = c * row; i < (c + 1) * row; ++i)
      out.data[i] = operands.size() == 3 ? operands[2]->data[i] * scale : scale;
  }
}

double FoldScale::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

Inferred FoldShift::infer(std::span<const TensorType> operands) const {
  if (auto error = check_eps(eps)) return *error;
  if (auto error = check_vector(operands, 0)) return *error;
  if (auto error = check_vectors(operands, 1, 4, operands[0].shape[0])) return *error;
  return operands[0];
}

void FoldShift::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  auto &gamma = operands[0]->data, &beta = operands[1]->data, &mean = operands[2]->data,
       &variance = operands[3]->data;
  for (size_t c = 0; c < gamma.size(); ++c) {
    double b = operands.size() == 5 ? operands[4]->data[c] : 0.0;
    out.data[c] = beta[c] + (b - mean[c]) * gamma[c] / std::sqrt(variance[c] + eps);
  }
}

double FoldShift::flops(std::span<const TensorType>, const TensorType& out) const {
  return 3 * static_cast<double>(out.shape.elements());
}

Inferred LayerNorm::infer(std::span<const TensorType> operands) const {
  if (auto error = check_features(name, operands[0])) return *error;
  if (auto error = check_eps(eps)) return *error;
  return operands[0];
}

std::vector<Parameter> LayerNorm::parameters(const TensorType& x) const { return norm_parameters(*this, x); }

void LayerNorm::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const std::vector<double>& x = operands[0]->data;
  const Shape& shape = out.type.shape;
  const NormValues values = norm_values(*this, operands.subspan(1), shape.c());
  const auto plane = static_cast<size_t>(shape.h() * shape.w()), channels = values.scale.size();
  for (size_t n = 0; n < static_cast<size_t>(shape.n()); ++n)
    for (size_t first = n * channels * plane; first < n * channels * plane + plane; ++first) {
      double mean = 0, variance = 0;
      for (size_t c = 0; c < channels; ++c) mean += x[first + c * plane];
      mean /= static_cast<double>(channels);
      for (size_t c = 0; c < channels; ++c) variance += std::pow(x[first + c * plane] - mean, 2);
      const double deviation = std::sqrt(variance / static_cast<double>(channels) + eps);
      for (size_t c = 0; c < channels; ++c)
        out.data[first + c * plane] =
            (x[first + c * plane] - mean) / deviation * values.scale[c] + values.shift[c];
    }
}

// Sum; subtract, square, sum; subtract, scale, multiply-add.
double LayerNorm::flops(std::span<const TensorType>, const TensorType& out) const {
  return 8 * static_cast<double>(out.shape.elements());
}

Inferred LocalResponseNorm::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() != 4)
    return OpError{fmt::format("{} needs an input [N, C, H, W], got {}", name, to_string(x)), {}, 0};
  constexpr int64_t kLargest = 1024;  // far above any published one
  if (size < 1 || size > kLargest)
    return OpError{fmt::format("size must be from 1 to {}, got {}", kLargest, size), "size"};
  if (!(k > 0)) return OpError{fmt::format("k must be above 0, got {}", k), "k"};
  if (alpha < 0) return OpError{fmt::format("alpha must not be negative, got {}", alpha), "alpha"};
  return x;
}

void LocalResponseNorm::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const Tensor& x = *operands[0];
  const Shape& shape = out.type.shape;
  const int64_t plane = shape.h() * shape.w(), channels = shape.c();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t pixel = 0; pixel < plane; ++pixel) {
        const double* image = x.data.data() + n * channels * plane + pixel;
        double sum = 0;
        const int64_t end = std::min(c + (size - 1) / 2 + 1, channels);
        for (int64_t i = std::max<int64_t>(c - size / 2, 0); i < end; ++i)
          sum += image[i * plane] * image[i * plane];
        out.data[(n * channels + c) * plane + pixel] =
            image[c * plane] / std::pow(k + alpha / static_cast<double>(size) * sum, beta);
      }
}

double LocalResponseNorm::flops(std::span<const TensorType>, const TensorType& out) const {
  return 2 * static_cast<double>(size + 2) * static_cast<double>(out.shape.elements());
}

Inferred ChannelConv::infer(std::span<const TensorType> operands) const {
  if (auto error = check_features(name, operands[0])) return *error;
  constexpr int64_t kLargest = 1023;  // far above any published one
  if (kernel < 1 || kernel > kLargest || kernel % 2 == 0)
    return OpError{fmt::format("kernel must be odd and from 1 to {}, got {}", kLargest, kernel), "kernel"};
  return operands[0];
}

std::vector<Parameter> ChannelConv::parameters(const TensorType&) const {
  return {{Role::kernel, {1, 1, kernel}}};
}

void ChannelConv::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  auto &x = operands[0]->data, &weight = operands[1]->data;
  const Shape& shape = out.type.shape;
  const int64_t plane = shape.h() * shape.w(), channels = shape.c();
  for_each_channel(shape, [&](int64_t c, size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) {
      double sum = 0;
      for (int64_t j = 0; j < kernel; ++j)
        if (const int64_t offset = j - kernel / 2; c + offset >= 0 && c + offset < channels)
          sum += weight[static_cast<size_t>(j)] *
                 x[static_cast<size_t>(static_cast<int64_t>(i) + offset * plane)];
      out.data[i] = sum;
    }
  });
}

double ChannelConv::flops(std::span<const TensorType>, const TensorType& out) const {
  return 2 * static_cast<double>(kernel) * static_cast<double>(out.shape.elements());
}

Inferred ChannelScale::infer(std::span<const TensorType> operands) const {
  if (auto error = check_features(name, operands[0])) return *error;
  return operands[0];
}

std::vector<Parameter> ChannelScale::parameters(const TensorType& x) const {
  return {{Role::scale, {x.shape.c()}, true}};
}

void ChannelScale::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  auto &x = operands[0]->data, &scale = operands[1]->data;
  for_each_channel(out.type.shape, [&](int64_t c, size_t first, size_t last) {
    for (size_t i = first; i < last; ++i) out.data[i] = x[i] * scale[c];
  });
}

double ChannelScale::flops(std::span<const TensorType>, const TensorType& out) const {
  return static_cast<double>(out.shape.elements());
}

}  // namespace cardinal
