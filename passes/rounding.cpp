// Every floating-point operation is exact but for a factor 1 + d, |d| <= u. A sum of n products by
// multiply-adds has a factor of at most 1 + n u on each product (Higham, "Accuracy and stability of numerical
// algorithms", chapter 3), and of random sign about the square root of that. A Winograd convolution amplifies
// the errors of its products by what its transforms cancel.
#include "passes/rounding.h"

#include <algorithm>
#include <cmath>

#include "passes/strassen.h"
#include "passes/tiling.h"
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

// What one level of fast matrix multiplication makes of errors, at the worst quarter of the output.
struct LevelAmplification {
  double typical = 0;    // of the expected error
  double magnitude = 0;  // of the sum of the products' absolute values
};

// A quarter is a chain of products, which are added up one after another: after each, the sum has the
// variance of all so far, in units of the variance of one term of a direct sum of twice the length. Equalised
// factors are within sqrt(2) of one size, on either side.
LevelAmplification level_amplification() {
  const std::vector<std::vector<size_t>> chains{{0, 1}, {0, 2, 3, 4}, {0, 2, 5, 6}, {0, 2, 3, 5}};
  LevelAmplification result;
  for (const std::vector<size_t>& chain : chains) {
    double variance = 0, sum = 0, magnitude = 0;
    for (const size_t product : chain) {
      double x = 0, kernel = 0, x_size = 0;
      for (size_t quarter = 0; quarter < 4; ++quarter) {
        const int a = kStrassenProducts[product].x[quarter], b = kStrassenProducts[product].kernel[quarter];
        x += a * a, kernel += b * b, x_size += std::abs(a);
      }
      variance += sum + x * kernel / 2;
      sum += x * kernel;
      magnitude += x_size * kernel;
    }
    result.typical = std::max(result.typical, std::sqrt(variance / 2));
    result.magnitude = std::max(result.magnitude, magnitude);
  }
  result.magnitude *= 2;
  return result;
}

Rounding strassen_rounding(double channels, int levels) {
  const LevelAmplification level = level_amplification();
  const double half = channels / std::pow(2, levels);
  // A chain has up to four products; besides, on each level three additions on x, one on weights (which are
  // rounded as well), and three to finish.
  const double operations = 4 * half + 8 * levels;
  return {kTypicalUnit * std::sqrt(channels / 2) * std::pow(level.typical, levels),
          kUnit * std::pow(level.magnitude, levels) * operations};
}

}  // namespace

// Additions that a term of a direct convolution's sum goes through: those of its own block and, if there is
// more than one, those of the blocks.
static double additions(const ConvShape& s, bool blocked_sums) {
  const int64_t channels = s.ic / s.groups, terms = channels * s.kh * s.kw;
  const SumBlock sum = blocked_sums ? blocked_sum(s) : SumBlock{};
  if (sum.blocks == 0) return static_cast<double>(terms);
  const int64_t block = sum.rows ? std::min(channels, kChannelBlock) * sum.rows * s.kw
                                 : sum.blocks * kChannelBlock * s.kh * s.kw;
  return static_cast<double>(block + ceil_div(terms, block));
}

Rounding conv_rounding(const ConvShape& s, ConvAlgorithm algorithm, bool blocked_sums) {
  const auto channels = static_cast<double>(s.ic / s.groups);
  if (const int levels = strassen_levels(algorithm)) return strassen_rounding(channels, levels);
  const int outputs = winograd_outputs(algorithm);
  if (outputs == 0) {
    const double sums = additions(s, blocked_sums);
    return {kTypicalUnit * std::sqrt(sums / 2), kUnit * sums};
  }
  const Amplification axis = amplification(outputs);
  const double operations = 2 * axis.operations + 1;  // and the weights' own rounding
  const double sums = additions(winograd_product_shape(s, outputs), blocked_sums);
  return {kTypicalUnit * axis.typical * axis.typical * std::sqrt(sums / 2 + operations),
          kUnit * axis.largest * axis.largest * (sums + operations)};
}

}  // namespace cardinal
