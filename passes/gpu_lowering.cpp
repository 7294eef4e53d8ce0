#include "passes/gpu_lowering.h"

#include <fmt/format.h>

#include <set>

#include "passes/conv_lowering.h"
#include "passes/gpu_conv_choice.h"

namespace cardinal {

namespace {

StepOverride override_of(const PlanOptions& options, const std::string& name) {
  const auto wanted = options.overrides.find(name);
  return wanted == options.overrides.end() ? StepOverride{} : wanted->second;
}

}  // namespace

Diagnostics check_gpu_overrides(const Graph& graph, const std::vector<bool>& live,
                                const PlanOptions& options) {
  Diagnostics errors;
  std::set<std::string> names;
  for (NodeId id : graph.ids())
    if (live[index(id)] && is_conv(graph[id]) && !graph[id].is_constant) names.insert(step_name(graph, id));
  for (const auto& [name, wanted] : options.overrides) {
    if (!names.contains(name))
      errors.error(wanted.where, fmt::format("no convolution or linear layer is called '{}'", name));
    else if (!wanted.gpu_algorithm)
      errors.error(
          wanted.where,
          fmt::format("{}: on a GPU only algorithm=mma, wgmma, patch, depthwise or simt can be set", name));
  }
  return errors;
}

Status lower_gpu_conv(Lowering& to, NodeId id, const PlanOptions& options) {
  const Node& n = to.node(id);
  const std::string name = step_name(to.graph(), id);
  const auto image = [&](View view) { return n.is<Linear>() ? as_image(view) : view; };
  const StepOverride wanted = override_of(options, name);
  const GpuConvProblem problem{shape_of_conv(to.graph(), id),
                               image(to.at(n.operands[0]).view),
                               to.format().dtype,
                               *epilogue_of(n.op),
                               wanted.gpu_algorithm,
                               wanted.gpu_tile,
                               options.use_wgmma};
  const std::vector<GpuConvChoice> choices = gpu_conv_choices(problem, *to.target().gpu);
  if (choices.empty())
    return Diagnostics(
        fmt::format("{}: the target, the shape or the precision allows no {}{}", name,
                    to_string(*wanted.gpu_algorithm), wanted.gpu_tile ? " with this tile" : ""),
        wanted.where);
  GpuConvKernel kernel = choices[0].kernel;
  kernel.has_bias = has_bias(n);
  const bool split = kernel.split_k > 1;
  DraftStep draft = to.new_step(id, kernel);
  Lowering::read(draft, choices[0].copies_input ? to.blocked(n.operands[0]) : to.at(n.operands[0]));
  draft.step.weights.push_back({n.operands[1], Packing::gpu_conv});
  for (const GpuConvChoice& choice : choices) draft.step.candidates.push_back(choice.candidate);
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
