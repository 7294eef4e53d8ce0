#include "passes/lowering.h"

#include <algorithm>

#include "passes/cost_model.h"
#include "passes/kernel_choice.h"
#include "passes/plan_checks.h"
#include "passes/strips.h"

namespace cardinal {

namespace {

// Kernels of a GPU read any view.
bool suits(const Target& target, const View& view, Access access) {
  if (target.gpu) return true;
  const bool whole = view.padded || view.shape.c() % kChannelBlock == 0;
  return access == Access::any || (view.vector_channels() && (access == Access::vector_channels || whole));
}

}  // namespace

Lowering::Lowering(const Graph& graph, const Target& target, const Format& format, Placement placement)
    : graph_(graph),
      target_(target),
      format_(format),
      placement_(std::move(placement)),
      blocked_(graph.size()),
      averaged_(graph.size()),
      row_sums_(graph.size()) {
  const std::vector<bool> live = live_nodes(graph);
  for (NodeId id : graph.ids())
    if (live[index(id)] && graph[id].is<GlobalAvgPool>()) averaged_[index(graph[id].operands[0])] = true;
}

DraftStep Lowering::new_step(NodeId id, Kernel kernel) const {
  DraftStep draft;
  draft.step.node = id;
  draft.step.name = step_name(graph_, id);
  draft.step.kernel = std::move(kernel);
  draft.step.output = at(id).view;
  draft.step.flops = node_flops(graph_, id);
  draft.step.bytes = node_bytes(graph_, id);
  draft.output_buffer = at(id).buffer;
  return draft;
}

void Lowering::finish_step(DraftStep draft) {
  if (draft.step.predicted_us == 0) draft.step.predicted_us = traffic_microseconds(draft.step.bytes, target_);
  if (!target_.gpu) {
    draft.step.strip = choose_strip(draft.step, target_);
    draft.step.grain = choose_grain(draft.step);
  }
  drafts_.push_back(std::move(draft));
}

Location Lowering::readable(NodeId id, Access access) {
  return suits(target_, at(id).view, access) ? at(id) : blocked(id);
}

Location Lowering::blocked(NodeId id) {
  Location& copy = blocked_[index(id)];
  if (copy.buffer < 0) {
    const Shape& shape = node(id).type.shape;
    copy = new_value(workspace_view(shape, format_));
    reorder(at(id), copy, id, step_name(graph_, id) + ".blocked");
  }
  return copy;
}

Location Lowering::new_value(const View& view) {
  placement_.buffers.push_back({Space::workspace, 0, floats_for(view.shape.n() * view.stride_n, view.dtype)});
  return {static_cast<int>(placement_.buffers.size()) - 1, view};
}

void Lowering::place_row_sums(NodeId id) {
  const Shape& shape = node(id).type.shape;
  row_sums_[index(id)] = new_value(workspace_view({shape.n(), shape.c(), shape.h(), 1}, format_));
}

void Lowering::use_scratch(DraftStep& draft, const View& view) {
  if (!scratch_) scratch_ = new_value(view).buffer;
  Buffer& buffer = placement_.buffers[static_cast<size_t>(*scratch_)];
  buffer.floats = std::max(buffer.floats, view.shape.n() * view.stride_n);
  draft.step.scratch = view;
  draft.scratch_buffer = *scratch_;
}

void Lowering::read(DraftStep& draft, NodeId id, Access access) { read(draft, readable(id, access)); }

void Lowering::read(DraftStep& draft, const Location& source) {
  draft.step.inputs.push_back(source.view);
  draft.input_buffers.push_back(source.buffer);
}

void Lowering::write_intermediate(DraftStep& draft, const Location& target, std::string_view suffix) {
  draft.step.name += suffix;
  draft.step.intermediate = true;
  draft.step.output = target.view;
  draft.output_buffer = target.buffer;
}

void Lowering::read_epilogue(DraftStep& draft, NodeId id, const Epilogue& epilogue) {
  const std::vector<NodeId>& operands = node(id).operands;
  for (size_t i = operands.size() - static_cast<size_t>(epilogue_operands(epilogue)); i < operands.size();
       ++i)
    read_broadcast(draft, operands[i], node(id).type.shape);
}

void Lowering::read_broadcast(DraftStep& draft, NodeId id, const Shape& result) {
  const Shape& shape = node(id).type.shape;
  const bool one_channel = shape.c() == 1 && result.c() != 1;
  read(draft, id, one_channel ? Access::any : Access::vector_channels);
  if (shape == result) return;
  View& view = draft.step.inputs.back();
  if (shape.n() == 1) view.stride_n = 0;
  if (one_channel) view.stride_block = view.stride_c = 0;
  if (shape.h() == 1) view.stride_h = 0;
  if (shape.w() == 1) view.stride_w = 0;
}

void Lowering::read_channel_constants(DraftStep& draft, NodeId id) const {
  const WeightOperands weights = weight_operands(node(id));
  for (size_t i = weights.begin; i < weights.end; ++i)
    draft.step.weights.push_back({node(id).operands[i], Packing::channel_vector});
}

void Lowering::reorder(const Location& source, const Location& target, NodeId produces, std::string name) {
  DraftStep draft = new_step(produces, ReorderKernel{});
  const View& from = source.view;
  ReorderKernel kernel;
  const int64_t lanes_end = target.view.first_channel + target.view.shape.c();
  if (target.view.padded) kernel.zero_lanes = round_up(lanes_end, kChannelBlock) - lanes_end;
  const Flatten* flatten = node(produces).as<Flatten>();
  if (flatten && from.shape.rank() == 4) kernel.flatten = flatten->order;
  draft.step.kernel = kernel;
  draft.step.name = std::move(name);
  draft.step.inputs = {from};
  draft.input_buffers = {source.buffer};
  draft.step.output = target.view;
  draft.output_buffer = target.buffer;
  draft.step.units = from.shape.c() * from.shape.n();
  draft.step.flops = 0;
  draft.step.bytes = 2 * from.shape.elements() * 4;
  finish_step(std::move(draft));
}

void Lowering::copy_unless_there(const Location& source, const Location& target, NodeId produces,
                                 std::string name) {
  if (source.buffer != target.buffer || source.view.offset != target.view.offset ||
      target.view.first_channel != 0)
    reorder(source, target, produces, std::move(name));
}

}  // namespace cardinal
