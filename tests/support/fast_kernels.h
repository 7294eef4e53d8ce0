// What fast algorithms make of a convolution's kernel, by definition: tensors in double.
#pragma once

#include <cardinal/weight_forms.h>

#include <vector>

#include "passes/strassen.h"
#include "passes/tiling.h"
#include "passes/winograd.h"

namespace cardinal::testing {

// G g G^T of a kernel [OC, IC / groups, 3, 3], as the kernel of the matrix products:
// [elements * OC, IC / groups, 1, 1], channels being whole blocks (as many zeros as that takes).
inline Tensor winograd_kernel(const Tensor& kernel, int outputs) {
  const Matrix& g = winograd_transform(outputs).kernel;
  const Shape& shape = kernel.type.shape;
  const size_t side = g.size();
  const int64_t oc_lanes = round_up(shape[0], kChannelBlock), ic_lanes = round_up(shape[1], kChannelBlock);
  Tensor result({DType::f32, {winograd_elements(outputs) * oc_lanes, ic_lanes, 1, 1}});
  for (int64_t oc = 0; oc < shape[0]; ++oc)
    for (int64_t ic = 0; ic < shape[1]; ++ic)
      for (size_t i = 0; i < side; ++i)
        for (size_t j = 0; j < side; ++j) {
          double sum = 0;
          for (int64_t ky = 0; ky < 3; ++ky)
            for (int64_t kx = 0; kx < 3; ++kx)
              sum += g[i][static_cast<size_t>(ky)] * g[j][static_cast<size_t>(kx)] *
                     static_cast<double>(static_cast<float>(kernel.at(oc, ic, ky, kx)));
          const int64_t channel = static_cast<int64_t>(i * side + j) * oc_lanes + oc;
          result.data[static_cast<size_t>(channel * ic_lanes + ic)] = sum;
        }
  return result;
}

// What one level of fast matrix multiplication makes of a kernel [OC, IC], channels being whole blocks in
// every half.
struct StrassenWeights {
  StrassenFactors factors;
  std::vector<Tensor> products;  // [OC / 2, IC / 2]
};

inline StrassenWeights strassen_weights(const Tensor& kernel) {
  const int64_t oc = kernel.type.shape[0], ic = kernel.type.shape[1];
  const auto place = [](int64_t o, int64_t i, int64_t columns) {
    return static_cast<size_t>((o / kChannelBlock * columns + i) * kChannelBlock + o % kChannelBlock);
  };
  std::vector<double> blocks(kernel.data.size());
  for (int64_t o = 0; o < oc; ++o)
    for (int64_t i = 0; i < ic; ++i) blocks[place(o, i, ic)] = kernel.data[static_cast<size_t>(o * ic + i)];
  StrassenWeights weights{strassen_factors(blocks, oc, ic), {}};
  for (size_t product = 0; product < kStrassenProductCount; ++product) {
    const std::vector<double> sums =
        strassen_product(blocks, static_cast<uint64_t>(oc), static_cast<uint64_t>(ic),
                         weights.factors.ratios.data(), weights.factors.scales.data(), product);
    Tensor& tensor = weights.products.emplace_back(TensorType{DType::f32, {oc / 2, ic / 2}});
    for (int64_t o = 0; o < oc / 2; ++o)
      for (int64_t i = 0; i < ic / 2; ++i)
        tensor.data[static_cast<size_t>(o * (ic / 2) + i)] = sums[place(o, i, ic / 2)];
  }
  return weights;
}

}  // namespace cardinal::testing
