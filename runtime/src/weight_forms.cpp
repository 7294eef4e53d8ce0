#include <cardinal/weight_forms.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace cardinal {

namespace {

constexpr uint64_t kLanes = 16;              // output channels of a block
constexpr uint64_t kMostChannels = 1 << 24;  // beyond any network's; sizes do not overflow
constexpr uint64_t kMostFloats = uint64_t{1} << 46;

constexpr double kWinograd2[][3] = {{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}};
constexpr double kWinograd4[][3] = {{1. / 4, 0, 0},
                                    {-1. / 6, -1. / 6, -1. / 6},
                                    {-1. / 6, 1. / 6, -1. / 6},
                                    {1. / 24, 1. / 12, 1. / 6},
                                    {1. / 24, -1. / 12, 1. / 6},
                                    {0, 0, 1}};

// An odd number of cache lines.
uint64_t block_floats(uint64_t lines) { return kLanes * (lines | 1); }

// Of 16 output channels.
using Vector = std::array<double, kLanes>;

template <class T>
Vector load(const T* from) {
  Vector v;
  for (uint64_t lane = 0; lane < kLanes; ++lane) v[lane] = static_cast<double>(from[lane]);
  return v;
}

Vector combine(const double (&factors)[3], const Vector& a, const Vector& b, const Vector& c) {
  Vector v;
  for (uint64_t lane = 0; lane < kLanes; ++lane)
    v[lane] = factors[0] * a[lane] + factors[1] * b[lane] + factors[2] * c[lane];
  return v;
}

template <class T>
void store(const Vector& v, T* to) {
  for (uint64_t lane = 0; lane < kLanes; ++lane) to[lane] = static_cast<T>(v[lane]);
}

void form_winograd(const cardinal_weight_form& form, const float* kernel, float* packed) {
  const std::span<const double[3]> g = winograd_kernel_matrix(form.parameter);
  const uint64_t blocks = form.rows / kLanes, side = g.size(), stride = block_floats(form.columns);
  for (uint64_t block = 0; block < blocks; ++block)
    for (uint64_t ic = 0; ic < form.columns; ++ic) {
      Vector taps[9];
      for (uint64_t tap = 0; tap < 9; ++tap)
        taps[tap] = load(kernel + ((block * 9 + tap) * form.columns + ic) * kLanes);
      for (uint64_t i = 0; i < side; ++i) {
        Vector row[3];  // of G g
        for (uint64_t kx = 0; kx < 3; ++kx) row[kx] = combine(g[i], taps[kx], taps[3 + kx], taps[6 + kx]);
        for (uint64_t j = 0; j < side; ++j)
          store(combine(g[j], row[0], row[1], row[2]),
                packed + ((i * side + j) * blocks + block) * stride + ic * kLanes);
      }
    }
}

// A kernel of a level, [block][columns][16], with its powers of two.
template <class T>
struct Level {
  const T* kernel;
  uint64_t rows, columns;
  const float* ratios;  // of columns / 2
  const float* scales;  // of rows / 2
};

// The factor of one product, for output channels [16 block, 16 block + 16) of the first half and input
// channel i of the first half. Multiplying by powers of two and adding what is not there are exact.
template <size_t product, class T>
Vector strassen_sum(const Level<T>& level, uint64_t block, uint64_t i) {
  constexpr const int (&sums)[4] = kStrassenKernelSums[product];
  // These multiply a quarter of x itself, which is read where it is, not multiplied by the ratios.
  constexpr bool as_it_is = product == 1 || product == 6;
  const uint64_t half_blocks = level.rows / 2 / kLanes, half = level.columns / 2;
  const double ratio = static_cast<double>(level.ratios[i]);
  const float* scales = level.scales + block * kLanes;
  Vector v{};
  const auto add = [&](int coefficient, const T* quarter, bool lower, double factor) {
    if (coefficient == 0) return;
    for (uint64_t lane = 0; lane < kLanes; ++lane) {
      const double scale = lower ? 1 / static_cast<double>(scales[lane]) : 1;
      v[lane] += coefficient * factor * scale * static_cast<double>(quarter[lane]);
    }
  };
  const auto at = [&](uint64_t b, uint64_t k) { return level.kernel + (b * level.columns + k) * kLanes; };
  const double left = as_it_is ? ratio : 1, right = as_it_is ? 1 : 1 / ratio;
  add(sums[0], at(block, i), false, left);
  add(sums[1], at(block + half_blocks, i), true, left);
  add(sums[2], at(block, i + half), false, right);
  add(sums[3], at(block + half_blocks, i + half), true, right);
  return v;
}

// Calls f(i, sum) for all input channels i of the first half.
template <class T, class F>
void for_each_sum(const Level<T>& level, uint64_t block, size_t product, F f) {
  const auto run = [&]<size_t p>() {
    for (uint64_t i = 0; i < level.columns / 2; ++i) f(i, strassen_sum<p>(level, block, i));
  };
  const auto pick = [&]<size_t... p>(std::index_sequence<p...>) {
    ((p == product ? run.template operator()<p>() : void()), ...);
  };
  pick(std::make_index_sequence<kStrassenProductCount>());
}

template <class T>
void form_products(const Level<T>& level, float* packed) {
  const uint64_t half = level.columns / 2, stride = block_floats(kStrassenProductCount * half);
  for (uint64_t block = 0; block < level.rows / 2 / kLanes; ++block)
    for (size_t product = 0; product < kStrassenProductCount; ++product) {
      float* to = packed + block * stride + product * half * kLanes;
      for_each_sum(level, block, product, [&](uint64_t i, const Vector& v) { store(v, to + i * kLanes); });
    }
}

template <class T>
std::vector<double> one_product(const Level<T>& level, size_t product) {
  const uint64_t rows = level.rows / 2, columns = level.columns / 2;
  std::vector<double> sums(rows * columns);
  for (uint64_t block = 0; block < rows / kLanes; ++block)
    for_each_sum(level, block, product, [&](uint64_t i, const Vector& v) {
      store(v, sums.data() + (block * columns + i) * kLanes);
    });
  return sums;
}

void form_strassen(const cardinal_weight_form& form, const float* kernel, const float* factors, float* to) {
  const Level<float> first{kernel, form.rows, form.columns, factors, factors + form.columns / 2};
  if (form.parameter < 0) return form_products(first, to);
  const std::vector<double> product = one_product(first, static_cast<size_t>(form.parameter));
  const float* own = first.scales + form.rows / 2;
  form_products(Level<double>{product.data(), form.rows / 2, form.columns / 2, own, own + form.columns / 4},
                to);
}

}  // namespace

std::span<const double[3]> winograd_kernel_matrix(int outputs) {
  return outputs == 2 ? std::span<const double[3]>(kWinograd2) : std::span<const double[3]>(kWinograd4);
}

WeightFormSizes sizes_of(const cardinal_weight_form& form) {
  const uint64_t rows = form.rows, columns = form.columns;
  if (form.kind == CARDINAL_FORM_COPY) return {rows, 0, rows};
  if (form.kind == CARDINAL_FORM_WINOGRAD) {
    const auto side = static_cast<uint64_t>(form.parameter + 2);
    return {9 * rows * columns, 0, side * side * (rows / kLanes) * block_floats(columns)};
  }
  const bool second = form.parameter >= 0;
  const uint64_t factors = (rows + columns) / 2 + (second ? (rows + columns) / 4 : 0);
  const uint64_t levels = second ? 2 : 1;
  return {rows * columns, factors,
          ((rows >> levels) / kLanes) * block_floats(kStrassenProductCount * (columns >> levels))};
}

std::string find_malformed(const cardinal_weight_form& form, uint64_t stored_floats, uint64_t packed_floats) {
  const bool copy = form.kind == CARDINAL_FORM_COPY;
  const uint64_t most = copy ? kMostFloats : kMostChannels;
  if (form.rows > most || form.columns > kMostChannels) return "its size is out of range";
  uint64_t multiple = copy ? 1 : kLanes;
  if (form.kind == CARDINAL_FORM_WINOGRAD) {
    if (form.parameter != 2 && form.parameter != 4)
      return "it is no Winograd transform of 2x2 or 4x4 outputs";
  } else if (form.kind == CARDINAL_FORM_STRASSEN) {
    if (form.parameter < -1 || form.parameter >= static_cast<int>(kStrassenProductCount))
      return "there is no such product of fast matrix multiplication";
    multiple = kLanes << (form.parameter < 0 ? 1 : 2);
  } else if (!copy) {
    return "its kind is unknown";
  }
  if (form.rows % multiple || form.columns % (copy ? 1 : multiple)) return "its channels are no whole blocks";
  const WeightFormSizes sizes = sizes_of(form);
  const auto within = [](uint64_t offset, uint64_t size, uint64_t end) {
    return offset <= end && size <= end - offset;
  };
  if (!within(form.source, sizes.source, stored_floats) ||
      !within(form.factors, sizes.factors, stored_floats))
    return "it reads beyond the stored weights";
  if (!within(form.packed, sizes.packed, packed_floats)) return "it writes beyond the packed weights";
  return "";
}

void form_weights(const cardinal_weight_form& form, const float* source, const float* factors, float* to) {
  switch (form.kind) {
    case CARDINAL_FORM_WINOGRAD:
      return form_winograd(form, source, to);
    case CARDINAL_FORM_STRASSEN:
      return form_strassen(form, source, factors, to);
    default:
      std::copy_n(source, form.rows, to);
  }
}

std::vector<double> strassen_product(std::span<const double> kernel, uint64_t rows, uint64_t columns,
                                     const float* ratios, const float* scales, size_t product) {
  return one_product(Level<double>{kernel.data(), rows, columns, ratios, scales}, product);
}

}  // namespace cardinal
