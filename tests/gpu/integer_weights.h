// Small whole numbers, whose products and sums are exact in 16-bit floats as well: results can be compared
// bit by bit whatever the order of sums.
#pragma once

#include <memory>
#include <vector>

#include "ir/interpreter.h"
#include "ir/weights.h"

namespace cardinal::testing {

// -1, 0 (mostly) and 1 for kernels, -3 to 3 for everything else.
std::unique_ptr<WeightStore> integer_weights(const Graph&, uint64_t seed);
// -2 to 2.
std::vector<Tensor> integer_inputs(const Graph&, uint64_t seed);

}  // namespace cardinal::testing
