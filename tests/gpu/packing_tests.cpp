#include "passes/gpu_packing.h"

#include <bit>
#include <catch2/catch.hpp>
#include <cmath>
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
