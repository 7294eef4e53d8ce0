// Folds padding with zeros into the windows that read it.
//
//   conv(pad(x, [t, l, b, r])) -> conv(x) with that much more padding
//   avg_pool(pad(x)) likewise, where its divisor counts padding or it has none of its own
//   max_pool(pad(relu(x))) likewise: no window's maximum is below 0
//
// Needs nothing; keeps every value. The pad stays for its other users.
#include "ir/window.h"
#include "passes/passes.h"

namespace cardinal {
namespace {

bool is_nonnegative(const OpAttrs& op) {
  return std::holds_alternative<Relu>(op) || std::holds_alternative<Relu6>(op);
}

// The window's padding, resolved for its input, plus the pad's.
Padding joined(const Window& window, const Shape& padded, const Padding& pad) {
  const Padding own = resolve_padding(window, padded.h(), padded.w());
  return {Padding::Mode::explicit_, own.top + pad.top, own.left + pad.left, own.bottom + pad.bottom,
          own.right + pad.right};
}

// `reader` with the padding of its operand `pad` in its own, if it is one that can have it.
std::optional<OpAttrs> with_padding(const Graph& graph, const Node& reader, const Node& pad) {
  const Padding& padding = pad.as<Pad>()->padding;
  const Shape& padded = pad.type.shape;
  if (const auto* conv = reader.as<Conv>()) {
    Conv wider = *conv;
    wider.padding = joined(window_of(*conv), padded, padding);
    return wider;
  }
  if (const auto* average = reader.as<AvgPool>()) {
    const Padding own = resolve_padding(window_of(*average), padded.h(), padded.w());
    if (!average->count_include_pad && own != Padding{}) return {};
    AvgPool wider = *average;
    wider.padding = joined(window_of(*average), padded, padding);
    wider.count_include_pad = true;
    return wider;
  }
  if (const auto* max = reader.as<MaxPool>()) {
    if (!is_nonnegative(graph[pad.operands[0]].op)) return {};
    MaxPool wider = *max;
    wider.padding = joined(window_of(*max), padded, padding);
    return wider;
  }
  return {};
}

bool adds_zeros(const Node& node) {
  const Pad* pad = node.as<Pad>();
  return pad && pad->value == 0 && pad->channels == Sides{} && pad->padding.top >= 0 &&
         pad->padding.left >= 0 && pad->padding.bottom >= 0 && pad->padding.right >= 0;
}

}  // namespace

Graph fold_padding(const Graph& graph) {
  Graph folded = rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    if (node.operands.empty() || node.is_constant || !adds_zeros(r.old[node.operands[0]])) return r.copy(id);
    const Node& pad = r.old[node.operands[0]];
    const std::optional<OpAttrs> wider = with_padding(r.old, node, pad);
    if (!wider) return r.copy(id);
    std::vector<NodeId> operands = r.mapped_operands(id);
    operands[0] = r.mapped(pad.operands[0]);
    // A pool may not have windows of padding alone.
    const std::variant<NodeId, OpError> added =
        r.result.try_add(*wider, std::move(operands), node.name, node.where);
    const NodeId* result = std::get_if<NodeId>(&added);
    return result && r.result[*result].type == node.type ? *result : r.copy(id);
  });
  return remove_dead_nodes(folded);  // the pads that nothing else reads
}

}  // namespace cardinal
