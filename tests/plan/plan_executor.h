// Runs a plan by the definitions in plan.h, slowly and without code generation: what views, packed weights,
// windows, tiles and buffer offsets mean together.
#pragma once

#include <vector>

#include "ir/tensor.h"
#include "ir/weights.h"
#include "passes/planner.h"

namespace cardinal::testing {

// The outputs in logical order. The workspace starts as NaNs and pad lanes are written as huge values, so
// that reading what was never written, or a pad lane, shows.
std::vector<Tensor> execute_plan(const Graph&, const Plan&, const WeightStore&,
                                 const std::vector<Tensor>& inputs);

}  // namespace cardinal::testing
