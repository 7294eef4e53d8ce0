// Moves elementwise work into the epilogue of the node that computes its operand, where it costs no memory
// traffic.
//
//   before: %c = conv(%x, %w, %b)   %s = add(%c, %shortcut)   %y = relu(%s)
//   after:  %y = conv(%x, %w, %b, %shortcut) {epilogue=[add, relu]}
//
// Needs: the producer can carry an epilogue (conv, linear, channel_affine, add, mul, ...), has no other user,
// and has the result's shape (it is not the broadcast side); the other operand is one that an epilogue takes.
// Where both operands of an add qualify, the one with more arithmetic takes it: there the extra traffic hides
// best. Fused nodes keep the producer's name.
#include "passes/passes.h"

namespace cardinal {
namespace {

class Fuser {
 public:
  Fuser(Rebuilder& rebuilder, const std::vector<uint32_t>& uses) : r_(rebuilder), uses_(uses) {}

  NodeId visit(NodeId id) {
    const Node& node = r_.old[id];
    if (node.is_constant) return r_.copy(id);
    if (auto activation = activation_of(node.op)) {
      NodeId producer = node.operands[0];
      if (fusable(producer, id)) return extend(producer, {EpilogueStep::Kind::activation, *activation}, {});
    }
    const bool is_add = node.is<Add>() && node.as<Add>()->epilogue.empty();
    const bool is_mul = node.is<Mul>() && node.as<Mul>()->epilogue.empty();
    if (is_add || is_mul) {
      auto kind = is_add ? EpilogueStep::Kind::add : EpilogueStep::Kind::mul;
      if (int side = fused_side(id); side >= 0)
        return extend(node.operands[side], {kind, {}}, {r_.mapped(node.operands[1 - side])});
    }
    return r_.copy(id);
  }

 private:
  // Whether `producer` can take its only user `user` into its epilogue.
  bool fusable(NodeId producer, NodeId user) const {
    const Node& node = r_.result[r_.mapped(producer)];
    return epilogue_of(node.op) && !node.is_constant && uses_[index(producer)] == 1 &&
           node.type == r_.old[user].type;
  }

  // Which operand of a two-operand node takes it, or -1.
  int fused_side(NodeId id) const {
    const Node& node = r_.old[id];
    const auto takes = [&](int side) {
      const Epilogue step{{EpilogueStep::Kind::add, {}}};
      const TensorType& other = r_.old[node.operands[1 - side]].type;
      return fusable(node.operands[side], id) && check_epilogue(step, {&other, 1}, node.type).empty();
    };
    const bool left = takes(0), right = takes(1);
    if (left && right)
      return node_flops(r_.old, node.operands[0]) > node_flops(r_.old, node.operands[1]) ? 0 : 1;
    return left ? 0 : right ? 1 : -1;
  }

  NodeId extend(NodeId producer, EpilogueStep step, std::vector<NodeId> extra) {
    const Node node = r_.result[r_.mapped(producer)];
    OpAttrs op = node.op;
    epilogue_of(op)->push_back(step);
    std::vector<NodeId> operands = node.operands;
    operands.insert(operands.end(), extra.begin(), extra.end());
    return r_.result.add(op, std::move(operands), node.name, node.where);
  }

  Rebuilder& r_;
  const std::vector<uint32_t>& uses_;
};

}  // namespace

Graph fuse_epilogues(const Graph& graph) {
  std::vector<uint32_t> uses = graph.use_counts();
  Graph fused = rebuild(graph, [&](Rebuilder& r, NodeId id) { return Fuser(r, uses).visit(id); });
  return remove_dead_nodes(fused);  // the producers without their epilogues
}

}  // namespace cardinal
