#include "passes/placement.h"

#include <algorithm>
#include <optional>

namespace cardinal {

namespace {

// Whether the elements of each image follow each other in this order.
bool is_dense(const View& view, FlattenOrder order) {
  const Shape& s = view.shape;
  const bool channels_last = order == FlattenOrder::hwc;
  return !view.padded && view.stride_block == kChannelBlock * view.stride_c &&
         view.stride_h == s.w() * view.stride_w && view.stride_w == (channels_last ? s.c() : 1) &&
         view.stride_c == (channels_last ? 1 : s.h() * s.w());
}

// The same elements under another shape, if strides can express it.
std::optional<View> reshaped(View view, const Shape& shape, FlattenOrder order) {
  const Shape from = view.shape;
  const bool dense = is_dense(view, order);
  view.shape = shape;
  if (from == shape || from.h() * from.w() == 1) return view;
  if (!dense) return std::nullopt;
  view.stride_c = 1;
  view.stride_block = kChannelBlock;
  view.stride_h = view.stride_w = shape.c();
  return view;
}

class Placer {
 public:
  Placer(const Graph& graph, const std::function<bool(NodeId, const View&)>& writes, const Format& format)
      : graph_(graph),
        writes_(writes),
        format_(format),
        live_(live_nodes(graph)),
        root_(graph.size()),
        readers_(graph.size()) {}

  Placement run() {
    placement_.values.resize(graph_.size());
    place_boundary();
    find_roots();
    place_concats();
    place_outputs();
    for (NodeId id : graph_.ids()) {
      if (!computed(id)) continue;
      if (root(id) != id)
        place_over_operand(id);
      else if (at(id).buffer < 0 && !place_in_operand(id))
        place_in_workspace(id);
    }
    return std::move(placement_);
  }

 private:
  Location& at(NodeId id) { return placement_.values[index(id)]; }
  NodeId root(NodeId id) const { return root_[index(id)]; }
  bool computed(NodeId id) const {
    const Node& node = graph_[id];
    return live_[index(id)] && !node.is_constant && !node.is<Input>() && !node.is<Output>();
  }

  void place_boundary() {
    const auto place = [&](NodeId id, Space space, int i, Layout layout) {
      const Shape& shape = graph_[id].type.shape;
      const DType dtype = graph_[id].type.dtype;
      placement_.buffers.push_back({space, i, floats_for(view_elements(shape, layout), dtype)});
      at(id) = {static_cast<int>(placement_.buffers.size()) - 1, make_view(space, i, 0, shape, layout)};
      at(id).view.dtype = dtype;
    };
    int i = 0;
    for (NodeId id : graph_.inputs()) place(id, Space::input, i++, graph_[id].as<Input>()->layout);
    i = 0;
    for (NodeId id : graph_.outputs()) place(id, Space::output, i++, graph_[id].as<Output>()->layout);
  }

  // A node that is a view of its operand has the operand's root.
  void find_roots() {
    for (NodeId id : graph_.ids()) {
      const Node& node = graph_[id];
      root_[index(id)] = id;
      if (!computed(id)) continue;
      const bool renames = node.is<Flatten>() || (node.is<Concat>() && node.operands.size() == 1);
      if (renames && is_view_of(node, root(node.operands[0]))) root_[index(id)] = root(node.operands[0]);
      if (root(id) != id) continue;
      for (NodeId operand : node.operands) readers_[index(root(operand))]++;
    }
    for (NodeId id : graph_.outputs()) readers_[index(root(graph_[id].operands[0]))]++;
  }

  static FlattenOrder flatten_order(const Node& node) {
    const Flatten* flatten = node.as<Flatten>();
    return flatten ? flatten->order : FlattenOrder::chw;
  }

  // Renaming moves nothing if the operand is one pixel, or if it is the caller's and in the order wanted.
  bool is_view_of(const Node& node, NodeId source) const {
    const Shape& shape = graph_[node.operands[0]].type.shape;
    if (shape.h() * shape.w() == 1) return true;
    const Input* input = graph_[source].as<Input>();
    return input && input->layout == (flatten_order(node) == FlattenOrder::hwc ? Layout::nhwc : Layout::nchw);
  }

  void place_over_operand(NodeId id) {
    const Node& node = graph_[id];
    const Location& operand = at(node.operands[0]);
    at(id) = {operand.buffer, *reshaped(operand.view, node.type.shape, flatten_order(node))};
  }

  void place_in_workspace(NodeId id) {
    const Shape& shape = graph_[id].type.shape;
    placement_.buffers.push_back({Space::workspace, 0, workspace_floats(shape, format_)});
    at(id) = {static_cast<int>(placement_.buffers.size()) - 1, workspace_view(shape, format_)};
  }

  // A range of channels that needs no copy.
  bool place_in_operand(NodeId id) {
    const Node& node = graph_[id];
    if (node.operands.empty()) return false;
    const Node& operand = graph_[node.operands[0]];
    const std::optional<Gathering> gathering = gathering_of(node.op, operand.type);
    const std::optional<int64_t> first =
        gathering ? range_start(*gathering, operand.type.shape, node.type.shape) : std::nullopt;
    if (!first) return false;
    const Location& whole = at(node.operands[0]);
    const std::optional<View> view = readable_range(whole.view, *first, node.type.shape);
    if (view) at(id) = {whole.buffer, *view};
    return view.has_value();
  }

  void place_concats() {
    std::vector<NodeId> concats;
    for (NodeId id : graph_.ids())
      if (computed(id) && root(id) == id && graph_[id].is<Concat>()) concats.push_back(id);
    std::stable_sort(concats.begin(), concats.end(), [&](NodeId a, NodeId b) {
      return graph_[a].type.shape.elements() > graph_[b].type.shape.elements();
    });
    for (NodeId id : concats) {
      if (at(id).buffer < 0 && !place_over_parts(id)) place_in_workspace(id);
      place_parts(id);
    }
  }

  // The concat is a view if its parts already lie one after the other in another concat's buffer.
  bool place_over_parts(NodeId id) {
    const std::vector<NodeId>& parts = graph_[id].operands;
    const Location first = at(root(parts[0]));
    if (first.buffer < 0 || placement_.buffers[static_cast<size_t>(first.buffer)].space != Space::workspace)
      return false;
    View whole = first.view;
    whole.shape = graph_[id].type.shape;
    int64_t channel = 0;
    for (NodeId part : parts) {
      const Location& here = at(root(part));
      if (channel % kChannelBlock != 0 || here.buffer != first.buffer ||
          here.view.offset != first.view.offset + channel / kChannelBlock * first.view.stride_block)
        return false;
      whole.padded = here.view.padded;
      channel += graph_[part].type.shape.c();
    }
    at(id) = {first.buffer, whole};
    return true;
  }

  void place_parts(NodeId id) {
    const Location whole = at(id);
    const std::vector<NodeId>& parts = graph_[id].operands;
    int64_t channel = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      const NodeId part = root(parts[i]);
      const Shape& shape = graph_[part].type.shape;
      const bool aligned =
          channel % kChannelBlock == 0 && (shape.c() % kChannelBlock == 0 || i + 1 == parts.size());
      if (aligned && computed(part) && at(part).buffer < 0)
        at(part) = {whole.buffer, channel_range(whole.view, channel, shape)};
      channel += shape.c();
    }
  }

  void place_outputs() {
    for (NodeId output : graph_.outputs()) {
      const NodeId source = root(graph_[output].operands[0]);
      if (!computed(source) || graph_[source].is<Concat>() || at(source).buffer >= 0) continue;
      if (readers_[index(source)] != 1) continue;
      const Location& caller = at(output);
      std::optional<View> view = source_view(caller.view, graph_[source].type.shape);
      if (view && writes_(source, *view)) at(source) = {caller.buffer, *view};
    }
  }

  // The output's view as its source sees it, which differs in shape if a flatten lies between them.
  static std::optional<View> source_view(View view, const Shape& shape) {
    if (view.shape != shape && shape.h() * shape.w() != 1) return std::nullopt;
    view.shape = shape;
    return view;
  }

  const Graph& graph_;
  const std::function<bool(NodeId, const View&)>& writes_;
  const Format& format_;
  std::vector<bool> live_;
  std::vector<NodeId> root_;
  std::vector<int> readers_;  // of a root: nodes that read it or a view of it
  Placement placement_;
};

}  // namespace

Placement place_values(const Graph& graph, const std::function<bool(NodeId, const View&)>& writes,
                       const Format& format) {
  return Placer(graph, writes, format).run();
}

View channel_range(const View& whole, int64_t first, const Shape& shape) {
  View part = whole;
  part.shape = shape;
  part.offset += first / kChannelBlock * whole.stride_block;
  part.first_channel = first % kChannelBlock;
  part.padded = whole.padded && first + shape.c() == whole.shape.c();
  return part;
}

std::optional<View> readable_range(const View& whole, int64_t first, const Shape& shape) {
  const bool even = whole.stride_block == kChannelBlock * whole.stride_c;
  const int64_t lane = first % kChannelBlock, end = first + shape.c();
  if (lane != 0 && !even) return std::nullopt;
  View part = whole;
  part.shape = shape;
  part.offset += first / kChannelBlock * whole.stride_block + lane * whole.stride_c;
  // Lanes beyond the range are those of its neighbours, or the whole's own.
  const bool has_lanes = round_up(end, kChannelBlock) <= whole.shape.c() || whole.padded;
  part.padded = lane == 0 && has_lanes;
  return part;
}

}  // namespace cardinal
