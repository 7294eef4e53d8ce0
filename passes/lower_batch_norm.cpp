// Turns the batch norms that could not be folded (pre-activation networks) into a multiply and an add per
// channel.
//
//   before: %y = batch_norm(%x, @gamma, @beta, @mean, @var)
//   after:  %s = fold_scale(@gamma, @var)   %t = fold_shift(@gamma, @beta, @mean, @var)
//           %y = channel_affine(%x, %s, %t)
//
// Needs: fold_batch_norm has had its chance; complete norms. No batch_norm is left.
#include "passes/passes.h"

namespace cardinal {

Graph lower_batch_norm(const Graph& graph) {
  return rebuild(graph, [](Rebuilder& r, NodeId id) {
    const Node& node = r.old[id];
    const auto* norm = node.as<BatchNorm>();
    if (!norm || !norm->complete()) return r.copy(id);
    std::vector<NodeId> operands = r.mapped_operands(id);
    NodeId scale =
        r.result.add(FoldScale{norm->eps}, {operands[1], operands[4]}, node.name + ".scale", node.where);
    NodeId shift = r.result.add(FoldShift{norm->eps}, {operands[1], operands[2], operands[3], operands[4]},
                                node.name + ".shift", node.where);
    return r.result.add(ChannelAffine{}, {operands[0], scale, shift}, node.name, node.where);
  });
}

}  // namespace cardinal
