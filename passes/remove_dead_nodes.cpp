// Drops what no output needs and merges nodes that compute the same.
//
//   before: %a = relu(%x)  %b = relu(%x)  %c = sigmoid(%x)  output(%a + %b)
//   after:  %a = relu(%x)  output(%a + %a)
//
// Needs nothing. Inputs stay even if unused: they are the caller's interface. Merging is the graph's value
// numbering.
#include "passes/passes.h"

namespace cardinal {

Graph remove_dead_nodes(const Graph& graph) {
  return rebuild(graph, [](Rebuilder& r, NodeId id) { return r.copy(id); });
}

}  // namespace cardinal
