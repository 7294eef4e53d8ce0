#include "tests/codegen/small_network.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "ir/interpreter.h"
#include "passes/pipeline.h"
#include "passes/planner.h"
#include "tests/support/compile_and_run.h"
#include "tests/support/random_graph.h"

namespace cardinal::testing {

namespace {

NodeId layer(Graph& graph, const OpAttrs& op, std::vector<NodeId> tensors, const std::string& name) {
  return std::get<NodeId>(add_layer(graph, op, std::move(tensors), name));
}

Conv convolution(int64_t channels, int64_t kernel) {
  Conv conv;
  conv.channels = channels;
  conv.kernel = {kernel, kernel};
  return conv;
}

Graph source_graph() {
  Graph graph;
  graph.name = "small";
  const NodeId x = graph.add(Input{DType::f32, Shape{1, 3, 12, 12}}, {}, "x");
  const NodeId stem = layer(graph, convolution(32, 3), {x}, "stem");
  const NodeId stem_norm = layer(graph, BatchNorm{}, {stem}, "stem_bn");
  // first and second are alike, so that they share a kernel; third ends in the residual addition.
  const NodeId first = graph.add(Relu{}, {layer(graph, convolution(32, 3), {stem_norm}, "first")});
  const NodeId second = graph.add(Relu{}, {layer(graph, convolution(32, 3), {first}, "second")});
  const NodeId third = layer(graph, convolution(32, 3), {second}, "third");
  const NodeId sum = graph.add(Add{}, {third, stem_norm}, "sum");
  const NodeId flat = graph.add(Flatten{}, {graph.add(GlobalAvgPool{}, {sum}, "pool")}, "flat");
  Linear linear;
  linear.channels = 10;
  graph.add(Output{}, {graph.add(Softmax{}, {layer(graph, linear, {flat}, "fc")}, "softmax")}, "y");
  return graph;
}

template <class T>
T unwrap(Result<T> result) {
  if (!result) FAIL(result.error().render(SourceMap()));
  return std::move(*result);
}

}  // namespace

SmallNetwork::SmallNetwork(const std::string& symbol, const std::vector<std::string>& targets) {
  graph = unwrap(run_pipeline(source_graph()));
  if (runnable_targets().empty()) FAIL("this CPU has neither AVX2 nor AVX-512: nothing can be run");
  std::vector<Target> resolved;
  for (const std::string& name : targets.empty() ? std::vector{runnable_targets().back()} : targets)
    resolved.push_back(unwrap(resolve_target(name)));
  plans = unwrap(make_plans(graph, resolved));
  weights = random_weights(graph, 11);
  image = {symbol, "", pack_weights(graph, plans, *weights)};
  const std::vector<Tensor> values = random_inputs(graph, 12);
  input.assign(values[0].data.begin(), values[0].data.end());
}

std::string SmallNetwork::object() const {
  const std::string code = unwrap(emit_code(graph, plans, image, CodeKind::object));
  return fmt::format("{}", fmt::join(object_file(code, image), ""));
}

std::vector<float> SmallNetwork::expected_output() const {
  Tensor x(graph[graph.inputs()[0]].type);
  x.data.assign(input.begin(), input.end());
  const std::vector<Tensor> outputs = interpret(graph, *weights, std::span(&x, 1));
  return {outputs[0].data.begin(), outputs[0].data.end()};
}

std::vector<float> run(const cardinal_model& model, const std::vector<float>& input,
                       const cardinal_executor* executor) {
  const size_t bytes = (model.workspace_bytes / CARDINAL_ALIGNMENT + 1) * CARDINAL_ALIGNMENT;
  void* workspace = std::aligned_alloc(CARDINAL_ALIGNMENT, bytes);
  std::vector<float> output(model.outputs[0].bytes / sizeof(float));
  const void* inputs[] = {input.data()};
  void* outputs[] = {output.data()};
  const cardinal_frame frame{inputs, outputs, model.weights, workspace};
  model.run(&frame, executor);
  std::free(workspace);
  return output;
}

}  // namespace cardinal::testing
