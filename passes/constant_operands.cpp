// Brings parameters of the network's own, and what is computed from them alone, to the ops that use them.
//
//   before: %y = add(%x, @beta)   %z = mul(%y, @gamma)   with one value, or one a channel, in each
//   after:  %one = fill() {shape=[1], value=1}    %y = channel_affine(%x, %one, @beta)
//           %zero = fill() {shape=[1], value=0}   %z = channel_affine(%y, @gamma, %zero)
//
// A product and the sum behind it, of which nothing else reads the product, become one.
// Needs nothing; keeps every value.
#include <optional>

#include "passes/passes.h"

namespace cardinal {
namespace {

// Whether `values` are one for each channel of x, or one for all, and x has the result's shape.
bool is_per_channel(const TensorType& values, const TensorType& x, const TensorType& result) {
  const Shape& shape = values.shape;
  return x == result &&
         (shape.elements() == 1 || (shape.elements() == x.shape.c() && shape.c() == x.shape.c()));
}

NodeId channel_affine(Rebuilder& r, NodeId id, NodeId x, NodeId scale, NodeId shift) {
  return r.result.add(ChannelAffine{}, {x, scale, shift}, r.old[id].name, r.old[id].where);
}

// Whether `x` is a product alone that a sum can be added to.
bool is_product(const Graph& graph, NodeId x) {
  if (!graph[x].is<ChannelAffine>()) return false;
  const auto* shift = graph[graph[x].operands[2]].as<Fill>();
  return shift && shift->value == 0;
}

// The node as a channel_affine, if it is one.
std::optional<NodeId> as_channel_affine(Rebuilder& r, NodeId id, const std::vector<uint32_t>& uses) {
  const Node& node = r.old[id];
  const bool add = node.is<Add>(), mul = node.is<Mul>(), div = node.is<Div>();
  if (node.is_constant || (!add && !mul && !div)) return {};
  const std::vector<NodeId> operands = r.mapped_operands(id);
  const auto fill = [&](const Shape& shape, double value) {
    return r.result.add(Fill{shape, value}, {}, {}, node.where);
  };
  for (size_t side : {1, 0}) {
    const NodeId x = operands[1 - side], values = operands[side];
    const TensorType type = r.result[values].type;
    if (!r.result[values].is_constant || !is_per_channel(type, r.result[x].type, node.type)) continue;
    if (add && uses[index(node.operands[1 - side])] == 1 && is_product(r.result, x)) {
      const std::vector<NodeId> product = r.result[x].operands;
      return channel_affine(r, id, product[0], product[1], values);
    }
    if (add) return channel_affine(r, id, x, fill({1}, 1), values);
    if (mul) return channel_affine(r, id, x, values, fill({1}, 0));
    if (side == 0) continue;
    const NodeId inverse =
        r.result.add(Div{}, {fill(type.shape, 1), values}, node.name + ".inverse", node.where);
    return channel_affine(r, id, x, inverse, fill({1}, 0));
  }
  return {};
}

}  // namespace

Graph constant_operands(const Graph& graph) {
  const std::vector<uint32_t> uses = graph.use_counts();
  const Graph lowered = rebuild(graph, [&](Rebuilder& r, NodeId id) {
    const std::optional<NodeId> affine = as_channel_affine(r, id, uses);
    return affine ? *affine : r.copy(id);
  });
  return remove_dead_nodes(lowered);  // products that sums were added to
}

}  // namespace cardinal
