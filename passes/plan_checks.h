// What a graph must be for a plan to exist.
#pragma once

#include <vector>

#include "ir/graph.h"

namespace cardinal {

// Everything about the live nodes that planning cannot handle.
Diagnostics check_plannable(const Graph&, const std::vector<bool>& live);

}  // namespace cardinal
