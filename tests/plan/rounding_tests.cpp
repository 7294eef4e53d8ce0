#include "passes/rounding.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "passes/tiling.h"
#include "passes/winograd.h"
#include "tests/support/fast_kernels.h"

using namespace cardinal;

namespace {

ConvShape square(int64_t channels, int64_t image) {
  ConvShape s;
  s.ic = s.oc = channels;
  s.ih = s.iw = s.oh = s.ow = image;
  s.kh = s.kw = 3;
  s.pad_top = s.pad_left = 1;
  return s;
}

using Floats = std::vector<float>;

// matrix * values, as the kernels sum: multiply-adds, in order.
Floats multiply(const Matrix& matrix, const Floats& values) {
  Floats result;
  for (const std::vector<double>& row : matrix) {
    float sum = 0;
    for (size_t i = 0; i < row.size(); ++i) sum = std::fma(static_cast<float>(row[i]), values[i], sum);
    result.push_back(sum);
  }
  return result;
}

// The transform of both axes of a tile.
Floats transform(const Matrix& parts, const Matrix& whole, const Floats& tile) {
  const size_t in = parts[0].size(), out = whole.size();
  Floats columns(out * in), result;
  for (size_t x = 0; x < in; ++x) {
    Floats column;
    for (size_t y = 0; y < in; ++y) column.push_back(tile[y * in + x]);
    column = multiply(whole, multiply(parts, column));
    for (size_t y = 0; y < out; ++y) columns[y * in + x] = column[y];
  }
  for (size_t y = 0; y < out; ++y) {
    const auto row = columns.begin() + static_cast<ptrdiff_t>(y * in);
    const Floats done = multiply(whole, multiply(parts, Floats(row, row + static_cast<ptrdiff_t>(in))));
    result.insert(result.end(), done.begin(), done.end());
  }
  return result;
}

struct Errors {
  double largest = 0, largest_output = 0, scale = 0;  // scale: max |x| * the sum of |weights|
};

// One tile of a Winograd convolution over `channels` random channels.
void measure(std::mt19937& random, int64_t channels, int outputs, Errors& errors) {
  const WinogradTransform& t = winograd_transform(outputs);
  const size_t m = static_cast<size_t>(outputs), alpha = m + 2;
  std::normal_distribution<float> normal;
  Floats products(alpha * alpha);
  std::vector<double> exact(m * m);
  double largest_x = 0, weights = 0;
  for (int64_t c = 0; c < channels; ++c) {
    Floats x(alpha * alpha);
    Tensor kernel({DType::f32, {1, 1, 3, 3}});
    for (float& value : x) largest_x = std::max<double>(largest_x, std::abs(value = normal(random)));
    for (double& value : kernel.data) weights += std::abs(value = normal(random));
    const Tensor u = testing::winograd_kernel(kernel, outputs);  // of 16 x 16 channels
    const Floats v = transform(t.input_parts, t.input, x);
    for (size_t e = 0; e < v.size(); ++e)
      products[e] = std::fma(static_cast<float>(u.data[e * 16 * 16]), v[e], products[e]);
    for (size_t i = 0; i < m * m; ++i)
      for (size_t tap = 0; tap < 9; ++tap)
        exact[i] += kernel.data[tap] * static_cast<double>(x[(i / m + tap / 3) * alpha + i % m + tap % 3]);
  }
  const Floats y = transform(t.output_parts, t.output, products);
  for (size_t i = 0; i < y.size(); ++i) {
    errors.largest = std::max(errors.largest, std::abs(static_cast<double>(y[i]) - exact[i]));
    errors.largest_output = std::max(errors.largest_output, std::abs(exact[i]));
  }
  errors.scale = std::max(errors.scale, largest_x * weights);
}

}  // namespace

TEST_CASE("Winograd's errors are what conv_rounding expects, and within its bound") {
  std::mt19937 random(5);
  for (int64_t channels : {16, 64, 256})
    for (ConvAlgorithm algorithm : {ConvAlgorithm::winograd_f2, ConvAlgorithm::winograd_f4}) {
      Errors errors;
      for (int tile = 0; tile < 50; ++tile) measure(random, channels, winograd_outputs(algorithm), errors);
      const Rounding rounding = conv_rounding(square(channels, 14), algorithm);
      INFO(to_string(algorithm) << " of " << channels << " channels");
      CHECK(errors.largest < rounding.expected * errors.largest_output * 2);
      CHECK(errors.largest > rounding.expected * errors.largest_output / 3);
      CHECK(errors.largest < rounding.bound * errors.scale);
    }
}

TEST_CASE("blocked sums have the errors that conv_rounding expects, and within its bound") {
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  for (int64_t channels : {256, 1024, 4096}) {
    ConvShape shape = square(channels, 14);
    shape.kh = shape.kw = 1, shape.pad_top = shape.pad_left = 0;
    const int64_t block = blocked_sum(shape).blocks * kChannelBlock;
    REQUIRE(block == 64);
    Errors errors;
    for (int output = 0; output < 1000; ++output) {
      float sum = 0;
      double exact = 0, largest_x = 0, weights = 0;
      for (int64_t first = 0; first < channels; first += block) {
        float part = 0;
        for (int64_t c = 0; c < block; ++c) {
          const float x = normal(random), w = normal(random);
          part = std::fma(x, w, part);
          exact += static_cast<double>(x) * w;
          largest_x = std::max<double>(largest_x, std::abs(x)), weights += std::abs(w);
        }
        sum += part;
      }
      errors.largest = std::max(errors.largest, std::abs(sum - exact));
      errors.largest_output = std::max(errors.largest_output, std::abs(exact));
      errors.scale = std::max(errors.scale, largest_x * weights);
    }
    const Rounding rounding = conv_rounding(shape, ConvAlgorithm::direct, true);
    INFO(channels << " channels");
    CHECK(errors.largest < rounding.expected * errors.largest_output * 2);
    CHECK(errors.largest > rounding.expected * errors.largest_output / 3);
    CHECK(errors.largest < rounding.bound * errors.scale);
    CHECK(rounding.expected < 0.6 * conv_rounding(shape, ConvAlgorithm::direct).expected);
  }
}

TEST_CASE("what is added up by itself where sums are blocked") {
  const ConvShape image = square(64, 56);
  CHECK(blocked_sum(image) == SumBlock{1, 1});  // 3x3
  ConvShape stem = image;
  stem.ic = 3, stem.kh = stem.kw = 7;
  CHECK(blocked_sum(stem) == SumBlock{1, 3});
  ConvShape small = image;
  small.ic = 6;
  CHECK(blocked_sum(small) == SumBlock{});
  ConvShape row = image;
  row.kh = 1, row.kw = 7;
  CHECK(blocked_sum(row) == SumBlock{1, 0});
  ConvShape groups = image;
  groups.groups = 2;
  CHECK(blocked_sum(groups) == SumBlock{1, 1});
  groups.groups = 8;
  CHECK(blocked_sum(groups) == SumBlock{});  // which straddle blocks
}

TEST_CASE("a direct convolution's errors grow with the terms of its sums") {
  const Rounding direct = conv_rounding(square(64, 56), ConvAlgorithm::direct);
  CHECK(direct.bound == Approx(576 * 0x1p-24));
  CHECK(direct.expected == Approx(4.2e-7).epsilon(0.05));
  CHECK(conv_rounding(square(64, 56), ConvAlgorithm::direct, true).bound == Approx((48 + 12) * 0x1p-24));
  ConvShape grouped = square(64, 56);
  grouped.groups = 16;
  CHECK(conv_rounding(grouped, ConvAlgorithm::lanes).bound == Approx(36 * 0x1p-24));
}
