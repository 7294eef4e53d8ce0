#include "passes/strassen.h"

#include <cardinal/weight_forms.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "passes/tiling.h"

namespace cardinal {

namespace {

// A matrix of weights in blocks.
struct Weights {
  size_t oc, ic;
  std::vector<double> values;
  double& at(size_t o, size_t i) { return values[place(o, i)]; }
  double at(size_t o, size_t i) const { return values[place(o, i)]; }

 private:
  size_t place(size_t o, size_t i) const { return (o / kLanes * ic + i) * kLanes + o % kLanes; }
  static constexpr size_t kLanes = kChannelBlock;
};

static_assert(kStrassenProducts.size() == kStrassenProductCount);
static_assert(std::ranges::equal(kStrassenProducts, kStrassenKernelSums, [](const auto& a, const auto& b) {
  return std::ranges::equal(a.kernel, b);
}));

// The power of two that brings `from` nearest to `to`. Far apart, the smaller does not matter.
double power_between(double from, double to) {
  if (from == 0 || to == 0) return 1;
  return std::exp2(std::clamp(std::round(std::log2(to / from)), -24.0, 24.0));
}

// The sum of |weights| of an output channel.
double row_norm(const Weights& w, size_t o) {
  double sum = 0;
  for (size_t i = 0; i < w.ic; ++i) sum += std::abs(w.at(o, i));
  return sum;
}

// The largest |weight| of each input channel.
std::vector<double> column_norms(const Weights& w) {
  std::vector<double> largest(w.ic);
  for (size_t o = 0; o < w.oc; ++o)
    for (size_t i = 0; i < w.ic; ++i) largest[i] = std::max(largest[i], std::abs(w.at(o, i)));
  return largest;
}

// Multiplies the second half of the output channels by powers of two: as large as the first then, to within
// the square root of two.
std::vector<double> equalise_outputs(Weights& w) {
  const size_t half = w.oc / 2;
  std::vector<double> factors;
  for (size_t o = 0; o < half; ++o) {
    factors.push_back(power_between(row_norm(w, o + half), row_norm(w, o)));
    for (size_t i = 0; i < w.ic; ++i) w.at(o + half, i) *= factors.back();
  }
  return factors;
}

std::vector<double> equalise_inputs(Weights& w) {
  const size_t half = w.ic / 2;
  const std::vector<double> norms = column_norms(w);
  std::vector<double> factors;
  for (size_t i = 0; i < half; ++i) factors.push_back(power_between(norms[i + half], norms[i]));
  for (size_t o = 0; o < w.oc; ++o)
    for (size_t i = 0; i < half; ++i) w.at(o, i + half) *= factors[i];
  return factors;
}

}  // namespace

int strassen_levels(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::strassen_1 ? 1 : algorithm == ConvAlgorithm::strassen_2 ? 2 : 0;
}

bool strassen_possible(const ConvShape& s, int levels) {
  const int64_t channels = kChannelBlock << levels;
  const int64_t pixels = s.oh * s.ow;
  const bool inside =
      s.pad_top == 0 && s.pad_left == 0 && (s.oh - 1) * s.stride_h < s.ih && (s.ow - 1) * s.stride_w < s.iw;
  return s.kh == 1 && s.kw == 1 && s.groups == 1 && inside && s.oh > 1 && pixels >= 1 << levels &&
         pixels <= 65536 && s.ic % channels == 0 && s.oc % channels == 0;
}

ConvShape strassen_product_shape(const ConvShape& s, int levels) {
  ConvShape product;
  product.n = s.n;
  product.ic = s.ic >> levels;
  product.oc = s.oc >> levels;
  product.iw = s.oh * s.ow;
  for (int level = 0; level < levels; ++level) product.iw = ceil_div(product.iw, 2);
  product.ow = product.iw;
  return product;
}

int64_t strassen_chunk(int64_t pairs) {
  constexpr int64_t kMost = 32;
  return ceil_div(pairs, ceil_div(pairs, kMost));
}

int64_t strassen_block_floats(int64_t ic) {
  const auto products = static_cast<int64_t>(kStrassenProducts.size());
  return kChannelBlock * (products * ic / 2 | 1);
}

int64_t strassen_weight_bytes(const ConvShape& s, int levels) {
  if (levels == 1) return 4 * s.oc / 2 / kChannelBlock * strassen_block_floats(s.ic);
  ConvShape product = s;
  product.ic /= 2;
  product.oc /= 2;
  return static_cast<int64_t>(kStrassenProducts.size()) * strassen_weight_bytes(product, 1);
}

StrassenFactors strassen_factors(std::span<const double> kernel, int64_t oc, int64_t ic) {
  Weights w{static_cast<size_t>(oc), static_cast<size_t>(ic), {kernel.begin(), kernel.end()}};
  const auto inverse = [](double factor) { return static_cast<float>(1 / factor); };
  StrassenFactors factors;
  std::ranges::transform(equalise_outputs(w), std::back_inserter(factors.scales), inverse);
  std::ranges::transform(equalise_inputs(w), std::back_inserter(factors.ratios), inverse);
  return factors;
}

}  // namespace cardinal
