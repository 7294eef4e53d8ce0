// Gives every normalisation both of its weights, and makes group norms of instance norms, so that what
// follows knows one form of each.
//
//   before: %y = batch_norm(%x, @mean, @var) {scale=false, shift=false}
//   after:  %one = fill() {shape=[C], value=1}   %zero = fill() {shape=[C], value=0}
//           %y = batch_norm(%x, %one, %zero, @mean, @var)
//
// Needs nothing; keeps every value.
#include "passes/passes.h"

namespace cardinal {
namespace {

template <class Norm>
NodeId complete(Rebuilder& r, NodeId id, Norm norm, int64_t channels) {
  const Node& node = r.old[id];
  std::vector<NodeId> operands = r.mapped_operands(id);
  const auto insert = [&](size_t place, bool& has, double value) {
    if (!has)
      operands.insert(operands.begin() + static_cast<ptrdiff_t>(place),
                      r.result.add(Fill{{channels}, value}, {}, {}, node.where));
    has = true;
  };
  insert(1, norm.scale, 1);
  insert(2, norm.shift, 0);
  return r.result.add(norm, std::move(operands), node.name, node.where);
}

}  // namespace

Graph complete_norms(const Graph& graph) {
  return rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    const int64_t channels = node.type.shape.rank() < 2 ? 0 : node.type.shape.c();
    if (const auto* norm = node.as<BatchNorm>()) return complete(r, id, *norm, channels);
    if (const auto* norm = node.as<LayerNorm>()) return complete(r, id, *norm, channels);
    if (const auto* norm = node.as<GroupNorm>()) return complete(r, id, *norm, channels);
    if (const auto* norm = node.as<InstanceNorm>())
      return complete(r, id, norm->as_group_norm(node.type.shape), channels);
    return r.copy(id);
  });
}

}  // namespace cardinal
