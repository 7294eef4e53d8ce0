// Checks the invariants that ir/graph.h lists. Run after every pass in tests and on request.
#pragma once

#include "ir/graph.h"

namespace cardinal {

// Empty if all hold. Errors point at the source of the node they are about.
Diagnostics verify(const Graph&);
Diagnostics verify(std::span<const Node> nodes);

}  // namespace cardinal
