// What a graph must be for a plan to exist.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace cardinal {

// The operands of a node that must be constant: [begin, end).
struct WeightOperands {
  size_t begin = 0, end = 0;
};
WeightOperands weight_operands(const Node&);

// Everything about the live nodes that planning cannot handle.
Diagnostics check_plannable(const Graph&, const std::vector<bool>& live);

}  // namespace cardinal
