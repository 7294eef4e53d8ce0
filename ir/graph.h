// The graph: typed SSA as an append-only array. A pass does not edit a graph, it rebuilds one.
//
// Invariants (ir/verifier.h checks them): operands precede their users; every node's type is what its op's
// shape rule infers; parameters are constants; inputs, weights and outputs are named, and each name is unique
// among its kind; outputs are not operands; at least one output. Graphs are values.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "ir/op.h"
#include "ir/result.h"

namespace cardinal {

enum class NodeId : uint32_t {};
inline constexpr uint32_t index(NodeId id) { return static_cast<uint32_t>(id); }

struct Node {
  OpAttrs op;
  std::vector<NodeId> operands;
  TensorType type;
  std::string name;  // scope path ("layer1.0.conv1"); "" if the source gave none
  SourceLocation where;
  bool is_constant = false;  // depends on weights only: evaluated once, when weights are packed

  template <class Op>
  const Op* as() const {
    return std::get_if<Op>(&op);
  }
  template <class Op>
  bool is() const {
    return std::holds_alternative<Op>(op);
  }
};

class Graph {
 public:
  std::string name;    // the network's
  std::string source;  // path of the file it came from, for dumps and errors; may be empty

  // Appends a node, or returns the node that already computes the same (equal op and operands; never input,
  // output; weights are the same if their names are). Fails if infer_node does, or if the name is taken.
  std::variant<NodeId, OpError> try_add(OpAttrs op, std::vector<NodeId> operands, std::string name = {},
                                        SourceLocation where = {});
  // The same where refusal would be a bug.
  NodeId add(OpAttrs op, std::vector<NodeId> operands, std::string name = {}, SourceLocation where = {});

  const Node& operator[](NodeId id) const { return nodes_[index(id)]; }
  std::span<const Node> nodes() const { return nodes_; }
  size_t size() const { return nodes_.size(); }
  bool contains(NodeId id) const { return index(id) < nodes_.size(); }
  std::vector<NodeId> ids() const;
  std::vector<NodeId> inputs() const;
  std::vector<NodeId> outputs() const;  // the output nodes, in order
  std::vector<NodeId> weights() const;
  std::vector<TensorType> operand_types(NodeId) const;
  // How many operands each node feeds, outputs included; indexed by NodeId.
  std::vector<uint32_t> use_counts() const;

 private:
  std::vector<Node> nodes_;
  std::unordered_multimap<size_t, NodeId> values_;  // value numbering
};

// The type of a node that follows `earlier`, or why it cannot: the shape rule, and that parameters are
// constants and no operand is an output.
Inferred infer_node(std::span<const Node> earlier, const OpAttrs&, std::span<const NodeId> operands);
bool infer_constant(std::span<const Node> earlier, const OpAttrs&, std::span<const NodeId> operands);

// Of one run of the network: 0 for inputs, weights, outputs and constants.
double node_flops(const Graph&, NodeId);
int64_t node_bytes(const Graph&, NodeId);  // operands read once and the result written once

// Copies `graph` into a new one, node by node in order, dropping what no output needs. `rule` sees the old
// node, its operands already mapped into the new graph, and the new graph; it returns the id that stands for
// the node there (usually `copy`). Names, source and locations are kept by `copy`.
class Rebuilder {
 public:
  explicit Rebuilder(const Graph& old) : old(old) {}
  const Graph& old;
  Graph result;
  NodeId copy(NodeId old_id);  // same op, mapped operands
  NodeId mapped(NodeId old_id) const { return map_[index(old_id)]; }
  std::vector<NodeId> mapped_operands(NodeId old_id) const;

 private:
  template <class Rule>
  friend Graph rebuild(const Graph&, Rule&&);
  std::vector<NodeId> map_;
};

std::vector<bool> live_nodes(const Graph&);  // inputs, outputs and what outputs need

template <class Rule>  // NodeId rule(Rebuilder&, NodeId old_id)
Graph rebuild(const Graph& graph, Rule&& rule) {
  Rebuilder rebuilder(graph);
  rebuilder.result.name = graph.name;
  rebuilder.result.source = graph.source;
  rebuilder.map_.resize(graph.size());
  std::vector<bool> live = live_nodes(graph);
  for (NodeId id : graph.ids())
    if (live[index(id)]) rebuilder.map_[index(id)] = rule(rebuilder, id);
  return std::move(rebuilder.result);
}

}  // namespace cardinal
