// How far from exact the algorithms of a convolution are in f32.
#pragma once

#include "passes/plan.h"

namespace cardinal {

// expected: the largest error over the largest output, for independent random inputs and weights. Within a
// factor of two of what ResNet's shapes measure.
// bound: |error| <= bound * max |x| * (the largest sum of |weights| of an output channel), for any of them.
// Of fast matrix multiplication, <= bound * (the sum over input channels of max |x| * max |weight|), weights
// being taken after equalisation (strassen.h) has brought output channels to one size.
Rounding conv_rounding(const ConvShape&, ConvAlgorithm, bool blocked_sums = false);

}  // namespace cardinal
