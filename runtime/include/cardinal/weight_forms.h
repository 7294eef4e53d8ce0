// How packed weights come from the network's own: what Winograd's algorithm and fast matrix multiplication
// make of a kernel takes up to four times its space, so that a weight file may hold the kernels as they are
// and have the rest formed when it is loaded (abi.h, cardinal_weight_form). The compiler packs by the same
// functions: a network has the same packed weights, to the last bit, either way.
//
// A stored kernel is in blocks of 16 output channels: [block][tap][input channel][16], both channels padded
// with zeros to whole blocks.
#pragma once

#include <cardinal/abi.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cardinal {

// G of Winograd's F(2x2, 3x3) and F(4x4, 3x3), whose kernels become G g G^T: outputs + 2 rows (Lavin and
// Gray, "Fast algorithms for convolutional neural networks", 2015; interpolation points 0, 1, -1, (2, -2,)
// infinity).
std::span<const double[3]> winograd_kernel_matrix(int outputs);

// The seven products of Strassen's algorithm in Winograd's variant: the coefficients of the kernel's quarters
// (output channels c and input channels k; c + oc / 2 and k; c and k + ic / 2; both) in their factors.
inline constexpr size_t kStrassenProductCount = 7;
inline constexpr int kStrassenKernelSums[kStrassenProductCount][4] = {
    {1, 0, 0, 0}, {0, 0, 1, 0}, {1, -1, 0, 1}, {-1, 1, 0, 0}, {0, 0, 0, 1}, {0, -1, 0, 1}, {-1, 1, 1, -1}};

// Floats of a form's parts: what it reads of the stored weights from `source` and `factors` on, and what it
// writes.
struct WeightFormSizes {
  uint64_t source = 0, factors = 0, packed = 0;
};
WeightFormSizes sizes_of(const cardinal_weight_form& form);

// Whether the form reads and writes within so many floats, and makes sense: "" or what is wrong.
std::string find_malformed(const cardinal_weight_form& form, uint64_t stored_floats, uint64_t packed_floats);

// Writes one section of the packed weights to `to`. The form is well-formed; its source and factors are where
// these point to.
void form_weights(const cardinal_weight_form& form, const float* source, const float* factors, float* to);

// The kernel of one product, [rows / 2][columns / 2], of a 1x1 kernel; both in blocks.
std::vector<double> strassen_product(std::span<const double> kernel, uint64_t rows, uint64_t columns,
                                     const float* ratios, const float* scales, size_t product);

}  // namespace cardinal
