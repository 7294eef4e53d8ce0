#include "passes/gpu_lowering.h"

#include <fmt/format.h>

#include "ir/window.h"
#include "passes/conv_lowering.h"
#include "passes/gpu_pair_choice.h"

namespace cardinal {

GpuConvs::GpuConvs(const Graph& graph, const std::vector<bool>& live, const PlanOptions& options)
    : graph_(graph), options_(options) {
  for (NodeId id : graph.ids())
    if (live[index(id)] && is_conv(graph[id]) && !graph[id].is_constant) layers_.push_back(id);
  for (NodeId id : layers_)
    if (reads_pixel_by_pixel(id) && second_of_.emplace(graph[id].operands[0], id).second)
      first_of_[id] = graph[id].operands[0];
}

// Whether the layer may be the second of a pair: its step can then take the place of the first's, whatever is
// between them.
bool GpuConvs::reads_pixel_by_pixel(NodeId id) const {
  const Conv* conv = graph_[id].as<Conv>();
  const NodeId x = graph_[id].operands[0];
  if (!conv || !graph_[x].is<Conv>() || graph_[x].is_constant) return false;
  const Shape& shape = graph_[x].type.shape;
  return conv->kernel == Pair{1, 1} && conv->stride == Pair{1, 1} && conv->groups == 1 &&
         resolve_padding(window_of(*conv), shape.h(), shape.w()) == Padding{} &&
         epilogue_operands(*epilogue_of(graph_[id].op)) == 0;
}

const StepOverride* GpuConvs::wanted(NodeId id) const {
  const auto found = options_.overrides.find(step_name(graph_, id));
  return found == options_.overrides.end() ? nullptr : &found->second;
}

bool GpuConvs::sets_algorithm(NodeId id) const {
  const StepOverride* set = wanted(id);
  return set && set->gpu_algorithm;
}

Diagnostics GpuConvs::check_overrides() const {
  Diagnostics errors;
  std::map<std::string, NodeId> names;
  for (NodeId id : layers_) names.emplace(step_name(graph_, id), id);
  for (const auto& [name, wanted] : options_.overrides) {
    const auto layer = names.find(name);
    if (layer == names.end())
      errors.error(wanted.where, fmt::format("no convolution or linear layer is called '{}'", name));
    else if (!wanted.gpu_algorithm && !wanted.paired)
      errors.error(
          wanted.where,
          fmt::format("{}: on a GPU only algorithm=mma, wgmma, patch, depthwise or simt, with mma or wgmma a "
                      "tile, and paired=on or off can be set",
                      name));
    else if (wanted.gpu_tile && !wanted.gpu_algorithm)
      errors.error(wanted.where, fmt::format("{}: a tile needs algorithm=mma or wgmma", name));
    else if (wanted.paired.value_or(false) && !first_of_.contains(layer->second))
      errors.error(wanted.where,
                   fmt::format("{}: paired=on is for a convolution of 1x1 pixels, stride 1, one group and no "
                               "operands but a convolution's result, the first to read it",
                               name));
    else if (wanted.paired.value_or(false) &&
             (wanted.gpu_algorithm || sets_algorithm(first_of_.at(layer->second))))
      errors.error(wanted.where,
                   fmt::format("{}: paired=on leaves no choice of an algorithm for it, nor for {}", name,
                               step_name(graph_, first_of_.at(layer->second))));
  }
  return errors;
}

GpuConvProblem GpuConvs::problem(const Lowering& to, NodeId id) const {
  const Node& n = graph_[id];
  const View& x = to.at(n.operands[0]).view;
  GpuConvProblem problem{shape_of_conv(graph_, id), n.is<Linear>() ? as_image(x) : x, to.format().dtype,
                         *epilogue_of(n.op), std::nullopt};
  if (const StepOverride* set = wanted(id)) {
    problem.wanted = set->gpu_algorithm;
    problem.wanted_tile = set->gpu_tile;
  }
  problem.tf32 = options_.tf32;
  problem.use_wgmma = options_.use_wgmma;
  return problem;
}

Result<bool> GpuConvs::lower_pair(Lowering& to, NodeId first, NodeId second,
                                  const std::vector<GpuConvChoice>& apart, std::string& remark) {
  const StepOverride* of_second = wanted(second);
  const bool forced = of_second && of_second->paired.value_or(false);
  const bool other = sets_algorithm(first) || sets_algorithm(second);
  const bool forbidden = of_second && of_second->paired && !*of_second->paired;
  const bool allowed = options_.conv_pairs && !options_.use_wgmma;
  if (!forced && (other || forbidden || !allowed)) return false;
  const GpuFacts& gpu = *to.target().gpu;
  const GpuConvProblem a = problem(to, first), b = problem(to, second);
  const std::vector<GpuPairChoice> choices = gpu_pair_choices(a, b, gpu);
  const std::string name = step_name(graph_, second);
  if (choices.empty() && forced)
    return Diagnostics(fmt::format("{}: paired=on is not possible: it needs values of 16 bits, an ungrouped "
                                   "convolution before it, and few enough channels for a thread block",
                                   name),
                       of_second->where);
  if (choices.empty()) return false;
  GpuConvProblem b_alone = b;
  b_alone.x = to.at(first).view;
  const Candidate &one = apart[0].candidate, two = gpu_conv_choices(b_alone, gpu)[0].candidate;
  const Candidate& both = choices[0].candidate;
  const double apart_us = one.microseconds + two.microseconds;
  if (!forced && both.microseconds >= apart_us) {
    remark = fmt::format("with {} in one kernel {:.1f} us ({}), apart {:.1f} us", name, both.microseconds,
                         both.text, apart_us);
    return false;
  }

  GpuConvPairKernel kernel = choices[0].kernel;
  kernel.first.has_bias = has_bias(graph_[first]);
  kernel.second.has_bias = has_bias(graph_[second]);
  DraftStep draft = to.new_step(first, kernel);
  draft.step.name += "+" + name;
  draft.step.flops += node_flops(graph_, second);
  draft.step.second_output = to.at(second).view;
  draft.second_output_buffer = to.at(second).buffer;
  draft.step.remark = fmt::format("apart {:.1f} us: {}, then {}", apart_us, one.text, two.text);
  for (const GpuPairChoice& choice : choices) draft.step.candidates.push_back(choice.candidate);
  Lowering::read(draft, to.at(graph_[first].operands[0]));
  to.read_epilogue(draft, first, kernel.first.epilogue);
  for (NodeId id : {first, second}) {
    const bool of_second_conv = id == second;
    const auto add = [&](size_t operand, Packing packing) {
      PackedWeight& weight = draft.step.weights.emplace_back(graph_[id].operands[operand], packing);
      weight.second = of_second_conv;
    };
    add(1, Packing::gpu_conv);
    if (has_bias(graph_[id])) add(2, Packing::channel_vector);
  }
  to.finish_step(std::move(draft));
  done_.insert(second);
  return true;
}

Status GpuConvs::lower(Lowering& to, NodeId id) {
  if (done_.contains(id)) return ok();
  const Node& n = graph_[id];
  const std::vector<GpuConvChoice> choices = gpu_conv_choices(problem(to, id), *to.target().gpu);
  if (choices.empty()) {
    const StepOverride& set = *wanted(id);
    return Diagnostics(
        fmt::format("{}: the target, the shape or the precision allows no {}{}", step_name(graph_, id),
                    to_string(*set.gpu_algorithm), set.gpu_tile ? " with this tile" : ""),
        set.where);
  }
  std::string remark;
  if (const auto second = second_of_.find(id); second != second_of_.end()) {
    const Result<bool> paired = lower_pair(to, id, second->second, choices, remark);
    if (!paired) return paired.error();
    if (*paired) return ok();
  }
  const auto image = [&](View view) { return n.is<Linear>() ? as_image(view) : view; };
  GpuConvKernel kernel = choices[0].kernel;
  kernel.has_bias = has_bias(n);
  const bool split = kernel.split_k > 1;
  DraftStep draft = to.new_step(id, kernel);
  Lowering::read(draft, choices[0].copies_input ? to.blocked(n.operands[0]) : to.at(n.operands[0]));
  draft.step.weights.push_back({n.operands[1], Packing::gpu_conv});
  for (const GpuConvChoice& choice : choices) draft.step.candidates.push_back(choice.candidate);
  draft.step.remark = remark;
  if (split) {
    const Location parts = to.new_value(split_view(kernel));
    std::get<GpuConvKernel>(draft.step.kernel).has_bias = false;
    std::get<GpuConvKernel>(draft.step.kernel).epilogue = {};
    for (View& view : draft.step.inputs) view = image(view);
    Lowering::write_intermediate(draft, parts, ".parts");
    to.finish_step(std::move(draft));
    draft = to.new_step(id, SplitSumKernel{kernel.split_k, kernel.has_bias, kernel.epilogue});
    draft.step.flops = 0;
    Lowering::read(draft, parts);
  }
  to.read_epilogue(draft, id, kernel.epilogue);
  if (kernel.has_bias) draft.step.weights.push_back({n.operands[2], Packing::channel_vector});
  for (size_t i = split ? 1 : 0; i < draft.step.inputs.size(); ++i)
    draft.step.inputs[i] = image(draft.step.inputs[i]);
  draft.step.output = image(draft.step.output);
  to.finish_step(std::move(draft));
  return ok();
}

}  // namespace cardinal
