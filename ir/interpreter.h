// The reference interpreter: every op by its definition, in double. The oracle that passes and kernels are
// checked against. Slow on purpose.
#pragma once

#include <functional>
#include <span>

#include "ir/graph.h"
#include "ir/weights.h"

namespace cardinal {

struct InterpretOptions {
  // Sees the value of every live node once, in order. The tensor is freed after its last use.
  std::function<void(NodeId, const Tensor&)> visit;
};

// The outputs, in order. `inputs` are in the order of graph.inputs(), in logical N, C, H, W order whatever
// their layout; they are rounded to float, as the compiled network gets them. The store must have passed
// check_weights.
std::vector<Tensor> interpret(const Graph&, const WeightStore&, std::span<const Tensor> inputs,
                              const InterpretOptions& options = {});

// The value of a constant node. Weight values come from the store in float, computed on in double.
Tensor evaluate_constant(const Graph&, NodeId, const WeightStore&);

}  // namespace cardinal
