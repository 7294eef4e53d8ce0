#include "passes/gpu_packing.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "passes/gpu_conv_choice.h"
#include "passes/gpu_conv_wgmma.h"

namespace cardinal {

namespace {

using Algorithm = GpuConvKernel::Algorithm;

// A weight [OC, IC / groups, KH, KW] of an output channel and an input channel of all.
struct Weights {
  const ConvShape& shape;
  const Tensor& tensor;
  float at(int64_t oc, int64_t ic, int64_t ky, int64_t kx) const {
    const int64_t icg = shape.ic / shape.groups, first = oc / (shape.oc / shape.groups) * icg;
    if (ic < first || ic >= first + icg || ky >= shape.kh || kx >= shape.kw) return 0;
    return static_cast<float>(
        tensor.data[static_cast<size_t>(((oc * icg + ic - first) * shape.kh + ky) * shape.kw + kx)]);
  }
};

// Values of a type, one after the other.
class Writer {
 public:
  Writer(std::span<float> out, DType dtype) : to_(reinterpret_cast<char*>(out.data())), dtype_(dtype) {}
  void write(float value) {
    if (dtype_ == DType::f32) return put(value);
    put(dtype_ == DType::f16 ? narrow_f16(value) : narrow_bf16(value));
  }

 private:
  template <class T>
  void put(T value) {
    std::memcpy(to_, &value, sizeof value);
    to_ += sizeof value;
  }
  char* to_;
  DType dtype_;
};

void pack_mma(const GpuConvKernel& k, const Weights& weights, Writer out) {
  const ConvShape& s = k.shape;
  const int64_t icg = s.ic / s.groups, ocg = s.oc / s.groups, tap_channels = mma_tap_channels(s);
  for (int64_t oc = 0; oc < s.oc; ++oc) {
    for (int64_t tap = 0; tap < s.kh * s.kw; ++tap)
      for (int64_t c = 0; c < tap_channels; ++c)
        out.write(c < icg ? weights.at(oc, oc / ocg * icg + c, tap / s.kw, tap % s.kw) : 0);
    for (int64_t i = mma_reduction(s); i < mma_weight_row(s); ++i) out.write(0);
  }
}

// Place `place` of row r holds vector place ^ (r % 8) of the step's.
void pack_wgmma(const GpuConvKernel& k, const Weights& weights, Writer out) {
  const ConvShape& s = k.shape;
  const int64_t tap_channels = mma_tap_channels(s);
  const auto value = [&](int64_t oc, int64_t at) {
    const int64_t tap = at / tap_channels, c = at % tap_channels;
    const bool exists = oc < s.oc && tap < s.kh * s.kw && c < s.ic;
    return exists ? weights.at(oc, c, tap / s.kw, tap % s.kw) : 0.0f;
  };
  for (int64_t step = 0; step < mma_weight_row(s) / kWgmmaStep; ++step)
    for (int64_t oc = 0; oc < wgmma_weight_rows(k); ++oc)
      for (int64_t place = 0; place < kWgmmaSwizzleRows; ++place) {
        const int64_t vector = place ^ oc % kWgmmaSwizzleRows;
        for (int64_t i = 0; i < 8; ++i) out.write(value(oc, step * kWgmmaStep + vector * 8 + i));
      }
}

// Lane l's values are those of output channel l / 4 and of the step's values 2 * (l % 4) + {0, 1, 8, 9}.
void pack_patch(const GpuConvKernel& k, const Weights& weights, Writer out) {
  const Patch patch = make_patch(k);
  const bool pairs = k.window == 4;
  // An odd number of units is made even by one without weights.
  const auto units = static_cast<size_t>(k.shape.kh * ceil_div(k.shape.kw, pairs ? 2 : 1) *
                                         std::max<int64_t>(1, k.window / 8));
  for (int64_t tile = 0; tile < k.shape.oc / 8; ++tile)
    for (size_t step = 0; step < patch.units.size() / 2; ++step)
      for (int64_t lane = 0; lane < 32; ++lane)
        for (int64_t i = 0; i < 4; ++i) {
          const size_t unit = 2 * step + static_cast<size_t>(i / 2);
          const int64_t at = lane % 4 * 2 + i % 2;  // within the unit
          const PatchUnit& u = patch.units[unit];
          const int64_t kx = u.kx + (pairs ? at / 4 : 0), channel = u.channel + (pairs ? at % 4 : at);
          const bool none = unit >= units || channel >= k.window;
          out.write(none ? 0
                         : weights.at(8 * tile + lane / 4, patch_window_start(k, tile) + channel, u.ky, kx));
        }
}

void pack_taps(const GpuConvKernel& k, const Weights& weights, Writer out) {
  const ConvShape& s = k.shape;
  const bool depthwise = k.algorithm == Algorithm::depthwise;
  const int64_t icg = s.ic / s.groups, ocg = s.oc / s.groups;
  for (int64_t tap = 0; tap < s.kh * s.kw; ++tap)
    for (int64_t c = 0; c < (depthwise ? 1 : icg); ++c)
      for (int64_t oc = 0; oc < round_up(s.oc, kChannelBlock); ++oc)
        out.write(oc < s.oc ? weights.at(oc, oc / ocg * icg + c, tap / s.kw, tap % s.kw) : 0);
}

}  // namespace

int64_t gpu_packed_floats(const GpuConvKernel& k) {
  const ConvShape& s = k.shape;
  int64_t floats = 0;
  switch (k.algorithm) {
    case Algorithm::mma:
      floats = floats_for(s.oc * mma_weight_row(s), k.dtype);
      break;
    case Algorithm::wgmma:
      floats = floats_for(wgmma_weight_rows(k) * mma_weight_row(s), k.dtype);
      break;
    case Algorithm::patch:
      floats = floats_for(s.oc / 8 * make_patch(k).steps() * 32 * 4, k.dtype);
      break;
    case Algorithm::simt:
    case Algorithm::depthwise:
      floats = s.kh * s.kw * (s.ic / s.groups) * round_up(s.oc, kChannelBlock);
      break;
  }
  return round_up(floats, kChannelBlock);
}

void pack_gpu_conv(const GpuConvKernel& k, const Tensor& weight, std::span<float> out) {
  const Weights weights{k.shape, weight};
  if (k.algorithm == Algorithm::mma) return pack_mma(k, weights, Writer(out, k.dtype));
  if (k.algorithm == Algorithm::wgmma) return pack_wgmma(k, weights, Writer(out, k.dtype));
  if (k.algorithm == Algorithm::patch) return pack_patch(k, weights, Writer(out, k.dtype));
  pack_taps(k, weights, Writer(out, DType::f32));
}

std::vector<int64_t> gpu_packing_key(const GpuConvKernel& k) {
  return {static_cast<int64_t>(k.algorithm), static_cast<int64_t>(k.dtype), k.shape.groups, k.window};
}

uint16_t narrow_f16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000);
  const uint32_t size = bits & 0x7fffffff;
  if (size > 0x7f800000) return sign | 0x7e00;   // a NaN
  if (size >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
  if (size < 0x38800000) {                       // below 2^-14: multiples of 2^-24
    const float multiples = std::nearbyint(std::ldexp(std::fabs(value), 24));
    return sign | static_cast<uint16_t>(multiples);
  }
  const uint32_t rounded = size + 0xfff + (size >> 13 & 1);
  return sign | static_cast<uint16_t>((rounded - 0x38000000) >> 13);
}

uint16_t narrow_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace cardinal
