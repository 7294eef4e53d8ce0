// A network written by hand, for tests of the runtime alone: x f32[1, 2, 3, 4] nchw -> y f32[1, 24],
//   step "scale": s[i] = x[i] * w[i]
//   step "mix":   y[i] = s[i] + s[23 - i] + w[24]     (so that it needs all of the first step)
#pragma once

#include <cardinal/abi.h>

#include <array>
#include <vector>

constexpr int kFakeElements = 24;
constexpr uint64_t kFakeModelHash = 0x0123456789abcdefull;

// w[i] = i + 1, w[24] = 100
constexpr std::array<float, kFakeElements + 1> fake_weights() {
  std::array<float, kFakeElements + 1> weights = {};
  for (int i = 0; i < kFakeElements; ++i) weights[i] = static_cast<float>(i + 1);
  weights[kFakeElements] = 100;
  return weights;
}

inline std::vector<float> fake_result(const std::vector<float>& x) {
  const auto w = fake_weights();
  std::vector<float> y(kFakeElements);
  for (int i = 0; i < kFakeElements; ++i) {
    const int j = kFakeElements - 1 - i;
    y[i] = x[i] * w[i] + x[j] * w[j] + w[kFakeElements];
  }
  return y;
}

extern "C" const cardinal_model fake_cardinal_model;
extern "C" void fake_run(const cardinal_frame* frame, const cardinal_executor* executor) noexcept;
