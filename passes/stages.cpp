#include "passes/stages.h"

#include <fmt/format.h>

#include <algorithm>

#include "passes/kernel_choice.h"

namespace cardinal {

namespace {

// The number of images, if every value is of that many and their number can be changed; else 1.
int64_t batch_of(const Graph& graph, const std::vector<bool>& live) {
  int64_t images = 0;
  for (NodeId id : graph.ids()) {
    const Node& node = graph[id];
    if (!live[index(id)] || node.is_constant) continue;
    const int64_t n = node.type.shape[0];
    if (images != 0 && n != images) return 1;
    images = n;
  }
  return std::max<int64_t>(images, 1);
}

int64_t value_bytes(const Node& node) { return 4 * node.type.shape.elements(); }

// Bytes of the weights that a node reads.
int64_t kernel_bytes(const Graph& graph, NodeId id) {
  int64_t bytes = 0;
  for (NodeId operand : graph[id].operands)
    if (graph[operand].is_constant) bytes += value_bytes(graph[operand]);
  return bytes;
}

// Bytes that a node reads and writes of values, for all images; 0 if they stay in the L2 cache, or are not
// moved.
int64_t traffic(const Graph& graph, NodeId id, int64_t l2_bytes) {
  const Node& node = graph[id];
  if (node.is<Input>() || node.is<Flatten>() || node.is<Output>()) return 0;
  int64_t bytes = value_bytes(node);
  for (NodeId operand : node.operands)
    if (!graph[operand].is_constant) bytes += value_bytes(graph[operand]);
  // What is written is fetched into the cache first.
  return bytes > l2_bytes ? bytes + value_bytes(node) : 0;
}

// The first node of the second stage; 0 if that is all of the network. As few bytes as can be pass the caches
// then: in the first stage weights, again for every image, in the second the values.
size_t best_cut(const Graph& graph, const std::vector<bool>& live, int64_t images, int64_t l2_bytes) {
  int64_t bytes = 0, least = 0;  // beside those that pass with a single stage
  size_t best = 0;
  for (NodeId id : graph.ids()) {
    if (!live[index(id)] || graph[id].is_constant) continue;
    bytes += (images - 1) * kernel_bytes(graph, id) - traffic(graph, id, l2_bytes);
    if (bytes < least) least = bytes, best = index(id) + 1;
  }
  return best;
}

// Copies nodes into a stage.
class StageBuilder {
 public:
  StageBuilder(const Graph& graph, int64_t images) : graph_(graph), images_(images), map_(graph.size()) {
    stage_.graph.name = graph.name;
    stage_.graph.source = graph.source;
  }

  bool has(NodeId id) const { return map_[index(id)].has_value(); }

  // False if the node cannot be computed for that many images.
  bool copy(NodeId id) {
    const Node& node = graph_[id];
    OpAttrs op = node.op;
    if (Input* input = std::get_if<Input>(&op)) {
      input->shape[0] = images_;
      stage_.inputs.push_back({false, inputs_seen_++});
    }
    if (node.is<Output>()) stage_.outputs.push_back({false, number_of(id)});
    std::vector<NodeId> operands;
    for (NodeId operand : node.operands) operands.push_back(*map_[index(operand)]);
    const bool named = node.is_constant || node.is<Input>() || node.is<Output>();
    return add(id, std::move(op), std::move(operands), named ? node.name : step_name(graph_, id));
  }

  void skip_input() { ++inputs_seen_; }

  bool read_boundary(NodeId id, int number) {
    const TensorType& type = graph_[id].type;
    stage_.inputs.push_back({true, number});
    Shape shape = type.shape;
    shape[0] = images_;
    return add(id, Input{type.dtype, shape, boundary_layout(shape)}, {}, boundary_name(number));
  }

  bool write_boundary(NodeId id, int number) {
    stage_.outputs.push_back({true, number});
    return add(id, Output{boundary_layout(graph_[id].type.shape)}, {*map_[index(id)]}, boundary_name(number));
  }

  StageGraph take() { return std::move(stage_); }

  static Layout boundary_layout(const Shape& shape) {
    return shape.rank() == 4 ? Layout::nchw16c : Layout::nchw;
  }

 private:
  static std::string boundary_name(int number) { return fmt::format("boundary {}", number); }

  int number_of(NodeId output) const {
    const std::vector<NodeId> outputs = graph_.outputs();
    return static_cast<int>(std::find(outputs.begin(), outputs.end(), output) - outputs.begin());
  }

  bool add(NodeId original, OpAttrs op, std::vector<NodeId> operands, std::string name) {
    const bool output = std::holds_alternative<Output>(op);
    auto added =
        stage_.graph.try_add(std::move(op), std::move(operands), std::move(name), graph_[original].where);
    const NodeId* id = std::get_if<NodeId>(&added);
    if (!id) return false;
    stage_.originals.resize(stage_.graph.size(), original);
    if (!output) map_[index(original)] = *id;
    return true;
  }

  const Graph& graph_;
  const int64_t images_;
  std::vector<std::optional<NodeId>> map_;
  int inputs_seen_ = 0;
  StageGraph stage_;
};

// Nodes of the first stage that the second one reads.
std::vector<NodeId> crossing(const Graph& graph, const std::vector<bool>& live, size_t cut) {
  std::vector<NodeId> values;
  for (NodeId id : graph.ids()) {
    if (!live[index(id)] || index(id) < cut) continue;
    for (NodeId operand : graph[id].operands) {
      const Node& node = graph[operand];
      if (index(operand) >= cut || node.is_constant || node.is<Input>()) continue;
      if (std::find(values.begin(), values.end(), operand) == values.end()) values.push_back(operand);
    }
  }
  return values;
}

}  // namespace

std::optional<Stages> split_in_stages(const Graph& graph, const std::vector<bool>& live,
                                      const Target& target) {
  const int64_t images = batch_of(graph, live);
  if (images == 1) return std::nullopt;
  const size_t cut = best_cut(graph, live, images, target.l2_bytes);
  if (cut == 0) return std::nullopt;
  Stages stages{.images = images, .boundary = crossing(graph, live, cut)};
  StageBuilder image(graph, 1), rest(graph, images);
  // What the second stage needs of the network's inputs and constants.
  std::vector<bool> needed(graph.size());
  for (size_t i = graph.size(); i-- > 0;) {
    const NodeId id{static_cast<uint32_t>(i)};
    if (!live[i] || !(i >= cut || needed[i])) continue;
    for (NodeId operand : graph[id].operands)
      if (graph[operand].is_constant || graph[operand].is<Input>()) needed[index(operand)] = true;
  }
  bool possible = true;
  for (size_t k = 0; k < stages.boundary.size(); ++k)
    possible = possible && rest.read_boundary(stages.boundary[k], static_cast<int>(k));
  for (NodeId id : graph.ids()) {
    if (!live[index(id)]) continue;
    const Node& node = graph[id];
    const bool source = node.is_constant || node.is<Input>();
    if (source || index(id) < cut) possible = possible && image.copy(id);
    if (source ? needed[index(id)] : index(id) >= cut)
      possible = possible && rest.copy(id);
    else if (node.is<Input>())
      rest.skip_input();
  }
  if (!possible) return std::nullopt;
  for (size_t k = 0; k < stages.boundary.size(); ++k)
    if (!image.write_boundary(stages.boundary[k], static_cast<int>(k))) return std::nullopt;
  stages.image = image.take();
  stages.rest = rest.take();
  return stages;
}

namespace {

class Joiner {
 public:
  Joiner(const Graph& graph, const Stages& stages) : graph_(graph), stages_(stages) {}

  Plan join(Plan image, Plan rest) {
    Plan plan;
    plan.workspace_floats = std::max(image.workspace_floats, rest.workspace_floats);
    plan.workspace_floats = ceil_div(plan.workspace_floats, kPageFloats) * kPageFloats;
    for (NodeId id : stages_.boundary) {
      View view = whole(Space::workspace, 0, id, StageBuilder::boundary_layout(graph_[id].type.shape));
      view.offset = plan.workspace_floats;
      plan.workspace_floats += ceil_div(stages_.images * view.stride_n, kPageFloats) * kPageFloats;
      boundary_.push_back(view);
    }
    plan.views.resize(graph_.size());
    take_views(plan, stages_.rest, rest, false);
    take_views(plan, stages_.image, image, true);
    take_steps(plan, stages_.image, std::move(image), true);
    take_steps(plan, stages_.rest, std::move(rest), false);
    int number = 0;
    for (NodeId id : graph_.inputs())
      plan.views[index(id)] = whole(Space::input, number++, id, graph_[id].as<Input>()->layout);
    number = 0;
    for (NodeId id : graph_.outputs())
      plan.views[index(id)] = whole(Space::output, number++, id, graph_[id].as<Output>()->layout);
    return plan;
  }

 private:
  static constexpr int64_t kPageFloats = 1024;

  View whole(Space space, int number, NodeId id, Layout layout) const {
    return make_view(space, number, 0, graph_[id].type.shape, layout);
  }

  // A view of a stage's plan in that of the network.
  void place(View& view, const StageGraph& stage, bool by_image) const {
    if (view.space == Space::workspace) return;
    const bool input = view.space == Space::input;
    const StageGraph::Port port = (input ? stage.inputs : stage.outputs)[static_cast<size_t>(view.index)];
    if (port.crosses) {
      const View& value = boundary_[static_cast<size_t>(port.number)];
      view.space = Space::workspace;
      view.index = 0;
      view.offset += value.offset;
      if (by_image) view.stride_image = value.stride_n;
      return;
    }
    view.index = port.number;
    if (!by_image) return;
    const NodeId id = (input ? graph_.inputs() : graph_.outputs())[static_cast<size_t>(port.number)];
    const Layout layout = input ? graph_[id].as<Input>()->layout : graph_[id].as<Output>()->layout;
    view.stride_image = whole(view.space, port.number, id, layout).stride_n;
  }

  void take_steps(Plan& plan, const StageGraph& stage, Plan part, bool by_image) const {
    for (Step& step : part.steps) {
      step.node = stage.originals[index(step.node)];
      if (by_image) step.repeats = stages_.images;
      for (View& view : step.inputs) place(view, stage, by_image);
      place(step.output, stage, by_image);
      for (PackedWeight& weight : step.weights) weight.constant = stage.originals[index(weight.constant)];
      plan.steps.push_back(std::move(step));
    }
  }

  void take_views(Plan& plan, const StageGraph& stage, const Plan& part, bool by_image) const {
    for (size_t i = 0; i < part.views.size(); ++i) {
      View view = part.views[i];
      if (view.shape.rank() == 0) continue;
      place(view, stage, by_image);
      plan.views[index(stage.originals[i])] = view;
    }
  }

  const Graph& graph_;
  const Stages& stages_;
  std::vector<View> boundary_;
};

}  // namespace

Plan join_stages(const Graph& graph, const Stages& stages, Plan image, Plan rest) {
  return Joiner(graph, stages).join(std::move(image), std::move(rest));
}

}  // namespace cardinal
