#include "passes/kernel_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>

#include "passes/rounding.h"
#include "passes/strassen.h"
#include "passes/tiling.h"
#include "passes/winograd.h"

namespace cardinal {

namespace {

// Bytes of the packed kernel.
int64_t weight_bytes(const ConvShape& s, ConvAlgorithm algorithm) {
  if (const int outputs = winograd_outputs(algorithm)) return winograd_weight_bytes(s, outputs);
  if (const int levels = strassen_levels(algorithm)) return strassen_weight_bytes(s, levels);
  return 4 * round_up(s.oc, kChannelBlock) * s.ic / s.groups * s.kh * s.kw;
}

// CPUs whose predicted times choose the algorithms of every target: those that the cost model was fitted on,
// a Zen 3, a Zen 4 and a Zen 5. They differ in what additions and weights cost beside multiply-adds.
std::array<Target, 3> reference_cpus() {
  Target zen3;
  zen3.cpu = "znver3";
  zen3.l2_bytes = 512 << 10;
  zen3.ghz = 3.25;
  Target zen4;
  zen4.cpu = "znver4";
  zen4.vector_lanes = 16;
  zen4.vector_registers = 32;
  zen4.fma_per_cycle = zen4.loads_per_cycle = 1;
  zen4.ghz = 3.7;
  Target zen5 = zen4;
  zen5.cpu = "znver5";
  zen5.fma_per_cycle = zen5.loads_per_cycle = 2;
  zen5.l1_bytes = 48 << 10;
  zen5.ghz = 4.3;
  return {zen3, zen4, zen5};
}

// The same convolution of one image.
ConvProblem one_image(ConvProblem problem, bool linear) {
  ConvShape& s = problem.shape;
  s.n = 1;
  if (linear) s.iw = s.ow = 1;
  return problem;
}

// Whether the options let an algorithm be chosen that no override asks for by name.
bool allowed(const ConvShape& s, ConvAlgorithm algorithm, const PlanOptions& options) {
  if (algorithm == ConvAlgorithm::direct || algorithm == ConvAlgorithm::lanes) return true;
  if (winograd_outputs(algorithm) && !options.winograd) return false;
  if (strassen_levels(algorithm) > options.fast_matmul) return false;
  return static_cast<double>(weight_bytes(s, algorithm)) <=
         options.max_weight_growth * static_cast<double>(weight_bytes(s, ConvAlgorithm::direct));
}

std::vector<ConvChoice> choices(const ConvProblem& problem, const Target& target, const StepOverride& wanted,
                                const PlanOptions& options) {
  std::vector<ConvChoice> all = conv_choices(problem, target, wanted);
  const auto add = [&](const std::vector<ConvChoice>& more) {
    for (const ConvChoice& choice : more)
      if (wanted.algorithm || allowed(problem.shape, choice.algorithm, options)) all.push_back(choice);
  };
  add(winograd_choices(problem, target, wanted));
  add(strassen_choices(problem, target, wanted.algorithm ? 2 : options.fast_matmul, wanted));
  std::stable_sort(all.begin(), all.end(),
                   [](const ConvChoice& a, const ConvChoice& b) { return a.microseconds < b.microseconds; });
  return all;
}

// The algorithm that takes the least time on the CPUs of reference, as a multiple of the fastest one's there,
// on the average; of those that all of them have.
std::optional<ConvAlgorithm> common_algorithm(const ConvProblem& one_image, const StepOverride& wanted,
                                              const PlanOptions& options) {
  struct Score {
    size_t cpus = 0;
    double times = 0;
  };
  std::map<ConvAlgorithm, Score> scores;
  const auto cpus = reference_cpus();
  for (const Target& cpu : cpus) {
    const std::vector<ConvChoice> all = choices(one_image, cpu, wanted, options);
    std::set<ConvAlgorithm> seen;
    for (const ConvChoice& c : all) {
      if (!seen.insert(c.algorithm).second) continue;  // the best come first
      scores[c.algorithm].cpus++;
      scores[c.algorithm].times += c.microseconds / all.front().microseconds;
    }
  }
  std::optional<ConvAlgorithm> best;
  for (const auto& [algorithm, score] : scores)
    if (score.cpus == cpus.size() && (!best || score.times < scores[*best].times)) best = algorithm;
  return best;
}

// Puts the best choice with the algorithm that every target and every batch size has before the others. Of
// what a result's bits could depend on, nothing else is chosen: tiles, panels and bands leave the order of
// its sum as it is.
void agree_on_algorithm(std::vector<ConvChoice>& all, const ConvProblem& one_image,
                        const StepOverride& wanted, const PlanOptions& options) {
  StepOverride algorithm;
  algorithm.algorithm = wanted.algorithm;
  const std::optional<ConvAlgorithm> common = common_algorithm(one_image, algorithm, options);
  const auto best = std::find_if(all.begin(), all.end(),
                                 [&](const ConvChoice& c) { return common && c.algorithm == *common; });
  if (best != all.end()) std::rotate(all.begin(), best, best + 1);
}

template <class T>
bool wants(const std::optional<T>& wanted, T value) {
  return !wanted || *wanted == value;
}

// Whether an override leaves room for this choice.
bool obeys(const ConvChoice& c, const StepOverride& wanted) {
  return wants(wanted.algorithm, c.algorithm) && wants(wanted.pixels, c.pixels) &&
         wants(wanted.rows, c.rows) && wants(wanted.panel, c.panel) && wants(wanted.k_unroll, c.k_unroll);
}

// Notes what was measured of each choice, adding those whose loops are unrolled in another way, and puts the
// fastest before the others, if need be only of those with the algorithm of the first. The places of
// measurements of what is not possible.
std::vector<SourceLocation> apply_tuning(std::vector<ConvChoice>& all, const ConvShape& shape,
                                         const std::map<std::string, TuningEntry>& measured,
                                         const StepOverride& wanted, const PlanOptions& options) {
  std::vector<SourceLocation> impossible;
  for (const auto& [kernel, entry] : measured) {
    const ConvChoice& c = entry.choice;
    if (!wanted.algorithm && !allowed(shape, c.algorithm, options)) continue;
    if (!obeys(c, wanted)) continue;
    auto same = std::find_if(all.begin(), all.end(), [&](const ConvChoice& other) {
      return other.algorithm == c.algorithm && other.pixels == c.pixels && other.rows == c.rows &&
             other.panel == c.panel;
    });
    if (same == all.end()) {
      impossible.push_back(entry.where);
      continue;
    }
    if (same->k_unroll != c.k_unroll) {
      same = all.insert(same + 1, *same);
      same->k_unroll = c.k_unroll;
    }
    same->measured_us = c.measured_us;
  }
  auto best = all.end();
  for (auto c = all.begin(); c != all.end(); ++c) {
    const bool possible = !options.same_bits || c->algorithm == all.front().algorithm;
    if (possible && c->measured_us > 0 && (best == all.end() || c->measured_us < best->measured_us)) best = c;
  }
  if (best != all.end()) std::rotate(all.begin(), best, best + 1);
  return impossible;
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

bool has_bias(const Node& node) { return node.is<Conv>() ? node.as<Conv>()->bias : node.as<Linear>()->bias; }

std::string step_name(const Graph& graph, NodeId id) {
  return graph[id].name.empty() ? fmt::format("%{}", index(id)) : graph[id].name;
}

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

std::string tuning_key(const Graph& graph, NodeId id, const ConvProblem& problem, const Target& target) {
  const Node& node = graph[id];
  return tuning_key(problem, has_bias(node), *epilogue_of(node.op), target);
}

ConvProblem conv_problem(const Graph& graph, NodeId id, int64_t network_weights) {
  return {shape_of_conv(graph, id), epilogue_operands(*epilogue_of(graph[id].op)), network_weights};
}

Result<KernelChoices> choose_kernels(const Graph& graph, const std::vector<bool>& live, const Target& target,
                                     const PlanOptions& options, int64_t weights) {
  KernelChoices chosen(graph.size());
  Diagnostics errors;
  std::set<std::pair<uint32_t, uint32_t>> reported;  // files and lines of measurements
  const bool blocked = options.blocked_sums.value_or(!options.winograd && options.fast_matmul == 0);
  for (NodeId id : graph.ids()) {
    if (!live[index(id)] || !is_conv(graph[id]) || graph[id].is_constant) continue;
    const std::string name = step_name(graph, id);
    const auto entry = options.overrides.find(name);
    const StepOverride wanted = entry == options.overrides.end() ? StepOverride{} : entry->second;
    if (wanted.paired) errors.error(wanted.where, fmt::format("{}: paired is for GPUs", name));
    if (wanted.gpu_algorithm)
      errors.error(wanted.where,
                   fmt::format("{}: {} is an algorithm of GPUs", name, to_string(*wanted.gpu_algorithm)));
    else if (wanted.gpu_tile)
      errors.error(wanted.where, fmt::format("{}: a tile can be set on GPUs only", name));
    const ConvProblem problem = conv_problem(graph, id, weights);
    chosen[index(id)] = choices(problem, target, wanted, options);
    if (options.same_bits)
      agree_on_algorithm(chosen[index(id)], one_image(problem, graph[id].is<Linear>()), wanted, options);
    if (chosen[index(id)].empty()) {
      errors.error(wanted.where, fmt::format("{}: {}", name, why_no_choice(problem.shape, target, wanted)));
      continue;
    }
    for (ConvChoice& choice : chosen[index(id)]) choice.blocked_sums = blocked;
    const auto* measured = options.tuning.find(tuning_key(graph, id, problem, target), target.cpu);
    if (!measured) continue;
    for (SourceLocation where : apply_tuning(chosen[index(id)], problem.shape, *measured, wanted, options))
      if (reported.insert({where.file, where.line}).second)
        errors.error(where, fmt::format("{} cannot be computed by this kernel on {}; delete the line", name,
                                        target.cpu));
  }
  if (errors.has_errors()) return errors;
  return chosen;
}

std::vector<Candidate> candidates(const ConvShape& shape, const std::vector<ConvChoice>& choices) {
  std::vector<Candidate> list;
  for (const ConvChoice& c : choices)
    list.push_back({c.algorithm, describe(c), c.microseconds, c.measured_us,
                    conv_rounding(shape, c.algorithm, c.blocked_sums), weight_bytes(shape, c.algorithm)});
  return list;
}

ConvKernel conv_kernel(const ConvShape& shape, const ConvChoice& choice, const Target& target) {
  ConvKernel kernel;
  kernel.shape = shape;
  kernel.algorithm = choice.algorithm;
  kernel.collapsed = collapses(shape);
  kernel.pixels = choice.pixels;
  kernel.rows = choice.rows;
  kernel.panel = choice.panel;
  kernel.k_unroll = choice.k_unroll;
  kernel.tiles = balanced_tiles(row_length(shape), choice.pixels);
  kernel.last_tiles = last_band_tiles(shape, choice.rows, choice.pixels);
  if (choice.algorithm == ConvAlgorithm::direct) {
    InputWindows windows = input_windows(shape, choice.panel);
    kernel.reduce_blocks = windows.reduce_blocks;
    kernel.first_block = std::move(windows.first_block);
    if (choice.blocked_sums) kernel.sum = blocked_sum(shape);
    kernel.pass_blocks = choose_passes(kernel, target).blocks;
  }
  return kernel;
}

int64_t conv_units(const ConvKernel& kernel) {
  const int64_t panels = ceil_div(ceil_div(kernel.shape.oc, kChannelBlock), kernel.panel);
  return panels * kernel.shape.n * units_of_image(kernel);
}

}  // namespace cardinal
