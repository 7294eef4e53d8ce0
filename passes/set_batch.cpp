#include "passes/set_batch.h"

#include <fmt/format.h>

namespace cardinal {

Result<Graph> set_batch(const Graph& graph, int64_t images) {
  Graph result;
  result.name = graph.name;
  result.source = graph.source;
  std::vector<NodeId> map(graph.size());
  const std::vector<bool> live = live_nodes(graph);
  for (NodeId id : graph.ids()) {
    if (!live[index(id)]) continue;
    const Node& node = graph[id];
    OpAttrs op = node.op;
    if (Input* input = std::get_if<Input>(&op)) {
      if (input->shape[0] != 1)
        return Diagnostics(
            fmt::format("input {} is of {} images; a batch can be set only for networks of one", node.name,
                        input->shape[0]));
      input->shape[0] = images;
      input->open_batch = false;
    }
    if (Output* output = std::get_if<Output>(&op)) output->open_batch = false;
    std::vector<NodeId> operands;
    for (NodeId operand : node.operands) operands.push_back(map[index(operand)]);
    auto added = result.try_add(std::move(op), std::move(operands), node.name, node.where);
    if (const auto* error = std::get_if<OpError>(&added))
      return Diagnostics(fmt::format("{} in a batch of {}: {}", node.name, images, error->message));
    map[index(id)] = std::get<NodeId>(added);
  }
  return result;
}

}  // namespace cardinal
