// Every pass keeps every output: the interpreter before and after it, on random graphs. And each does what it
// is for.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "ir/interpreter.h"
#include "ir/text.h"
#include "ir/verifier.h"
#include "passes/passes.h"
#include "passes/pipeline.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// The largest difference of any output, relative to that output's largest value. Both sides are in double:
// only reassociation may differ.
double difference(const Graph& before, const Graph& after) {
  std::unique_ptr<WeightStore> weights = random_weights(before, 7);
  std::vector<Tensor> inputs = random_inputs(before, 11);
  std::vector<Tensor> a = interpret(before, *weights, inputs), b = interpret(after, *weights, inputs);
  if (a.size() != b.size()) return 1;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].type != b[i].type) return 1;
    double scale = 1e-30, error = 0;
    for (size_t j = 0; j < a[i].data.size(); ++j) {
      scale = std::max(scale, std::abs(a[i].data[j]));
      error = std::max(error, std::abs(a[i].data[j] - b[i].data[j]));
    }
    worst = std::max(worst, error / scale);
  }
  return worst;
}

template <class Op>
int count(const Graph& graph) {
  int n = 0;
  for (NodeId id : graph.ids()) n += graph[id].is<Op>();
  return n;
}

NodeId layer(Graph& graph, const OpAttrs& op, std::vector<NodeId> tensors, const std::string& name) {
  return std::get<NodeId>(add_layer(graph, op, std::move(tensors), name));
}

Conv conv3x3(int64_t channels) {
  Conv conv;
  conv.channels = channels;
  conv.kernel = {3, 3};
  return conv;
}

// input -> conv -> bn -> (+ input) -> relu
Graph residual_block() {
  Graph g;
  g.name = "block";
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 5, 5}, Layout::nchw}, {}, "x");
  NodeId conv = layer(g, conv3x3(8), {x}, "conv1");
  NodeId norm = layer(g, BatchNorm{}, {conv}, "bn1");
  NodeId sum = g.add(Add{}, {norm, x});
  g.add(Output{}, {g.add(Relu{}, {sum})}, "y");
  return g;
}

}  // namespace

TEST_CASE("every pass keeps the outputs of random graphs") {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    Graph graph = random_graph(seed, 4 + static_cast<int>(seed % 12));
    Graph before = graph;
    for (const Pass& pass : pass_table()) {
      Graph after = pass.run(before);
      INFO(fmt::format("seed {} pass {}\n{}\nbecame\n{}", seed, pass.name, print(before), print(after)));
      REQUIRE_FALSE(verify(after).has_errors());
      REQUIRE(difference(before, after) < 1e-11);
      before = std::move(after);
    }
  }
}

TEST_CASE("a pass run twice changes nothing more") {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Graph graph = random_graph(seed, 10);
    for (const Pass& pass : pass_table()) {
      Graph once = pass.run(graph);
      INFO(fmt::format("seed {} pass {}", seed, pass.name));
      REQUIRE(print(pass.run(once)) == print(once));
      graph = std::move(once);
    }
  }
}

TEST_CASE("a residual block becomes one convolution") {
  Result<Graph> result = run_pipeline(residual_block());
  REQUIRE(result);
  CHECK(count<Conv>(*result) == 1);
  CHECK(count<BatchNorm>(*result) + count<Add>(*result) + count<Relu>(*result) +
            count<ChannelAffine>(*result) ==
        0);
  for (NodeId id : result->ids())
    if (const auto* conv = (*result)[id].as<Conv>()) {
      CHECK(conv->bias);
      REQUIRE(conv->epilogue.size() == 2);
      CHECK(conv->epilogue[0].kind == EpilogueStep::Kind::add);
      CHECK(conv->epilogue[1].activation.kind == Activation::Kind::relu);
    }
}

TEST_CASE("a batch norm is not folded into a convolution that something else reads") {
  Graph g;
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 5, 5}, Layout::nchw}, {}, "x");
  NodeId conv = layer(g, conv3x3(8), {x}, "conv1");
  NodeId norm = layer(g, BatchNorm{}, {conv}, "bn1");
  g.add(Output{}, {g.add(Add{}, {norm, conv})}, "y");
  Graph folded = fold_batch_norm(g);
  CHECK(count<BatchNorm>(folded) == 1);
  CHECK(difference(g, lower_batch_norm(folded)) < 1e-12);
}

TEST_CASE("batch norm before a convolution is lowered, with its activation fused") {
  Graph g;
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 5, 5}, Layout::nchw}, {}, "x");
  NodeId norm = layer(g, BatchNorm{}, {x}, "bn1");
  NodeId conv = layer(g, conv3x3(8), {g.add(Relu{}, {norm})}, "conv1");
  g.add(Output{}, {conv}, "y");
  Result<Graph> result = run_pipeline(g);
  REQUIRE(result);
  CHECK(count<ChannelAffine>(*result) == 1);
  CHECK(count<Relu>(*result) == 0);
}

TEST_CASE("nested concats become one, and the inner one stays for its other users") {
  Graph g;
  NodeId x = g.add(Input{DType::f32, Shape{1, 16, 5, 5}, Layout::nchw}, {}, "x");
  NodeId a = layer(g, conv3x3(16), {x}, "a");
  NodeId inner = g.add(Concat{}, {x, a});
  NodeId b = layer(g, conv3x3(16), {inner}, "b");
  NodeId outer = g.add(Concat{}, {inner, b});
  g.add(Output{}, {outer}, "y");
  Graph flat = flatten_concats(g);
  REQUIRE(count<Concat>(flat) == 2);
  for (NodeId id : flat.ids())
    if (flat[id].is<Concat>())
      for (NodeId operand : flat[id].operands) CHECK_FALSE(flat[operand].is<Concat>());
}

TEST_CASE("a strided 1x1 convolution with many channels reads dense pixels") {
  for (auto [channels, slices] : {std::pair{128, 1}, {64, 0}}) {
    Graph g;
    NodeId x = g.add(Input{DType::f32, Shape{2, 16, 7, 5}, Layout::nchw}, {}, "x");
    Conv projection;
    projection.channels = channels;
    projection.kernel = {1, 1};
    projection.stride = {2, 3};
    g.add(Output{}, {layer(g, projection, {x}, "projection")}, "y");
    const Graph dense = dense_projections(g);
    CHECK(count<Slice>(dense) == slices);
    for (NodeId id : dense.ids())
      if (const Conv* conv = dense[id].as<Conv>()) CHECK((conv->stride == Pair{1, 1}) == (slices == 1));
    CHECK(difference(g, dense) == 0);
  }
}

TEST_CASE("the broadcast side of a product is never the one that is fused") {
  Graph g;
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 5, 5}, Layout::nchw}, {}, "x");
  Conv conv;
  conv.channels = 8;
  NodeId gate = layer(g, conv, {g.add(GlobalAvgPool{}, {x})}, "fc");
  g.add(Output{}, {g.add(Mul{}, {x, g.add(Sigmoid{}, {gate})})}, "y");
  Result<Graph> result = run_pipeline(g);
  REQUIRE(result);
  CHECK(count<Mul>(*result) == 1);
  CHECK(difference(g, *result) < 1e-12);
}

TEST_CASE("unknown pass names are refused with the known ones") {
  PipelineOptions options;
  options.stop_after = "fold_batchnorm";
  Result<Graph> result = run_pipeline(residual_block(), options);
  REQUIRE_FALSE(result);
  CHECK(result.error().list()[0].message.find("fold_batch_norm") != std::string::npos);
}

TEST_CASE("passes can be left out and stopped after") {
  PipelineOptions options;
  options.disabled = {"fold_batch_norm", "fuse_epilogues"};
  Result<Graph> result = run_pipeline(residual_block(), options);
  REQUIRE(result);
  CHECK(count<ChannelAffine>(*result) == 1);
  CHECK(count<Relu>(*result) == 1);
  options = {};
  options.stop_after = "simplify";
  std::vector<std::string> seen;
  options.after = [&](std::string_view pass, const Graph&) { seen.emplace_back(pass); };
  REQUIRE(run_pipeline(residual_block(), options));
  CHECK(seen == std::vector<std::string>{"source", "remove_dead_nodes", "regular_pools", "simplify"});
}

TEST_CASE("adaptive pools with equal bins become pools over windows, and ops of training vanish") {
  Graph g;
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 14, 7}, Layout::nchw}, {}, "x");
  NodeId even = g.add(AdaptiveAvgPool{{7, 7}}, {x});
  NodeId same = g.add(AdaptiveMaxPool{{7, 7}}, {g.add(Dropout{}, {even})});
  NodeId uneven = g.add(AdaptiveAvgPool{{3, 3}}, {same});
  g.add(Output{}, {g.add(AdaptiveAvgPool{{1, 1}}, {g.add(StochasticDepth{0.1}, {uneven})})}, "y");
  Result<Graph> result = run_pipeline(g);
  REQUIRE(result);
  CHECK(count<AvgPool>(*result) == 1);
  CHECK(count<AdaptiveAvgPool>(*result) == 1);
  CHECK(count<GlobalAvgPool>(*result) == 1);
  CHECK(result->size() == 5);
  CHECK(difference(g, *result) < 1e-12);
}

namespace {

// input -> (relu ->) pad -> reader
Graph padded(const OpAttrs& reader, const Pad& pad, bool after_relu) {
  Graph g;
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 5, 6}, Layout::nchw}, {}, "x");
  if (after_relu) x = g.add(Relu{}, {x});
  g.add(Output{}, {layer(g, reader, {g.add(pad, {x})}, "reader")}, "y");
  return g;
}

int pads_left(const OpAttrs& reader, const Pad& pad, bool after_relu = false) {
  Graph g = padded(reader, pad, after_relu), folded = fold_padding(g);
  CHECK(difference(g, folded) < 1e-12);
  return count<Pad>(folded);
}

}  // namespace

TEST_CASE("zeros around an image become the padding of the window that reads it") {
  const Pad zeros{{Padding::Mode::explicit_, 1, 2, 0, 1}}, ones{zeros.padding, 1};
  const Pad cut{{Padding::Mode::explicit_, 1, -1, 0, 1}};
  MaxPool max;
  max.kernel = {3, 3};
  AvgPool average, excluding;
  average.kernel = excluding.kernel = {4, 4};
  excluding.count_include_pad = false;
  AvgPool own_padding = excluding;
  own_padding.padding = {Padding::Mode::explicit_, 1, 1, 1, 1};
  CHECK(pads_left(conv3x3(4), zeros) == 0);
  CHECK(pads_left(conv3x3(4), ones) == 1);
  CHECK(pads_left(conv3x3(4), cut) == 1);
  CHECK(pads_left(average, zeros) == 0);
  CHECK(pads_left(excluding, zeros) == 0);
  CHECK(pads_left(own_padding, zeros) == 1);
  CHECK(pads_left(max, zeros, true) == 0);
  CHECK(pads_left(max, zeros) == 1);
  CHECK(pads_left(max, ones, true) == 1);
  CHECK(pads_left(Sigmoid{}, zeros) == 1);
}

TEST_CASE("moving channels to where they are is nothing") {
  Graph g;
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 5, 5}, Layout::nchw}, {}, "x");
  NodeId still = g.add(Shift{{1, 1}}, {g.add(ChannelShuffle{1}, {g.add(Slice{{0, 8}}, {x})})});
  g.add(Output{}, {g.add(Slice{{0, 4}}, {still})}, "y");
  Graph simple = simplify(g);
  CHECK(count<Slice>(simple) == 1);
  CHECK(count<ChannelShuffle>(simple) + count<Shift>(simple) == 0);
}

TEST_CASE("complete_norms leaves batch, layer and group norms with both weights") {
  Graph g;
  g.name = "norms";
  NodeId x = g.add(Input{DType::f32, Shape{2, 8, 5, 5}, Layout::nchw}, {}, "x");
  x = layer(g, BatchNorm{1e-5, false, false}, {x}, "bn");
  x = layer(g, LayerNorm{1e-5, true, false}, {x}, "ln");
  x = layer(g, InstanceNorm{}, {x}, "in");
  x = layer(g, GroupNorm{{1e-5, false, true}, 4}, {x}, "gn");
  g.add(Output{}, {x}, "y");
  const Graph complete = complete_norms(g);
  CHECK(count<Fill>(complete) == 2);
  CHECK(count<InstanceNorm>(complete) == 0);
  CHECK(count<GroupNorm>(complete) == 2);
  for (NodeId id : complete.ids())
    if (const auto* norm = complete[id].as<GroupNorm>()) CHECK(norm->complete());
  CHECK(difference(g, complete) < 1e-12);
  CHECK(count<BatchNorm>(lower_batch_norm(complete)) == 0);
  CHECK(count<BatchNorm>(lower_batch_norm(g)) == 1);
}

TEST_CASE("parameters of a value a channel become a multiply and an add, fused like any other") {
  Graph g;
  g.name = "parameters";
  NodeId x = g.add(Input{DType::f32, Shape{2, 8, 5, 5}, Layout::nchw}, {}, "x");
  const NodeId gamma = g.add(Weight{{1, 8, 1, 1}, Role::scale}, {}, "gamma");
  const NodeId beta = g.add(Weight{{1, 1, 1, 1}, Role::scale}, {}, "beta");
  const NodeId conv = layer(g, conv3x3(8), {x}, "conv");
  const NodeId y = g.add(Add{}, {g.add(Mul{}, {gamma, conv}, "scaled"), g.add(Exp{}, {beta})}, "shifted");
  g.add(Output{}, {g.add(Relu{}, {g.add(Div{}, {y, gamma}, "divided")})}, "y");
  const Graph lowered = constant_operands(g);
  CHECK(count<ChannelAffine>(lowered) == 2);
  CHECK(difference(g, lowered) < 1e-12);
  const Graph fused = fuse_epilogues(lowered);
  CHECK(count<Relu>(fused) == 0);
  CHECK(difference(g, fused) < 1e-12);
}

TEST_CASE("a convolution's kernel may be computed from parameters") {
  Graph g;
  g.name = "standardised";
  const NodeId x = g.add(Input{DType::f32, Shape{1, 4, 5, 5}, Layout::nchw}, {}, "x");
  const NodeId weight = g.add(Weight{{8, 4, 3, 3}, Role::kernel}, {}, "conv.weight");
  const NodeId kernel = g.add(GroupNorm{{1e-5, false, false}, 1}, {weight}, "kernel");
  NodeId y = g.add(conv3x3(8), {x, kernel}, "conv");
  y = layer(g, BatchNorm{}, {y}, "bn");
  g.add(Output{}, {y}, "y");
  Result<Graph> done = run_pipeline(g);
  REQUIRE(done);
  CHECK(difference(g, *done) < 1e-12);
  CHECK(done->inputs().size() == 1);
  int at_run_time = 0;
  for (NodeId id : done->ids()) at_run_time += !(*done)[id].is_constant;
  CHECK(at_run_time == 3);  // input, conv, output
}

TEST_CASE("simplify removes resizes, slices and pads that change nothing") {
  Graph g;
  g.name = "still";
  NodeId x = g.add(Input{DType::f32, Shape{1, 8, 5, 5}, Layout::nchw}, {}, "x");
  NodeId still = g.add(Resize{{1, 1}, {5, 5}, ResizeMode::bilinear}, {g.add(Pad{}, {g.add(Slice{}, {x})})});
  NodeId moved = g.add(Slice{{}, {0, 0, 2}, {0, -1}}, {still});
  g.add(Output{}, {g.add(Pad{{}, 0, {1, -1}}, {g.add(Resize{{2, 1}}, {moved})})}, "y");
  const Graph simple = simplify(g);
  CHECK(count<Slice>(simple) == 1);
  CHECK(count<Pad>(simple) == 1);
  CHECK(count<Resize>(simple) == 1);
}
