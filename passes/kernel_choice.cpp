#include "passes/kernel_choice.h"

#include <fmt/format.h>

#include <algorithm>

#include "passes/rounding.h"
#include "passes/tiling.h"
#include "passes/winograd.h"

namespace cardinal {

namespace {

std::string describe(const ConvChoice& c) {
  if (c.algorithm == ConvAlgorithm::lanes) return fmt::format("lanes {}", c.pixels);
  if (winograd_outputs(c.algorithm))
    return fmt::format("{} {}x{}", to_string(c.algorithm), c.pixels, c.panel);
  return fmt::format("direct {}x{} unroll {}", c.pixels, c.panel, c.k_unroll);
}

// Bytes of the weights of all convolutions and linear layers, as if Winograd's F(4x4) were chosen wherever it
// may be.
int64_t network_weights(const Graph& graph, const std::vector<bool>& live, bool winograd) {
  int64_t bytes = 0;
  for (NodeId id : graph.ids()) {
    if (!live[index(id)] || !is_conv(graph[id]) || graph[id].is_constant) continue;
    const ConvShape shape = shape_of_conv(graph, id);
    bytes += winograd && winograd_possible(shape) ? winograd_weight_bytes(shape, 4)
                                                  : 4 * graph[graph[id].operands[1]].type.shape.elements();
  }
  return bytes;
}

// Whose predicted times choose the algorithms of every target: the cost model was fitted on a Zen 4, and what
// is fast there is nearly as fast as the best elsewhere (predicted for others, most often equal, at worst
// 3%).
Target reference_cpu() {
  Target target;
  target.cpu = "znver4";
  target.vector_lanes = 16;
  target.vector_registers = 32;
  target.fma_per_cycle = target.loads_per_cycle = 1;
  target.ghz = 3.7;
  return target;
}

// The same convolution of one image.
ConvProblem one_image(ConvProblem problem, bool linear) {
  ConvShape& s = problem.shape;
  s.n = 1;
  if (linear) s.iw = s.ow = 1;
  return problem;
}

std::vector<ConvChoice> choices(const ConvProblem& problem, const Target& target, const StepOverride& wanted,
                                bool winograd) {
  std::vector<ConvChoice> all = conv_choices(problem, target, wanted);
  if (winograd || wanted.algorithm)
    for (const ConvChoice& choice : winograd_choices(problem, target, wanted)) all.push_back(choice);
  std::stable_sort(all.begin(), all.end(),
                   [](const ConvChoice& a, const ConvChoice& b) { return a.microseconds < b.microseconds; });
  return all;
}

// Puts the best choice with the algorithm that every target and every batch size has before the others. Of
// what a result's bits could depend on, nothing else is chosen: tiles, panels and bands leave the order of
// its sum as it is.
void agree_on_algorithm(std::vector<ConvChoice>& all, const ConvProblem& one_image,
                        const StepOverride& wanted, bool winograd) {
  StepOverride algorithm;
  algorithm.algorithm = wanted.algorithm;
  const std::vector<ConvChoice> common = choices(one_image, reference_cpu(), algorithm, winograd);
  if (common.empty()) return;
  const auto best = std::find_if(
      all.begin(), all.end(), [&](const ConvChoice& c) { return c.algorithm == common.front().algorithm; });
  if (best != all.end()) std::rotate(all.begin(), best, best + 1);
}

}  // namespace

ConvShape conv_shape(const Shape& x, const Shape& out, const Window& window, int64_t groups) {
  const Padding padding = resolve_padding(window, x.h(), x.w());
  return {x.n(),
          x.c(),
          x.h(),
          x.w(),
          out.c(),
          out.h(),
          out.w(),
          window.kernel.h,
          window.kernel.w,
          window.stride.h,
          window.stride.w,
          window.dilation.h,
          window.dilation.w,
          padding.top,
          padding.left,
          groups};
}

ConvShape shape_of_conv(const Graph& graph, NodeId id) {
  const Node& node = graph[id];
  const Shape& x = graph[node.operands[0]].type.shape;
  if (const Conv* conv = node.as<Conv>())
    return conv_shape(x, node.type.shape, window_of(*conv), conv->groups);
  ConvShape shape;
  shape.ic = x.c();
  shape.oc = node.type.shape.c();
  shape.iw = shape.ow = x.n();
  return shape;
}

std::string step_name(const Graph& graph, NodeId id) {
  return graph[id].name.empty() ? fmt::format("%{}", index(id)) : graph[id].name;
}

Result<KernelChoices> choose_kernels(const Graph& graph, const std::vector<bool>& live, const Target& target,
                                     const PlanOptions& options) {
  KernelChoices chosen(graph.size());
  Diagnostics errors;
  std::map<std::string, StepOverride> unused = options.overrides;
  const int64_t weights = network_weights(graph, live, options.winograd);
  for (NodeId id : graph.ids()) {
    if (!live[index(id)] || !is_conv(graph[id]) || graph[id].is_constant) continue;
    const std::string name = step_name(graph, id);
    const auto entry = options.overrides.find(name);
    const StepOverride wanted = entry == options.overrides.end() ? StepOverride{} : entry->second;
    unused.erase(name);
    if (wanted.gpu_algorithm)
      errors.error(wanted.where,
                   fmt::format("{}: {} is an algorithm of GPUs", name, to_string(*wanted.gpu_algorithm)));
    const ConvProblem problem{shape_of_conv(graph, id), epilogue_operands(*epilogue_of(graph[id].op)),
                              weights};
    chosen[index(id)] = choices(problem, target, wanted, options.winograd);
    if (options.same_bits)
      agree_on_algorithm(chosen[index(id)], one_image(problem, graph[id].is<Linear>()), wanted,
                         options.winograd);
    if (chosen[index(id)].empty())
      errors.error(wanted.where, fmt::format("{}: {}", name, why_no_choice(problem.shape, target, wanted)));
  }
  for (const auto& [name, wanted] : unused)
    errors.error(wanted.where, fmt::format("no convolution or linear layer is called '{}'", name));
  if (errors.has_errors()) return errors;
  return chosen;
}

std::vector<Candidate> candidates(const ConvShape& shape, const std::vector<ConvChoice>& choices) {
  std::vector<Candidate> list;
  for (const ConvChoice& c : choices)
    list.push_back({describe(c), c.microseconds, conv_rounding(shape, c.algorithm)});
  return list;
}

ConvKernel conv_kernel(const ConvShape& shape, const ConvChoice& choice) {
  ConvKernel kernel;
  kernel.shape = shape;
  kernel.algorithm = choice.algorithm;
  kernel.collapsed = collapses(shape);
  kernel.pixels = choice.pixels;
  kernel.panel = choice.panel;
  kernel.k_unroll = choice.k_unroll;
  kernel.tiles = balanced_tiles(row_length(shape), choice.pixels);
  if (choice.algorithm == ConvAlgorithm::direct) {
    InputWindows windows = input_windows(shape, choice.panel);
    kernel.reduce_blocks = windows.reduce_blocks;
    kernel.first_block = std::move(windows.first_block);
  }
  return kernel;
}

int64_t conv_units(const ConvKernel& kernel) {
  const int64_t panels = ceil_div(ceil_div(kernel.shape.oc, kChannelBlock), kernel.panel);
  return panels * kernel.shape.n * row_count(kernel.shape) * static_cast<int64_t>(kernel.tiles.size());
}

}  // namespace cardinal
