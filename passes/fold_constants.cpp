// Gathers every expression over weights alone ahead of the first run-time node.
//
//   before: %y = conv(%x, @w)  %k = mul(@a, @b)  %z = mul(%y, %k)
//   after:  %k = mul(@a, @b)  %y = conv(%x, @w)  %z = mul(%y, %k)
//
// Such nodes cost nothing at run time: they are evaluated once, in double, when the weights are packed. They
// stay symbolic in the graph so that a dump can be compiled again with the weight file it was made for.
// Needs: nothing that makes new constant expressions runs after it.
#include "passes/passes.h"

namespace cardinal {

Graph fold_constants(const Graph& graph) {
  Graph result;
  result.name = graph.name;
  result.source = graph.source;
  std::vector<bool> live = live_nodes(graph);
  std::vector<NodeId> map(graph.size());
  auto append = [&](bool constant) {
    for (NodeId id : graph.ids()) {
      const Node& node = graph[id];
      if (!live[index(id)] || node.is_constant != constant) continue;
      std::vector<NodeId> operands;
      for (NodeId operand : node.operands) operands.push_back(map[index(operand)]);
      map[index(id)] = result.add(node.op, std::move(operands), node.name, node.where);
    }
  };
  append(true);
  append(false);
  return result;
}

}  // namespace cardinal
