// The forms of compact weight files against the definitions, in double.
#include <cardinal/weight_forms.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <random>
#include <vector>

using cardinal::find_malformed;
using cardinal::form_weights;
using cardinal::kStrassenKernelSums;
using cardinal::sizes_of;

namespace {

constexpr uint64_t kLanes = 16;

uint64_t block_floats(uint64_t lines) { return kLanes * (lines | 1); }

std::vector<float> random_floats(size_t count) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

float power_of_two(size_t i) { return std::exp2(static_cast<float>(i * 7 % 5) - 2); }

// What a form makes, NaN where it writes nothing.
std::vector<float> formed(const cardinal_weight_form& form, const std::vector<float>& stored) {
  std::vector<float> packed(form.packed + sizes_of(form).packed, NAN);
  REQUIRE(find_malformed(form, stored.size(), packed.size()) == "");
  form_weights(form, stored.data() + form.source, stored.data() + form.factors, packed.data() + form.packed);
  return packed;
}

struct Matrix {
  size_t rows, columns;
  std::vector<double> values;
  double& at(size_t r, size_t c) { return values[r * columns + c]; }
  double at(size_t r, size_t c) const { return values[r * columns + c]; }
};

// A factor of one product of the kernel [output channel][input channel], whose halves are brought to one
// size.
Matrix product_of(const Matrix& kernel, const float* ratios, const float* scales, size_t product) {
  const size_t oc = kernel.rows / 2, ic = kernel.columns / 2;
  Matrix sum{oc, ic, std::vector<double>(oc * ic)};
  for (size_t o = 0; o < oc; ++o)
    for (size_t i = 0; i < ic; ++i) {
      const double lower = 1.0 / scales[o], right = 1.0 / ratios[i];
      const double quarters[] = {kernel.at(o, i), kernel.at(o + oc, i) * lower, kernel.at(o, i + ic) * right,
                                 kernel.at(o + oc, i + ic) * lower * right};
      for (size_t q = 0; q < 4; ++q) sum.at(o, i) += kStrassenKernelSums[product][q] * quarters[q];
      if (product == 1 || product == 6) sum.at(o, i) *= ratios[i];  // of quarters of x as they are
    }
  return sum;
}

void check_products(const Matrix& kernel, const float* ratios, const float* scales, const float* packed) {
  const size_t stride = block_floats(7 * kernel.columns / 2);
  for (size_t product = 0; product < 7; ++product) {
    const Matrix expected = product_of(kernel, ratios, scales, product);
    for (size_t o = 0; o < expected.rows; ++o)
      for (size_t i = 0; i < expected.columns; ++i) {
        const size_t at = o / kLanes * stride + (product * expected.columns + i) * kLanes + o % kLanes;
        REQUIRE(packed[at] == static_cast<float>(expected.at(o, i)));
      }
  }
}

}  // namespace

TEST_CASE("a copied form") {
  const std::vector<float> stored = random_floats(10);
  const std::vector<float> packed = formed({CARDINAL_FORM_COPY, 0, 3, 0, 2, 5, 1}, stored);
  for (size_t i = 0; i < 5; ++i) CHECK(packed[2 + i] == stored[3 + i]);
  CHECK(std::isnan(packed[1]));
}

TEST_CASE("Winograd's transform of a stored kernel") {
  const int outputs = GENERATE(2, 4);
  const uint64_t rows = 32, columns = 16, blocks = rows / kLanes, source = 3;
  const cardinal_weight_form form{CARDINAL_FORM_WINOGRAD, outputs, source, 0, 16, rows, columns};
  const std::vector<float> stored = random_floats(source + sizes_of(form).source);
  const std::vector<float> packed = formed(form, stored);
  const auto g = cardinal::winograd_kernel_matrix(outputs);
  for (uint64_t o = 0; o < rows; ++o)
    for (uint64_t ic = 0; ic < columns; ++ic)
      for (size_t i = 0; i < g.size(); ++i)
        for (size_t j = 0; j < g.size(); ++j) {
          double expected = 0;
          for (uint64_t tap = 0; tap < 9; ++tap)
            expected += g[i][tap / 3] * g[j][tap % 3] *
                        stored[source + ((o / kLanes * 9 + tap) * columns + ic) * kLanes + o % kLanes];
          const uint64_t section = (i * g.size() + j) * blocks + o / kLanes;
          const float value = packed[16 + section * block_floats(columns) + ic * kLanes + o % kLanes];
          REQUIRE(value == Approx(expected).margin(1e-6));
        }
}

TEST_CASE("the products of one and of two levels of fast matrix multiplication") {
  const int product = GENERATE(-1, 0, 1, 2, 3, 4, 5, 6);
  const uint64_t rows = 128, columns = 64;
  const uint64_t kernel_floats = rows * columns;
  const cardinal_weight_form form{CARDINAL_FORM_STRASSEN, product, 0, kernel_floats, 0, rows, columns};
  std::vector<float> stored = random_floats(kernel_floats + sizes_of(form).factors);
  for (size_t i = kernel_floats; i < stored.size(); ++i) stored[i] = power_of_two(i);
  const std::vector<float> packed = formed(form, stored);
  Matrix kernel{rows, columns, std::vector<double>(kernel_floats)};
  for (size_t o = 0; o < rows; ++o)
    for (size_t i = 0; i < columns; ++i)
      kernel.at(o, i) = stored[(o / kLanes * columns + i) * kLanes + o % kLanes];
  const float *ratios = stored.data() + kernel_floats, *scales = ratios + columns / 2;
  if (product < 0) return check_products(kernel, ratios, scales, packed.data());
  const Matrix inner = product_of(kernel, ratios, scales, static_cast<size_t>(product));
  const float* own = scales + rows / 2;
  check_products(inner, own, own + columns / 4, packed.data());
}

TEST_CASE("malformed forms are found") {
  const cardinal_weight_form good{CARDINAL_FORM_STRASSEN, 0, 0, 64 * 64, 0, 64, 64};
  const cardinal::WeightFormSizes sizes = sizes_of(good);
  const uint64_t stored = sizes.source + sizes.factors, packed = sizes.packed;
  REQUIRE(find_malformed(good, stored, packed) == "");
  const auto why = [&](auto edit) {
    cardinal_weight_form form = good;
    edit(form);
    return find_malformed(form, stored, packed);
  };
  CHECK(why([](auto& f) { f.kind = 3; }) == "its kind is unknown");
  CHECK(why([](auto& f) { f.kind = -1; }) == "its kind is unknown");
  CHECK(why([](auto& f) { f.parameter = 7; }) == "there is no such product of fast matrix multiplication");
  CHECK(why([](auto& f) { f.rows = 48; }) == "its channels are no whole blocks");
  CHECK(why([](auto& f) { f.columns = 72; }) == "its channels are no whole blocks");
  CHECK(why([](auto& f) { f.rows = uint64_t{1} << 40; }) == "its size is out of range");
  CHECK(why([](auto& f) { f.columns = ~uint64_t{0}; }) == "its size is out of range");
  CHECK(why([](auto& f) { f.source = 1; }) == "");  // the kernel moves over the powers of two
  CHECK(why([](auto& f) { f.source = ~uint64_t{0}; }) == "it reads beyond the stored weights");
  CHECK(why([](auto& f) { f.factors += 1; }) == "it reads beyond the stored weights");
  CHECK(why([](auto& f) { f.packed = 1; }) == "it writes beyond the packed weights");
  CHECK(find_malformed(good, stored - 1, packed) == "it reads beyond the stored weights");
  CHECK(find_malformed({CARDINAL_FORM_WINOGRAD, 3, 0, 0, 0, 16, 16}, stored, packed) ==
        "it is no Winograd transform of 2x2 or 4x4 outputs");
  CHECK(find_malformed({CARDINAL_FORM_COPY, 0, 0, 0, 0, packed + 1, 1}, packed + 1, packed) ==
        "it writes beyond the packed weights");
}
