// Folds batch normalisation into the convolution or linear layer before it (Jacob et al. 2018, section 3.2).
//
//   before: %c = conv(%x, @w [, @b])   %y = batch_norm(%c, @gamma, @beta, @mean, @var)
//   after:  %w' = fold_scale(@gamma, @var, @w)   %b' = fold_shift(@gamma, @beta, @mean, @var [, @b])
//           %y = conv(%x, %w', %b') {bias=true}
//
// Needs: the layer has no other user and no epilogue yet; complete norms. The new weights are constant
// expressions, evaluated when the weights are packed.
#include "passes/passes.h"

namespace cardinal {
namespace {

// The layer that `norm` can be folded into, as it stands in the new graph, or nullptr.
template <class Layer>
const Layer* foldable(const Rebuilder& r, NodeId norm, const std::vector<uint32_t>& uses) {
  NodeId producer = r.old[norm].operands[0];
  if (uses[index(producer)] != 1) return nullptr;
  const Layer* layer = r.result[r.mapped(producer)].template as<Layer>();
  return layer && layer->epilogue.empty() && !r.result[r.mapped(producer)].is_constant ? layer : nullptr;
}

template <class Layer>
NodeId fold_into(Rebuilder& r, NodeId norm_id, Layer layer) {
  const Node& norm = r.old[norm_id];
  std::vector<NodeId> statistics = r.mapped_operands(norm_id);  // x, gamma, beta, mean, variance
  const Node conv = r.result[statistics[0]];
  const double eps = norm.as<BatchNorm>()->eps;
  NodeId gamma = statistics[1], beta = statistics[2], mean = statistics[3], variance = statistics[4];

  NodeId weight = r.result.add(FoldScale{eps}, {gamma, variance, conv.operands[1]},
                               conv.name + ".folded_weight", norm.where);
  std::vector<NodeId> shift_operands = {gamma, beta, mean, variance};
  if (layer.bias) shift_operands.push_back(conv.operands[2]);
  NodeId bias = r.result.add(FoldShift{eps}, shift_operands, conv.name + ".folded_bias", norm.where);
  layer.bias = true;
  return r.result.add(layer, {conv.operands[0], weight, bias}, conv.name, conv.where);
}

}  // namespace

Graph fold_batch_norm(const Graph& graph) {
  std::vector<uint32_t> uses = graph.use_counts();
  Graph folded = rebuild(graph, [&](Rebuilder& r, NodeId id) {
    if (const auto* norm = r.old[id].as<BatchNorm>(); norm && norm->complete()) {
      if (const Conv* conv = foldable<Conv>(r, id, uses)) return fold_into(r, id, *conv);
      if (const Linear* linear = foldable<Linear>(r, id, uses)) return fold_into(r, id, *linear);
    }
    return r.copy(id);
  });
  return remove_dead_nodes(folded);  // the unfolded layers
}

}  // namespace cardinal
