#include "passes/plan_checks.h"

#include <fmt/format.h>

namespace cardinal {

namespace {

// Operands that must be constant: [begin, end) of the node's.
struct WeightOperands {
  size_t begin = 0, end = 0;
};

WeightOperands weight_operands(const Node& node) {
  if (const Conv* conv = node.as<Conv>()) return {1, conv->bias ? 3u : 2u};
  if (const Linear* linear = node.as<Linear>()) return {1, linear->bias ? 3u : 2u};
  if (node.is<ChannelAffine>()) return {1, 3};
  return {};
}

void check_node(const Graph& graph, NodeId id, Diagnostics& errors) {
  const Node& node = graph[id];
  const std::string called =
      node.name.empty() ? fmt::format("%{} ({})", index(id), op_info(node.op).name) : node.name;
  const auto fail = [&](std::string message) {
    errors.error(node.where, called + ": " + std::move(message));
  };
  if (node.is<BatchNorm>()) fail("a batch_norm is left; run the pass lower_batch_norm first");
  const WeightOperands weights = weight_operands(node);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const bool constant = graph[node.operands[i]].is_constant;
    const bool weight = i >= weights.begin && i < weights.end;
    if (constant && !weight)
      fail(fmt::format("operand {} does not depend on any input; only weights may be constant", i + 1));
    if (!constant && weight)
      fail(fmt::format("operand {} is a weight and must not depend on an input", i + 1));
  }
}

}  // namespace

Diagnostics check_plannable(const Graph& graph, const std::vector<bool>& live) {
  Diagnostics errors;
  for (NodeId id : graph.ids())
    if (live[index(id)] && !graph[id].is_constant) check_node(graph, id, errors);
  return errors;
}

}  // namespace cardinal
