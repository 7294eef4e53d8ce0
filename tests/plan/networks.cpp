#include "tests/plan/networks.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "passes/pipeline.h"
#include "tests/support/random_graph.h"

namespace cardinal::testing {

Target avx2_target() { return {}; }

Target avx512_target() {
  Target target;
  target.cpu = "znver4";
  target.vector_lanes = 16;
  target.vector_registers = 32;
  target.fma_per_cycle = target.loads_per_cycle = 1;
  target.ghz = 3.7;
  return target;
}

NodeId NetworkBuilder::input(const Shape& shape, Layout layout, const std::string& name) {
  return graph.add(Input{DType::f32, shape, layout}, {}, name);
}

NodeId NetworkBuilder::layer(const OpAttrs& op, std::vector<NodeId> tensors, const std::string& name) {
  const std::string called = name.empty() ? fmt::format("node{}", unnamed_++) : name;
  const std::variant<NodeId, OpError> added = add_layer(graph, op, std::move(tensors), called);
  if (const OpError* error = std::get_if<OpError>(&added)) FAIL(called << ": " << error->message);
  return std::get<NodeId>(added);
}

NodeId NetworkBuilder::conv(NodeId x, Conv op, const std::string& name) { return layer(op, {x}, name); }

void NetworkBuilder::output(NodeId value, const std::string& name, Layout layout) {
  graph.add(Output{layout}, {value}, name);
}

namespace {

NodeId conv_bn(NetworkBuilder& net, NodeId x, const Conv& conv, const std::string& conv_name,
               const std::string& norm_name) {
  return net.layer(BatchNorm{}, {net.conv(x, conv, conv_name)}, norm_name);
}

NodeId bottleneck(NetworkBuilder& net, NodeId x, const Conv& grouped, int64_t channels,
                  const std::string& scope) {
  const int64_t mid = grouped.channels;
  NodeId y = conv_bn(net, x, Conv{mid, {1, 1}}, scope + ".conv1", scope + ".bn1");
  y = net.layer(Relu{}, {y});
  y = conv_bn(net, y, grouped, scope + ".conv2", scope + ".bn2");
  y = net.layer(Relu{}, {y});
  y = conv_bn(net, y, Conv{channels, {1, 1}}, scope + ".conv3", scope + ".bn3");
  if (net.graph[x].type.shape.c() != channels)
    x = conv_bn(net, x, Conv{channels, {1, 1}, grouped.stride}, scope + ".downsample.0",
                scope + ".downsample.1");
  return net.layer(Relu{}, {net.layer(Add{}, {y, x})});
}

}  // namespace

Graph resnet50(int64_t groups, int64_t group_width, int64_t batch) {
  NetworkBuilder net(groups == 1 ? "resnet50" : "resnext50");
  NodeId x = net.input({batch, 3, 224, 224});
  x = net.layer(Relu{}, {conv_bn(net, x, Conv{64, {7, 7}, {2, 2}}, "conv1", "bn1")});
  MaxPool pool;
  pool.kernel = {3, 3};
  pool.stride = {2, 2};
  pool.padding = {Padding::Mode::explicit_, 1, 1, 1, 1};
  x = net.layer(pool, {x}, "maxpool");
  const int64_t depths[] = {3, 4, 6, 3};
  for (int stage = 0; stage < 4; ++stage) {
    for (int64_t block = 0; block < depths[stage]; ++block) {
      Conv grouped{(groups * group_width) << stage, {3, 3}};
      grouped.groups = groups;
      if (stage > 0 && block == 0) grouped.stride = {2, 2};
      x = bottleneck(net, x, grouped, int64_t{256} << stage, fmt::format("layer{}.{}", stage + 1, block));
    }
  }
  x = net.layer(Flatten{}, {net.layer(GlobalAvgPool{}, {x}, "avgpool")});
  net.output(net.layer(Linear{1000}, {x}, "fc"), "logits");
  Result<Graph> passed = run_pipeline(net.graph);
  REQUIRE(passed);
  return std::move(*passed);
}

Plan plan_of(const Graph& graph, const Target& target, const PlanOptions& options) {
  Result<Plan> plan = make_plan(graph, target, options);
  if (!plan) FAIL(plan.error().render(SourceMap{}));
  return std::move(*plan);
}

const Step& step_called(const Plan& plan, const std::string& name) {
  for (const Step& step : plan.steps)
    if (step.name == name) return step;
  FAIL("no step is called " << name);
  std::abort();
}

}  // namespace cardinal::testing
