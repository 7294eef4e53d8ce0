// Every floating-point operation is exact but for a factor 1 + d, |d| <= u. A sum of n products by
// multiply-adds has a factor of at most 1 + n u on each product (Higham, "Accuracy and stability of numerical
// algorithms", chapter 3), and of random sign about the square root of that. A Winograd convolution amplifies
// the errors of its products by what its transforms cancel.
#include "passes/rounding.h"

#include <algorithm>
#include <cmath>

#include "passes/winograd.h"

namespace cardinal {

namespace {

constexpr double kUnit = 0x1p-24;  // u, of f32
// The root mean square of d for mantissas that are spread logarithmically.
constexpr double kTypicalUnit = 0.42 * kUnit;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.size(), std::vector<double>(b[0].size()));
  for (size_t i = 0; i < a.size(); ++i)
    for (size_t k = 0; k < b.size(); ++k)
      for (size_t j = 0; j < b[0].size(); ++j) c[i][j] += a[i][k] * b[k][j];
  return c;
}

// The most operations that an element of the product with a vector takes one after another.
int longest_sum(const Matrix& matrix) {
  int most = 0;
  for (const std::vector<double>& row : matrix)
    most = std::max(most, static_cast<int>(row.size() - std::count(row.begin(), row.end(), 0.0)) - 1);
  return most;
}

// What one axis of a transform makes of errors.
struct Amplification {
  double largest = 0;  // of sums of absolute values, for a kernel of one tap
  double typical = 0;  // of the root mean square, at the worst output of a tile, against three taps
  int operations = 0;  // in sequence, besides the products
};

Amplification amplification(int outputs) {
  const WinogradTransform& t = winograd_transform(outputs);
  const Matrix a = product(t.output, t.output_parts), b = product(t.input, t.input_parts);
  const auto norm = [](const std::vector<double>& row, int power) {
    double sum = 0;
    for (double x : row) sum += std::pow(std::abs(x), power);
    return sum;
  };
  Amplification result;
  for (const std::vector<double>& row : a) {
    std::vector<double> taps(3);
    double variance = 0;
    for (size_t p = 0; p < row.size(); ++p) {
      for (size_t k = 0; k < taps.size(); ++k) taps[k] += std::abs(row[p] * t.kernel[p][k]) * norm(b[p], 1);
      variance += row[p] * row[p] * norm(b[p], 2) * norm(t.kernel[p], 2);
    }
    result.largest = std::max(result.largest, *std::max_element(taps.begin(), taps.end()));
    result.typical = std::max(result.typical, std::sqrt(variance / 3));
  }
  result.operations =
      longest_sum(t.input_parts) + longest_sum(t.input) + longest_sum(t.output_parts) + longest_sum(t.output);
  return result;
}

}  // namespace

Rounding conv_rounding(const ConvShape& s, ConvAlgorithm algorithm) {
  const auto channels = static_cast<double>(s.ic / s.groups);
  const int outputs = winograd_outputs(algorithm);
  if (outputs == 0) {
    const double terms = channels * static_cast<double>(s.kh * s.kw);
    return {kTypicalUnit * std::sqrt(terms / 2), kUnit * terms};
  }
  const Amplification axis = amplification(outputs);
  const double operations = 2 * axis.operations + 1;  // and the weights' own rounding
  return {kTypicalUnit * axis.typical * axis.typical * std::sqrt(channels / 2 + operations),
          kUnit * axis.largest * axis.largest * (channels + operations)};
}

}  // namespace cardinal
