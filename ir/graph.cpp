#include "ir/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "ir/internal_error.h"

namespace cardinal {

namespace {

// Inputs, weights and outputs are told apart by name, all other nodes by what they compute.
bool is_boundary(const OpAttrs& op) {
  return std::holds_alternative<Input>(op) || std::holds_alternative<Weight>(op) ||
         std::holds_alternative<Output>(op);
}

size_t combine(size_t seed, size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15 + (seed << 6) + (seed >> 2));
}

size_t value_key(const OpAttrs& op, std::span<const NodeId> operands, const std::string& name) {
  if (is_boundary(op)) return combine(op.index(), std::hash<std::string>()(name));
  size_t key = hash_value(op);
  for (NodeId operand : operands) key = combine(key, index(operand));
  return key;
}

std::string name_clash(const Node& taken, const OpAttrs& op) {
  std::string_view kind = op_info(op).name;
  if (const Weight* weight = std::get_if<Weight>(&op))
    return fmt::format("weight '{}' is {} here but {} where it is first used", taken.name,
                       to_string(weight->shape), to_string(taken.type.shape)) +
           (weight->shape == taken.type.shape ? ", in another role" : "");
  return fmt::format("there is already an {} named '{}'", kind, taken.name);
}

std::vector<NodeId> nodes_of_kind(std::span<const Node> nodes, bool (*is_kind)(const Node&)) {
  std::vector<NodeId> out;
  for (size_t i = 0; i < nodes.size(); ++i)
    if (is_kind(nodes[i])) out.push_back(NodeId(i));
  return out;
}

// Operands that must be constants but are not.
std::optional<OpError> check_constants(std::span<const Node> earlier, const OpAttrs& op,
                                       std::span<const NodeId> operands) {
  const OpInfo& info = op_info(op);
  if (info.constants_from < 0) return {};
  const Epilogue* epilogue = epilogue_of(op);
  size_t end = operands.size() - (epilogue ? epilogue_operands(*epilogue) : 0);
  for (size_t i = info.constants_from; i < end; ++i)
    if (!earlier[index(operands[i])].is_constant)
      return OpError{
          fmt::format("operand {} of {} is a parameter and must depend on weights only, not on an input", i,
                      info.name),
          {},
          static_cast<int>(i)};
  return {};
}

}  // namespace

Inferred infer_node(std::span<const Node> earlier, const OpAttrs& op, std::span<const NodeId> operands) {
  std::vector<TensorType> types;
  for (size_t i = 0; i < operands.size(); ++i) {
    const Node& operand = earlier[index(operands[i])];
    if (operand.is<Output>())
      return OpError{fmt::format("output '{}' cannot be an operand", operand.name), {}, static_cast<int>(i)};
    types.push_back(operand.type);
  }
  Inferred inferred = infer(op, types);
  if (std::holds_alternative<TensorType>(inferred))
    if (auto error = check_constants(earlier, op, operands)) return *error;
  return inferred;
}

bool infer_constant(std::span<const Node> earlier, const OpAttrs& op, std::span<const NodeId> operands) {
  if (std::holds_alternative<Weight>(op) || std::holds_alternative<Fill>(op)) return true;
  if (std::holds_alternative<Output>(op) || operands.empty()) return false;
  return std::all_of(operands.begin(), operands.end(),
                     [&](NodeId id) { return earlier[index(id)].is_constant; });
}

std::variant<NodeId, OpError> Graph::try_add(OpAttrs op, std::vector<NodeId> operands, std::string name,
                                             SourceLocation where) {
  assert(std::all_of(operands.begin(), operands.end(), [&](NodeId id) { return contains(id); }));
  bool boundary = is_boundary(op);
  if (boundary && name.empty()) return OpError{fmt::format("{} needs a name", op_info(op).name)};
  size_t key = value_key(op, operands, name);
  for (auto [entry, end] = values_.equal_range(key); entry != end; ++entry) {
    const Node& node = nodes_[index(entry->second)];
    if (boundary && node.op.index() == op.index() && node.name == name) {
      if (node.is<Weight>() && node.op == op) return entry->second;
      return OpError{name_clash(node, op)};
    }
    if (!boundary && node.op == op && node.operands == operands) return entry->second;
  }
  Inferred inferred = infer_node(nodes_, op, operands);
  if (OpError* error = std::get_if<OpError>(&inferred)) return std::move(*error);
  bool is_constant = infer_constant(nodes_, op, operands);
  NodeId id = NodeId(nodes_.size());
  nodes_.push_back({std::move(op), std::move(operands), std::get<TensorType>(inferred), std::move(name),
                    where, is_constant});
  values_.emplace(key, id);
  return id;
}

NodeId Graph::add(OpAttrs op, std::vector<NodeId> operands, std::string name, SourceLocation where) {
  std::string described = fmt::format("{} '{}'", op_info(op).name, name);
  auto added = try_add(std::move(op), std::move(operands), std::move(name), where);
  if (const OpError* error = std::get_if<OpError>(&added))
    internal_error(fmt::format("network {}: cannot add {}: {}", this->name, described, error->message));
  return std::get<NodeId>(added);
}

std::vector<NodeId> Graph::ids() const {
  return nodes_of_kind(nodes_, [](const Node&) { return true; });
}
std::vector<NodeId> Graph::inputs() const {
  return nodes_of_kind(nodes_, [](const Node& node) { return node.is<Input>(); });
}
std::vector<NodeId> Graph::outputs() const {
  return nodes_of_kind(nodes_, [](const Node& node) { return node.is<Output>(); });
}
std::vector<NodeId> Graph::weights() const {
  return nodes_of_kind(nodes_, [](const Node& node) { return node.is<Weight>(); });
}

std::vector<TensorType> Graph::operand_types(NodeId id) const {
  std::vector<TensorType> types;
  for (NodeId operand : (*this)[id].operands) types.push_back((*this)[operand].type);
  return types;
}

std::vector<uint32_t> Graph::use_counts() const {
  std::vector<uint32_t> counts(size());
  for (const Node& node : nodes_)
    for (NodeId operand : node.operands) ++counts[index(operand)];
  return counts;
}

double node_flops(const Graph& graph, NodeId id) {
  const Node& node = graph[id];
  return node.is_constant || is_boundary(node.op) ? 0 : flops(node.op, graph.operand_types(id), node.type);
}

int64_t node_bytes(const Graph& graph, NodeId id) {
  const Node& node = graph[id];
  if (node.is_constant || is_boundary(node.op)) return 0;
  auto bytes = [](const TensorType& type) { return type.shape.elements() * dtype_bytes(type.dtype); };
  int64_t total = bytes(node.type);
  for (const TensorType& type : graph.operand_types(id)) total += bytes(type);
  return total;
}

NodeId Rebuilder::copy(NodeId old_id) {
  const Node& node = old[old_id];
  return result.add(node.op, mapped_operands(old_id), node.name, node.where);
}

std::vector<NodeId> Rebuilder::mapped_operands(NodeId old_id) const {
  std::vector<NodeId> out;
  for (NodeId operand : old[old_id].operands) out.push_back(mapped(operand));
  return out;
}

std::vector<bool> live_nodes(const Graph& graph) {
  std::vector<bool> live(graph.size());
  for (size_t i = graph.size(); i-- > 0;) {
    const Node& node = graph[NodeId(i)];
    if (node.is<Input>() || node.is<Output>()) live[i] = true;
    if (!live[i]) continue;
    for (NodeId operand : node.operands) live[index(operand)] = true;
  }
  return live;
}

}  // namespace cardinal
