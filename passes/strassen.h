// Fast matrix multiplication: Winograd's variant of Strassen's algorithm (Higham, "Accuracy and stability of
// numerical algorithms", chapter 23), for 1x1 convolutions, which are products of a matrix of pixels x
// channels with one of constants. Each matrix is cut into quarters, and seven products of sums of quarters do
// for eight of quarters:
//
//   x = [A11 A12]   pixels 2 p and 2 p + 1     kernel = [B11 B12]   input channels k and k + ic / 2
//       [A21 A22]                                       [B21 B22]   output channels c and c + oc / 2
//
//   S1 = A21 + A22   S2 = S1 - A11   S3 = A11 - A21   S4 = A12 - S2
//   T1 = B12 - B11   T2 = B22 - T1   T3 = B22 - B12   T4 = B21 - T2
//
//   U = A11 B11 + S2 T2                       y = [A11 B11 + A12 B21        U + S1 T1 + S4 B22]
//                                                 [U + S3 T3 + A22 T4       U + S3 T3 + S1 T1 ]
//
// The sums of weights are formed when weights are packed or loaded, in double. A second level treats each of
// the seven products in the same way.
//
// Equalisation. Rounding errors of a quarter's sums and products reach the results of others, in proportion
// to the largest of the values that are added up. So these are brought to one size first: input channel
// k + ic / 2 is multiplied by a power of two as it enters S1, S2, S4 (its weights are divided by it), and
// output channel c + oc / 2, whose weights are multiplied by one, is divided by it in the end. Both are exact
// and cost no instruction that an addition would not. The powers are those that make the weights' root mean
// squares agree, the weights' being all that is known: a channel's own scale, which a batch norm may set to
// anything, cancels, and what is left of the error is as for weights of one size whatever the weights are.
// So plans, which know no weights, need no bound that depends on them and no way back to a direct
// convolution.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "passes/plan.h"

namespace cardinal {

// A product: the coefficients of the quarters 11, 12, 21, 22 in its factors.
struct StrassenProduct {
  std::array<int, 4> x, kernel;
};
// In the order in which they are computed.
inline constexpr std::array<StrassenProduct, 7> kStrassenProducts{{
    {{1, 0, 0, 0}, {1, 0, 0, 0}},    // A11 B11
    {{0, 1, 0, 0}, {0, 0, 1, 0}},    // A12 B21
    {{-1, 0, 1, 1}, {1, -1, 0, 1}},  // S2 T2
    {{0, 0, 1, 1}, {-1, 1, 0, 0}},   // S1 T1
    {{1, 1, -1, -1}, {0, 0, 0, 1}},  // S4 B22
    {{1, 0, -1, 0}, {0, -1, 0, 1}},  // S3 T3
    {{0, 0, 0, 1}, {-1, 1, 1, -1}},  // A22 T4
}};

int strassen_levels(ConvAlgorithm);  // 1 or 2, or 0 for an algorithm of another kind
// 1x1 without padding, of an image of at least two rows, channels being whole blocks in every quarter. A
// batch of vectors is no image: what a vector's result is must not depend on the one it is paired with. Not
// beyond 64 Ki pixels; see collapses.
bool strassen_possible(const ConvShape&, int levels);
int64_t strassen_weight_bytes(const ConvShape&, int levels);
// One of the 7^levels products of quarters.
ConvShape strassen_product_shape(const ConvShape&, int levels);

// Of a StrassenSumsKernel: `pairs` in equal chunks of 32 at most.
int64_t strassen_chunk(int64_t pairs);

// From the packed weights of one block of output channels to those of the next; see weight_block_floats.
int64_t strassen_block_floats(int64_t ic);

// What one level multiplies channels by, powers of two. The kernels of its products follow from them
// (cardinal/weight_forms.h).
struct StrassenFactors {
  std::vector<float> ratios;  // by k: input channel k + ic / 2
  std::vector<float> scales;  // by c: output channel c + oc / 2, in the end
};
// Of a kernel in blocks, [block of 16 output channels][ic][16].
StrassenFactors strassen_factors(std::span<const double> kernel, int64_t oc, int64_t ic);

}  // namespace cardinal
