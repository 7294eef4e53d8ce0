// Packed weights of a GPU's convolutions; see GpuConvKernel.
#pragma once

#include <span>

#include "ir/tensor.h"
#include "passes/plan.h"

namespace cardinal {

int64_t gpu_packed_floats(const GpuConvKernel&);
// 16-bit values lie two in a float.
void pack_gpu_conv(const GpuConvKernel&, const Tensor& weight, std::span<float> out);
// What the packed bytes depend on besides the constant.
std::vector<int64_t> gpu_packing_key(const GpuConvKernel&);

// The nearest value of 16 bits, as its bits; ties to even. Beyond the range of f16 lies infinity.
uint16_t narrow_f16(float);
uint16_t narrow_bf16(float);

}  // namespace cardinal
