// Turns adaptive pools whose bins all have one size into pools over windows, which have faster kernels.
//
//   adaptive_avg_pool(x, [1, 1]) -> global_avg_pool(x)
//   adaptive_avg_pool(x, 7) -> avg_pool(x, kernel=2) if x is 14x14; adaptive_max_pool likewise
//
// Needs nothing; keeps every value.
#include "passes/passes.h"

namespace cardinal {
namespace {

// The size of a bin along both axes, if all are equal.
std::optional<Pair> bin_size(const Shape& x, Pair output) {
  if (x.h() % output.h != 0 || x.w() % output.w != 0) return {};
  return Pair{x.h() / output.h, x.w() / output.w};
}

template <class Pool>
OpAttrs pool_of(Pair window) {
  Pool pool;
  pool.kernel = window;
  return pool;
}

std::optional<OpAttrs> regular_pool(const Node& node, const Shape& x) {
  if (const auto* average = node.as<AdaptiveAvgPool>()) {
    if (average->output == Pair{1, 1}) return GlobalAvgPool{};
    if (std::optional<Pair> window = bin_size(x, average->output)) return pool_of<AvgPool>(*window);
  }
  if (const auto* max = node.as<AdaptiveMaxPool>())
    if (std::optional<Pair> window = bin_size(x, max->output)) return pool_of<MaxPool>(*window);
  return {};
}

}  // namespace

Graph regular_pools(const Graph& graph) {
  return rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    if (node.operands.empty()) return r.copy(id);
    std::optional<OpAttrs> pool = regular_pool(node, r.old[node.operands[0]].type.shape);
    return pool ? r.result.add(*pool, r.mapped_operands(id), node.name, node.where) : r.copy(id);
  });
}

}  // namespace cardinal
