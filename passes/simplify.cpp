// Removes nodes that change nothing.
//
//   relu(relu(x)) -> relu(x)          flatten(x) -> x if x has rank 2       concat(x) -> x
//   max_pool, avg_pool with a 1x1 kernel, stride 1 and no padding -> x      global_avg_pool(x) -> x if H = W
//   = 1
//
// Needs nothing; keeps every value.
#include "passes/passes.h"

namespace cardinal {
namespace {

// A 1x1 window at stride 1 keeps the shape only if nothing is padded.
bool is_identity_window(const PoolWindow& window, const Node& node, const Shape& input) {
  return window.kernel == Pair{1, 1} && node.type.shape == input &&
         (window.padding.mode != Padding::Mode::explicit_ || window.padding == Padding{});
}

bool is_idempotent(const OpAttrs& op) {
  return std::holds_alternative<Relu>(op) || std::holds_alternative<Relu6>(op);
}

bool is_identity(const Graph& graph, const Node& node) {
  if (node.operands.size() != 1) return false;
  const Node& operand = graph[node.operands[0]];
  const Shape& input = operand.type.shape;
  if (node.is<Concat>()) return true;
  if (node.is<Flatten>()) return input.rank() == 2;
  if (node.is<GlobalAvgPool>()) return input.h() == 1 && input.w() == 1;
  if (const auto* pool = node.as<MaxPool>()) return is_identity_window(*pool, node, input);
  if (const auto* pool = node.as<AvgPool>()) return is_identity_window(*pool, node, input);
  return is_idempotent(node.op) && node.op.index() == operand.op.index();
}

}  // namespace

Graph simplify(const Graph& graph) {
  return rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    return is_identity(r.old, node) ? r.mapped(node.operands[0]) : r.copy(id);
  });
}

}  // namespace cardinal
