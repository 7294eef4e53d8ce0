#include "passes/gpu_packing.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "ir/weights.h"

using namespace cardinal;

namespace {

float widened(uint16_t bits, DType dtype) {
  return to_floats({{dtype, Shape{1}}, std::as_bytes(std::span(&bits, 1))})[0];
}

}  // namespace

TEST_CASE("every 16-bit value survives being widened and narrowed") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float f16 = widened(half, DType::f16), bf16 = widened(half, DType::bf16);
    if (std::isnan(f16))
      CHECK(std::isnan(widened(narrow_f16(f16), DType::f16)));
    else if (narrow_f16(f16) != half)
      CHECK(narrow_f16(f16) == half);
    if (std::isnan(bf16))
      CHECK(std::isnan(widened(narrow_bf16(bf16), DType::bf16)));
    else if (narrow_bf16(bf16) != half)
      CHECK(narrow_bf16(bf16) == half);
  }
}

TEST_CASE("floats between two 16-bit values go to the nearer one, ties to the even one") {
  for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const float low = widened(static_cast<uint16_t>(bits), DType::f16);
    const float high = widened(static_cast<uint16_t>(bits + 1), DType::f16), middle = (low + high) / 2;
    const uint32_t even = bits % 2 ? bits + 1 : bits;
    const bool good = narrow_f16(middle) == even && narrow_f16(std::nextafter(middle, 0.0f)) == bits &&
                      narrow_f16(std::nextafter(middle, high)) == bits + 1 &&
                      narrow_f16(-middle) == (even | 0x8000);
    if (!good) CHECK(bits == 0xffff);
  }
  CHECK(narrow_f16(65519.996f) == 0x7bff);
  CHECK(narrow_f16(65520.0f) == 0x7c00);
  CHECK(narrow_f16(std::numeric_limits<float>::infinity()) == 0x7c00);
  CHECK(narrow_f16(1e-9f) == 0);
  CHECK(narrow_bf16(1.00390625f) == 0x3f80);  // halfway to the next, 1.0078125
  CHECK(narrow_bf16(1.01171875f) == 0x3f82);  // halfway, the even one above
}

TEST_CASE("weights of wgmma lie in rows of 128 bytes whose vectors are swizzled") {
  GpuConvKernel k;
  k.algorithm = GpuConvKernel::Algorithm::wgmma;
  ConvShape& s = k.shape;
  s.ic = 20, s.oc = 70, s.kh = 3, s.kw = 3;
  k.tile_n = 64;
  Tensor weight({DType::f32, Shape{70, 20, 3, 3}});
  for (size_t i = 0; i < weight.data.size(); ++i) weight.data[i] = static_cast<double>(i % 2039) - 1000;
  std::vector<float> packed(static_cast<size_t>(gpu_packed_floats(k)));
  pack_gpu_conv(k, weight, packed);
  // A tap has 24 channels, so the reduction is 216 values, four steps of 64; there are 128 rows.
  REQUIRE(packed.size() == 4 * 128 * 64 / 2);
  std::vector<uint16_t> bits(packed.size() * 2);
  std::memcpy(bits.data(), packed.data(), bits.size() * 2);
  for (size_t step = 0; step < 4; ++step)
    for (size_t row = 0; row < 128; ++row)
      for (size_t i = 0; i < 64; ++i) {
        const size_t at = step * 64 + i, tap = at / 24, c = at % 24;
        const bool exists = row < 70 && tap < 9 && c < 20;
        const double expected = exists ? weight.data[(row * 20 + c) * 9 + tap] : 0;
        const size_t place = (step * 128 + row) * 64 + (i / 8 ^ row % 8) * 8 + i % 8;
        if (widened(bits[place], DType::f16) != static_cast<float>(expected))
          FAIL(step << " " << row << " " << i);
      }
}
