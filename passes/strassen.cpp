#include "passes/strassen.h"

#include <algorithm>
#include <cmath>

#include "passes/tiling.h"

namespace cardinal {

namespace {

// A matrix of weights, [output channel][input channel].
struct Weights {
  size_t oc, ic;
  std::vector<double> values;
  double& at(size_t o, size_t i) { return values[o * ic + i]; }
  double at(size_t o, size_t i) const { return values[o * ic + i]; }
};

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

StrassenWeights strassen_weights(const Tensor& kernel) {
  const Shape& shape = kernel.type.shape;
  Weights w{static_cast<size_t>(shape[0]), static_cast<size_t>(shape[1]), kernel.data};
  const size_t oc = w.oc / 2, ic = w.ic / 2;
  StrassenWeights result;
  result.scales = equalise_outputs(w);
  result.ratios = equalise_inputs(w);
  for (double& scale : result.scales) scale = 1 / scale;
  for (double& ratio : result.ratios) ratio = 1 / ratio;
  for (const StrassenProduct& product : kStrassenProducts) {
    Tensor& sum = result.products.emplace_back(TensorType{DType::f32, {shape[0] / 2, shape[1] / 2}});
    // A factor that is a quarter of x itself is read where it is, not multiplied by the ratios.
    const bool as_it_is = product.x[1] + product.x[3] == 1 && product.x[0] == 0 && product.x[2] == 0;
    for (size_t o = 0; o < oc; ++o)
      for (size_t i = 0; i < ic; ++i) {
        const double value = product.kernel[0] * w.at(o, i) + product.kernel[1] * w.at(o + oc, i) +
                             product.kernel[2] * w.at(o, i + ic) + product.kernel[3] * w.at(o + oc, i + ic);
        sum.data[o * ic + i] = as_it_is ? value * result.ratios[i] : value;
      }
  }
  return result;
}

}  // namespace cardinal
