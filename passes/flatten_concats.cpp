// Turns concats of concats into one concat of the parts, so that planning can place every part directly into
// the one buffer and no concat copies anything.
//
//   before: %a = concat(%x, %y)   %b = concat(%a, %z)
//   after:  %b = concat(%x, %y, %z)      (%a stays if something else reads it; it is then a prefix of %b's
//   buffer)
//
// Needs nothing; keeps every value.
#include "passes/passes.h"

namespace cardinal {

Graph flatten_concats(const Graph& graph) {
  Graph flat = rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    if (!node.is<Concat>()) return r.copy(id);
    std::vector<NodeId> parts;
    for (NodeId operand : r.mapped_operands(id)) {
      const Node& part = r.result[operand];
      if (part.is<Concat>())
        parts.insert(parts.end(), part.operands.begin(), part.operands.end());
      else
        parts.push_back(operand);
    }
    return r.result.add(Concat{}, parts, node.name, node.where);
  });
  return remove_dead_nodes(flat);
}

}  // namespace cardinal
