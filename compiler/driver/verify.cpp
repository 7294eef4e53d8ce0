// Compiled code against the reference interpreter, step by step.
#include <cardinal/cardinal.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/driver/build.h"
#include "compiler/driver/load_plans.h"
#include "compiler/driver/memory.h"
#include "compiler/driver/network_source.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/report.h"
#include "compiler/driver/step_runner.h"
#include "compiler/driver/tensors.h"
#include "compiler/driver/verbs.h"
#include "compiler/weights/open_weights.h"
#include "ir/interpreter.h"

namespace cardinal::driver {

namespace {

// The elements of a view in logical order.
std::vector<float> gather(const View& view, const float* base) {
  std::vector<float> out;
  const Shape& s = view.shape;
  out.reserve(static_cast<size_t>(s.elements()));
  for (int64_t n = 0; n < s.n(); ++n)
    for (int64_t c = view.first_channel; c < view.first_channel + s.c(); ++c)
      for (int64_t h = 0; h < s.h(); ++h)
        for (int64_t w = 0; w < s.w(); ++w)
          out.push_back(base[view.offset + n * view.stride_n + c / kChannelBlock * view.stride_block +
                             c % kChannelBlock * view.stride_c + h * view.stride_h + w * view.stride_w]);
  return out;
}

// The caller's buffer in logical order, which is what the interpreter takes.
Tensor logical_input(const Graph& graph, NodeId id, const float* buffer) {
  const Node& node = graph[id];
  Tensor tensor(node.type);
  std::vector<float> values =
      gather(make_view(Space::input, 0, 0, node.type.shape, node.as<Input>()->layout), buffer);
  std::copy(values.begin(), values.end(), tensor.data.begin());
  return tensor;
}

struct Comparison {
  double error = 0;  // the largest difference, relative to the largest expected value
  size_t worst = 0;  // the element it is at
  double expected = 0, actual = 0;
};

Comparison compare(const std::vector<double>& expected, const std::vector<float>& actual) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Comparison result;
  double largest = 0, worst = -1;
  for (size_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected[i]));
    double difference = std::abs(expected[i] - static_cast<double>(actual[i]));
    if (std::isnan(difference)) difference = expected[i] == actual[i] ? 0 : kInfinity;
    if (difference <= worst) continue;
    worst = difference;
    result = {0, i, expected[i], actual[i]};
  }
  // A layer of nothing but zeros has to be met exactly.
  result.error = worst == 0 ? 0 : largest > 0 ? worst / largest : kInfinity;
  return result;
}

std::string element_text(const Shape& shape, size_t flat) {
  std::vector<int64_t> index(static_cast<size_t>(shape.rank()));
  auto rest = static_cast<int64_t>(flat);
  for (int d = shape.rank() - 1; d >= 0; --d) {
    index[static_cast<size_t>(d)] = rest % shape[d];
    rest /= shape[d];
  }
  return fmt::format("[{}]", fmt::join(index, ", "));
}

struct LayerResult {
  std::string name, kernel;
  NodeId node{};
  Comparison comparison;
};

const float* base_of(const View& view, const StepRunner& runner) {
  auto i = static_cast<size_t>(view.index);
  switch (view.space) {
    case Space::input:
      return runner.input(i);
    case Space::output:
      return runner.output(i);
    case Space::workspace:
      break;
  }
  return runner.workspace();
}

// By step: where its node's whole value lies once it has run; null after a step that makes only a part of it,
// such as one part of a concat, which a later step completes, or something else on the way.
std::vector<const View*> completed_views(const Plan& plan, const Graph& graph) {
  std::vector<const View*> views(plan.steps.size());
  std::vector<bool> completed(graph.size());
  for (size_t i = plan.steps.size(); i-- > 0;) {
    const Step& step = plan.steps[i];
    if (step.intermediate) continue;
    Shape shape = graph[step.node].type.shape;
    if (step.repeats > 1) shape[0] = 1;
    if (step.output.shape == shape) {
      views[i] = &step.output;
    } else if (!completed[index(step.node)]) {
      completed[index(step.node)] = true;
      views[i] = &plan.views[index(step.node)];
    }
  }
  return views;
}

// Runs every step once and keeps its result, before a later step may reuse its memory. Empty for partial
// results.
std::vector<std::vector<float>> run_steps(const Variant& variant, const Graph& graph, StepRunner& runner) {
  std::vector<const View*> views = completed_views(variant.plan, graph);
  std::vector<std::vector<float>> results(views.size());
  for_each_step(variant.model, [&](size_t i, int64_t image) {
    runner.run(variant.model.steps()[i], image);
    if (!views[i]) return;
    const std::vector<float> value =
        gather(*views[i], base_of(*views[i], runner) + image * views[i]->stride_image);
    results[i].insert(results[i].end(), value.begin(), value.end());
  });
  return results;
}

// Steps on the way to a value have nothing to be compared with.
std::vector<LayerResult> compare_layers(const Graph& graph, const Plan& plan, const WeightStore& weights,
                                        std::span<const Tensor> inputs,
                                        const std::vector<std::vector<float>>& results) {
  std::vector<LayerResult> layers;
  std::vector<std::vector<size_t>> steps_of(graph.size());
  for (size_t i = 0; i < results.size(); ++i)
    if (!results[i].empty()) steps_of[index(plan.steps[i].node)].push_back(i);
  InterpretOptions options;
  options.visit = [&](NodeId id, const Tensor& value) {
    for (size_t i : steps_of[index(id)]) {
      const Step& step = plan.steps[i];
      layers.push_back({step.name, kernel_name(step.kernel), id, compare(value.data, results[i])});
    }
  };
  interpret(graph, weights, inputs, options);
  return layers;
}

// Tells apart a wrong kernel from a wrong pass: what the passes made is compared with what they were given.
std::vector<LayerResult> compare_outputs(const Graph& source, const WeightStore& weights,
                                         std::span<const Tensor> inputs, const StepRunner& runner) {
  std::vector<LayerResult> layers;
  std::vector<Tensor> expected = interpret(source, weights, inputs);
  for (NodeId id : source.outputs()) {
    const Node& node = source[id];
    size_t i = layers.size();
    View view = make_view(Space::output, static_cast<int>(i), 0, node.type.shape, node.as<Output>()->layout);
    layers.push_back({node.name, "output", id, compare(expected[i].data, gather(view, runner.output(i)))});
  }
  return layers;
}

void print_worst(std::vector<const LayerResult*> layers) {
  constexpr size_t kShown = 5;
  size_t shown = std::min(kShown, layers.size());
  std::partial_sort(layers.begin(), layers.begin() + static_cast<ptrdiff_t>(shown), layers.end(),
                    [](const auto* a, const auto* b) { return a->comparison.error > b->comparison.error; });
  fmt::print("{:<32} {:<28} {:>12}\n", "worst layers", "kernel", "error");
  for (size_t i = 0; i < shown; ++i)
    fmt::print("{:<32} {:<28} {:>12.2e}\n", layers[i]->name, layers[i]->kernel, layers[i]->comparison.error);
}

// The first layer beyond the tolerance, as an error at its place in the source.
int report_divergence(const SourceMap& sources, const Graph& graph, const LayerResult& layer,
                      double tolerance) {
  const Comparison& c = layer.comparison;
  Diagnostics error;
  error.error(
      graph[layer.node].where,
      fmt::format(
          "{} ({}) diverges: element {} is {:.9g}, the reference has {:.9g}; the difference is {:.2e} of "
          "the layer's largest value, {:.0e} is allowed",
          layer.name, layer.kernel, element_text(graph[layer.node].type.shape, c.worst), c.actual, c.expected,
          c.error, tolerance));
  return fail(error, sources);
}

// What is verified, and against what.
struct Subject {
  const VerifyArgs& args;
  const SourceMap& sources;
  const Graph &source, &graph;  // as written, and what the plans were made from
  const WeightStore& weights;
};

int verify_variant(const Subject& subject, const Variant& variant) {
  const Graph &source = subject.source, &graph = subject.graph;
  const double tolerance = subject.args.tolerance;
  StepRunner runner(variant.model, random_inputs(variant.model, subject.args.seed));
  std::vector<Tensor> inputs;
  for (NodeId id : source.inputs()) inputs.push_back(logical_input(source, id, runner.input(inputs.size())));

  std::vector<std::vector<float>> results = run_steps(variant, graph, runner);
  std::vector<LayerResult> layers = compare_layers(graph, variant.plan, subject.weights, inputs, results);
  std::vector<LayerResult> outputs = compare_outputs(source, subject.weights, inputs, runner);

  std::vector<const LayerResult*> all;
  for (const auto& layer : layers) all.push_back(&layer);
  for (const auto& layer : outputs) all.push_back(&layer);
  print_worst(all);
  auto diverges = [tolerance](const LayerResult& layer) { return !(layer.comparison.error <= tolerance); };
  if (auto it = std::find_if(layers.begin(), layers.end(), diverges); it != layers.end())
    return report_divergence(subject.sources, graph, *it, tolerance);
  if (auto it = std::find_if(outputs.begin(), outputs.end(), diverges); it != outputs.end())
    return report_divergence(subject.sources, source, *it, tolerance);
  fmt::print("{} for {}: {} steps agree with the reference within {:.0e}\n", source.name,
             variant.plan.target.cpu, layers.size(), tolerance);
  return kDone;
}

}  // namespace

int verify(const VerifyArgs& args) {
  SourceMap sources;
  Result<Graph> source = load_graph(sources, args.source);
  if (!source) return fail(source.error(), sources);
  if (Status fits = check_memory(memory_to_verify(*source), "verifying this network"); !fits)
    return fail(fits.error());
  Result<std::unique_ptr<WeightStore>> weights = open_weights(args.weights, *source, args.ignored_weights);
  if (!weights) return fail(weights.error(), sources);
  report_ignored(ignored_weights(*source, **weights, args.ignored_weights), (*weights)->describe());
  Result<Build> build = build_plan(sources, *source, BuildOptions{args.target, {}, {}});
  if (!build) return fail(build.error(), sources);
  Progress progress("comparing with the reference interpreter");
  Result<LoadedPlans> loaded = load_plans(build->graph, build->plans, **weights);
  if (!loaded) return fail(loaded.error(), sources);
  for (const std::string& why : loaded->refused) fmt::print("not verified: {}\n", why);
  const Subject subject{args, sources, *source, build->graph, **weights};
  for (const Variant& variant : loaded->variants)
    if (const int failed = verify_variant(subject, variant); failed != kDone) return failed;
  return kDone;
}

}  // namespace cardinal::driver
