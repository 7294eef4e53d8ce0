// Removes nodes that change nothing.
//
//   relu(relu(x)) -> relu(x)          flatten(x) -> x if x has rank 2       concat(x) -> x
//   max_pool, avg_pool with a 1x1 kernel, stride 1 and no padding -> x      global_avg_pool(x),
//   global_max_pool(x)
//   -> x if H = W = 1                                             dropout(x), stochastic_depth(x) -> x
//   pad(x), slice(x), channel_shuffle(x), resize(x) and the like -> x if everything stays where it is
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

// Every pixel is one of the operand's, at its place.
bool is_identity_resize(const Resize& resize, const Shape& input, const Shape& output) {
  const auto stays = [](const std::vector<ResizeTap>& taps, int64_t size) {
    for (size_t i = 0; i < taps.size(); ++i)
      if (taps[i].first != static_cast<int64_t>(i) || taps[i].weight != 0) return false;
    return static_cast<int64_t>(taps.size()) == size;
  };
  const ResizeTaps taps = resize_taps(resize, input, output);
  return stays(taps.rows, input.h()) && stays(taps.columns, input.w());
}

bool is_idempotent(const OpAttrs& op) {
  return std::holds_alternative<Relu>(op) || std::holds_alternative<Relu6>(op);
}

// `operand` is the node's only one.
bool is_identity(const Node& node, const Node& operand) {
  const Shape& input = operand.type.shape;
  if (node.is<Concat>() || node.is<Dropout>() || node.is<StochasticDepth>()) return true;
  if (const std::optional<Gathering> gathering = gathering_of(node.op, operand.type))
    return node.type == operand.type && range_start(*gathering, input, node.type.shape) == 0;
  if (node.is<Flatten>()) return input.rank() == 2;
  if (node.is<GlobalAvgPool>() || node.is<GlobalMaxPool>()) return input.h() == 1 && input.w() == 1;
  if (const auto* resize = node.as<Resize>()) return is_identity_resize(*resize, input, node.type.shape);
  if (const auto* pool = node.as<MaxPool>()) return is_identity_window(*pool, node, input);
  if (const auto* pool = node.as<AvgPool>()) return is_identity_window(*pool, node, input);
  return is_idempotent(node.op) && node.op.index() == operand.op.index();
}

}  // namespace

Graph simplify(const Graph& graph) {
  return rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    if (node.operands.size() != 1) return r.copy(id);
    const NodeId operand = r.mapped(node.operands[0]);
    return is_identity(node, r.result[operand]) ? operand : r.copy(id);
  });
}

}  // namespace cardinal
