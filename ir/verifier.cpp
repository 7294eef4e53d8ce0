#include "ir/verifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace cardinal {

namespace {

std::string describe(const Node& node, size_t position) {
  return fmt::format("node {} ({}{}{})", position, op_info(node.op).name, node.name.empty() ? "" : " ",
                     node.name);
}

// Type and constancy against what the rules infer; only for operands that precede the node.
std::string check_inferred(std::span<const Node> earlier, const Node& node) {
  Inferred inferred = infer_node(earlier, node.op, node.operands);
  if (const OpError* error = std::get_if<OpError>(&inferred)) return error->message;
  const TensorType& type = std::get<TensorType>(inferred);
  if (type != node.type)
    return fmt::format("its type is {} but the shape rule infers {}", to_string(node.type), to_string(type));
  bool is_constant = infer_constant(earlier, node.op, node.operands);
  if (is_constant != node.is_constant)
    return fmt::format("it is marked {} but is {}", node.is_constant ? "constant" : "not constant",
                       is_constant ? "constant" : "not constant");
  return {};
}

std::string check_node(std::span<const Node> nodes, size_t position) {
  for (NodeId operand : nodes[position].operands)
    if (index(operand) >= position) return fmt::format("operand {} does not precede it", index(operand));
  return check_inferred(nodes.first(position), nodes[position]);
}

bool leaves_batch_open(const Node& node) {
  const auto* input = node.as<Input>();
  return input && input->open_batch;
}

// Of the node of a network whose batch is open or not.
std::string check_batch(const Node& node, bool is_open) {
  if (const auto* output = node.as<Output>(); output && output->open_batch != is_open)
    return is_open ? "an input leaves the batch open, so open_batch must be true"
                   : "open_batch is true, but no input leaves the batch open";
  if (node.is<Input>() && is_open && node.type.shape[0] != 1)
    return fmt::format("its batch must be 1 where an input leaves the batch open, not {}",
                       node.type.shape[0]);
  return {};
}

}  // namespace

Diagnostics verify(std::span<const Node> nodes) {
  Diagnostics problems;
  std::set<std::pair<size_t, std::string_view>> names;  // (kind of op, name)
  const bool is_open = std::any_of(nodes.begin(), nodes.end(), leaves_batch_open);
  for (size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    if (std::string problem = check_node(nodes, i); !problem.empty())
      problems.error(node.where, fmt::format("{}: {}", describe(node, i), problem));
    if (!node.is<Input>() && !node.is<Weight>() && !node.is<Output>()) continue;
    if (std::string problem = check_batch(node, is_open); !problem.empty())
      problems.error(node.where, fmt::format("{}: {}", describe(node, i), problem));
    if (node.name.empty()) problems.error(node.where, fmt::format("{}: it needs a name", describe(node, i)));
    if (!names.insert({node.op.index(), node.name}).second)
      problems.error(node.where, fmt::format("{}: its name is taken", describe(node, i)));
  }
  if (std::none_of(nodes.begin(), nodes.end(), [](const Node& node) { return node.is<Output>(); }))
    problems.error({}, "the network has no output");
  return problems;
}

Diagnostics verify(const Graph& graph) { return verify(graph.nodes()); }

}  // namespace cardinal
