#include "passes/plan_checks.h"

#include <fmt/format.h>

namespace cardinal {

WeightOperands weight_operands(const Node& node) {
  const int begin = op_info(node.op).constants_from;
  if (begin < 0) return {};
  const Epilogue* epilogue = epilogue_of(node.op);
  return {static_cast<size_t>(begin),
          node.operands.size() - static_cast<size_t>(epilogue ? epilogue_operands(*epilogue) : 0)};
}

namespace {

void check_node(const Graph& graph, NodeId id, Diagnostics& errors) {
  const Node& node = graph[id];
  const std::string called =
      node.name.empty() ? fmt::format("%{} ({})", index(id), op_info(node.op).name) : node.name;
  const auto fail = [&](std::string message) {
    errors.error(node.where, called + ": " + std::move(message));
  };
  const auto* layer_norm = node.as<LayerNorm>();
  const auto* group_norm = node.as<GroupNorm>();
  if (node.is<InstanceNorm>() || (layer_norm && !layer_norm->complete()) ||
      (group_norm && !group_norm->complete()))
    fail(fmt::format("an incomplete {} is left; run the pass complete_norms first", op_info(node.op).name));
  if (node.is<BatchNorm>()) fail("a batch_norm is left; run the pass lower_batch_norm first");
  const WeightOperands weights = weight_operands(node);
  for (size_t i = 0; i < node.operands.size(); ++i) {
    const bool constant = graph[node.operands[i]].is_constant;
    const bool weight = i >= weights.begin && i < weights.end;
    if (constant && !weight)
      fail(
          fmt::format("operand {} does not depend on any input; beside a tensor, only +, -, * and / take "
                      "parameters, of one value or one a channel",
                      i + 1));
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
