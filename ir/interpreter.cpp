#include "ir/interpreter.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/internal_error.h"

namespace cardinal {

namespace {

Tensor load_weight(const Node& node, const WeightStore& store) {
  const StoredTensor* stored = store.find(node.name);
  const Weight& weight = *node.as<Weight>();
  if (!stored || !serves(stored->type.shape, weight))
    internal_error(fmt::format("weight '{}' was not checked before it is used", node.name));
  Tensor value(node.type);
  std::vector<float> floats = weight_values(*stored, weight);
  std::copy(floats.begin(), floats.end(), value.data.begin());
  return value;
}

Tensor load_input(const Node& node, const Tensor& given) {
  if (given.type.shape != node.type.shape ||
      given.data.size() != static_cast<size_t>(node.type.shape.elements()))
    internal_error(
        fmt::format("input '{}' must be {}, got {}", node.name, to_string(node.type), to_string(given.type)));
  Tensor value(node.type);
  std::transform(given.data.begin(), given.data.end(), value.data.begin(),
                 [](double v) { return static_cast<double>(static_cast<float>(v)); });
  return value;
}

// Evaluates the nodes marked as needed, in order. A value lives until its last needed user has run.
class Walk {
 public:
  Walk(const Graph& graph, const WeightStore& store, const std::vector<bool>& needed)
      : graph_(graph), store_(store), needed_(needed), values_(graph.size()), uses_left_(graph.size()) {
    for (NodeId id : graph.ids())
      if (needed_[index(id)])
        for (NodeId operand : graph[id].operands) ++uses_left_[index(operand)];
  }

  const Tensor& run(NodeId id, std::span<const Tensor> inputs) {
    const Node& node = graph_[id];
    Tensor& out = values_[index(id)];
    if (node.is<Weight>()) {
      out = load_weight(node, store_);
    } else if (node.is<Input>()) {
      if (next_input_ >= inputs.size())
        internal_error(fmt::format("no value was given for input '{}'", node.name));
      out = load_input(node, inputs[next_input_++]);
    } else {
      std::vector<const Tensor*> operands;
      for (NodeId operand : node.operands) operands.push_back(&values_[index(operand)]);
      out = Tensor(node.type);
      evaluate(node.op, operands, out);
    }
    return out;
  }

  void release_operands(NodeId id) {
    for (NodeId operand : graph_[id].operands)
      if (--uses_left_[index(operand)] == 0) values_[index(operand)] = Tensor();
  }

  Tensor take(NodeId id) { return std::move(values_[index(id)]); }

 private:
  const Graph& graph_;
  const WeightStore& store_;
  const std::vector<bool>& needed_;
  std::vector<Tensor> values_;
  std::vector<uint32_t> uses_left_;
  size_t next_input_ = 0;
};

// What `id` depends on, itself included.
std::vector<bool> needed_for(const Graph& graph, NodeId id) {
  std::vector<bool> needed(graph.size());
  needed[index(id)] = true;
  for (size_t i = index(id) + 1; i-- > 0;)
    if (needed[i])
      for (NodeId operand : graph[NodeId(i)].operands) needed[index(operand)] = true;
  return needed;
}

}  // namespace

std::vector<Tensor> interpret(const Graph& graph, const WeightStore& store, std::span<const Tensor> inputs,
                              const InterpretOptions& options) {
  std::vector<bool> live = live_nodes(graph);
  Walk walk(graph, store, live);
  std::vector<Tensor> outputs;
  for (NodeId id : graph.ids()) {
    if (!live[index(id)]) continue;
    const Tensor& value = walk.run(id, inputs);
    if (options.visit) options.visit(id, value);
    walk.release_operands(id);
    if (graph[id].is<Output>()) outputs.push_back(walk.take(id));
  }
  return outputs;
}

Tensor evaluate_constant(const Graph& graph, NodeId id, const WeightStore& store) {
  if (!graph[id].is_constant)
    internal_error(fmt::format("node {} ({}) is not a constant", index(id), op_info(graph[id].op).name));
  std::vector<bool> needed = needed_for(graph, id);
  Walk walk(graph, store, needed);
  for (NodeId step : graph.ids()) {
    if (!needed[index(step)]) continue;
    walk.run(step, {});
    walk.release_operands(step);
    if (step == id) break;
  }
  return walk.take(id);
}

}  // namespace cardinal
