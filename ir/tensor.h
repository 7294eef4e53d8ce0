// A tensor of the reference interpreter: doubles in logical row-major order (N, C, H, W), whatever the dtype
// says.
#pragma once

#include <vector>

#include "ir/type.h"

namespace cardinal {

struct Tensor {
  TensorType type;
  std::vector<double> data;

  Tensor() = default;
  explicit Tensor(TensorType t) : type(t), data(static_cast<size_t>(t.shape.elements())) {}
  double& at(int64_t n, int64_t c, int64_t h, int64_t w) { return data[offset(n, c, h, w)]; }
  double at(int64_t n, int64_t c, int64_t h, int64_t w) const { return data[offset(n, c, h, w)]; }

 private:
  size_t offset(int64_t n, int64_t c, int64_t h, int64_t w) const {
    const Shape& s = type.shape;
    return static_cast<size_t>(((n * s.c() + c) * s.h() + h) * s.w() + w);
  }
};

}  // namespace cardinal
