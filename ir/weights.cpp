#include "ir/weights.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace cardinal {

namespace {

// IEEE 754 binary16 to binary32; every value, subnormals and NaN included, is representable.
float widen_f16(uint16_t half) {
  uint32_t sign = uint32_t{half} >> 15 << 31;
  uint32_t exponent = half >> 10 & 0x1f;
  uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 127 - 15;
  return std::bit_cast<float>(sign | wide_exponent << 23 | mantissa << 13);
}

// Bytes need not be aligned: files promise nothing about it.
template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

std::vector<float> to_floats(const StoredTensor& tensor) {
  size_t count = tensor.bytes.size() / static_cast<size_t>(dtype_bytes(tensor.type.dtype));
  std::vector<float> out(count);
  const std::byte* from = tensor.bytes.data();
  switch (tensor.type.dtype) {
    case DType::f32:
      if (count) std::memcpy(out.data(), from, count * sizeof(float));
      break;
    case DType::f16:
      for (size_t i = 0; i < count; ++i) out[i] = widen_f16(load<uint16_t>(from + 2 * i));
      break;
    case DType::bf16:
      for (size_t i = 0; i < count; ++i)
        out[i] = std::bit_cast<float>(uint32_t{load<uint16_t>(from + 2 * i)} << 16);
      break;
  }
  return out;
}

Shape shape_in_file(const Weight& weight) {
  const Shape& s = weight.shape;
  switch (weight.stored) {
    case StoredOrder::as_written:
      return s;
    case StoredOrder::hwio:
      return {s[2], s[3], s[1], s[0]};
    case StoredOrder::io:
      return {s[1], s[0]};
    case StoredOrder::wio:
      return {s[2], s[1], s[0]};
  }
  return s;
}

namespace {

std::span<const int64_t> without_ones_before(std::span<const int64_t> dims) {
  while (!dims.empty() && dims.front() == 1) dims = dims.subspan(1);
  return dims;
}

std::span<const int64_t> without_ones_after(std::span<const int64_t> dims) {
  while (!dims.empty() && dims.back() == 1) dims = dims.first(dims.size() - 1);
  return dims;
}

// [KH, KW, IC, OC / IC] for a kernel whose groups have one input channel each.
bool serves_depthwise(const Shape& stored, const Weight& weight) {
  const Shape& s = weight.shape;
  return weight.stored == StoredOrder::hwio && s[1] == 1 && stored.rank() == 4 && stored[0] == s[2] &&
         stored[1] == s[3] && stored[2] > 0 && s[0] % stored[2] == 0 && s[0] / stored[2] == stored[3];
}

}  // namespace

bool serves(const Shape& stored, const Weight& weight) {
  if (weight.role != Role::kernel) {
    const auto trimmed = [](const Shape& shape) {
      return without_ones_before(without_ones_after(shape.dims()));
    };
    return std::ranges::equal(trimmed(stored), trimmed(weight.shape));
  }
  const Shape wanted = shape_in_file(weight);
  const auto trimmed = weight.stored == StoredOrder::as_written ? without_ones_after : without_ones_before;
  return std::ranges::equal(trimmed(stored.dims()), trimmed(wanted.dims())) ||
         serves_depthwise(stored, weight);
}

std::vector<float> weight_values(const StoredTensor& tensor, const Weight& weight) {
  std::vector<float> stored = to_floats(tensor);
  if (weight.stored == StoredOrder::as_written) return stored;
  const auto channels = static_cast<size_t>(weight.shape[0]);
  const auto inputs = static_cast<size_t>(weight.shape[1]);
  const size_t taps = stored.size() / channels / inputs;
  std::vector<float> values(stored.size());
  for (size_t oc = 0; oc < channels; ++oc)
    for (size_t ic = 0; ic < inputs; ++ic)
      for (size_t tap = 0; tap < taps; ++tap)
        values[(oc * inputs + ic) * taps + tap] = stored[(tap * inputs + ic) * channels + oc];
  return values;
}

}  // namespace cardinal
