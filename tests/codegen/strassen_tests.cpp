// Convolutions by fast matrix multiplication: the steps that the planner makes of one, each with its units
// split in several ways, against the interpreter.
#include <catch2/catch.hpp>
#include <random>

#include "ir/interpreter.h"
#include "passes/planner.h"
#include "tests/codegen/check_on_all_targets.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

using Kind = EpilogueStep::Kind;

struct Case {
  ConvAlgorithm algorithm = ConvAlgorithm::strassen_1;
  Shape x{1, 64, 3, 3};
  Conv op{64, {1, 1}};
  int pixels = 2, panel = 1, k_unroll = 4;
  bool broadcast_operands = false;  // the epilogue's operands are [N, C, 1, 1]
  Layout layout = Layout::nchw;     // of the image
};

// A network of the convolution alone, of its image and the operands of its epilogue.
Graph network(const Case& c) {
  Graph graph;
  graph.name = "net";
  const Shape out{c.x.n(), c.op.channels, ceil_div(c.x.h(), c.op.stride.h), ceil_div(c.x.w(), c.op.stride.w)};
  std::vector<NodeId> operands{graph.add(Input{DType::f32, c.x, c.layout}, {}, "x"),
                               graph.add(Weight{{c.op.channels, c.x.c(), 1, 1}, Role::kernel}, {}, "kernel")};
  if (c.op.bias) operands.push_back(graph.add(Weight{{c.op.channels}, Role::bias}, {}, "bias"));
  const Shape operand = c.broadcast_operands ? Shape{out.n(), out.c(), 1, 1} : out;
  for (int i = 0; i < epilogue_operands(c.op.epilogue); ++i)
    operands.push_back(graph.add(Input{DType::f32, operand}, {}, "operand" + std::to_string(i)));
  graph.add(Output{}, {graph.add(c.op, operands, "conv")}, "y");
  return graph;
}

// Whether the convolution's results go where an operand of its epilogue is.
bool in_place(const Plan& plan) {
  for (const Step& step : plan.steps)
    if (std::holds_alternative<StrassenKernel>(step.kernel) && !step.intermediate)
      for (size_t i = 1; i < step.inputs.size(); ++i)
        if (step.inputs[i].space == Space::workspace && step.inputs[i].offset == step.output.offset)
          return true;
  return false;
}

// Adds the steps of the network, its workspace and the caller's buffers being pieces of the batch's memory.
// Returns its plan.
Plan add_network(StepBatch& batch, const Case& c, uint64_t seed) {
  const Graph graph = network(c);
  PlanOptions options;
  StepOverride& wanted = options.overrides["conv"];
  wanted.algorithm = c.algorithm, wanted.pixels = c.pixels, wanted.panel = c.panel;
  wanted.k_unroll = c.k_unroll;
  const Result<Plan> plan = make_plan(graph, batch.target(), options);
  if (!plan) FAIL(plan.error().render(SourceMap()));
  const std::unique_ptr<WeightStore> weights = random_weights(graph, seed);

  const int64_t workspace = batch.place({1, plan->workspace_floats, 1, 1}, Layout::nchw).offset;
  const int64_t constants = batch.place_constants(pack_weights(graph, std::span(&*plan, 1), *weights)).offset;
  std::vector<View> inputs;
  std::vector<Tensor> values;
  for (NodeId id : graph.inputs()) {
    inputs.push_back(batch.place(graph[id].type.shape, graph[id].as<Input>()->layout));
    values.push_back(batch.read(inputs.back()));
  }
  const View output = batch.place(graph[graph.outputs()[0]].type.shape, Layout::nchw);
  const auto move = [&](View& view) {
    view.offset += view.space == Space::workspace ? workspace
                   : view.space == Space::input   ? inputs[static_cast<size_t>(view.index)].offset
                                                  : output.offset;
    view.space = Space::workspace;
    view.index = 0;
  };
  std::vector<Step> steps = plan->steps;
  for (Step& step : steps) {
    for (View& view : step.inputs) move(view);
    move(step.output);
    if (step.scratch) move(*step.scratch);
    for (PackedWeight& weight : step.weights) weight.offset += constants;
  }

  const auto expected = std::make_shared<Tensor>(interpret(graph, *weights, values)[0]);
  double largest = 1;
  for (double value : expected->data) largest = std::max(largest, std::abs(value));
  batch.add_chain(
      std::move(steps), [expected](auto n, auto oc, auto h, auto w) { return expected->at(n, oc, h, w); },
      1e-5 * largest);
  return *plan;
}

void check_cases(const std::vector<Case>& cases) {
  check_on_all_targets([&](StepBatch& batch) {
    for (size_t i = 0; i < cases.size(); ++i) add_network(batch, cases[i], i);
  });
}

constexpr ConvAlgorithm kBoth[] = {ConvAlgorithm::strassen_1, ConvAlgorithm::strassen_2};

}  // namespace

TEST_CASE("fast products of images of any size, batches, strides, tiles and layouts") {
  std::mt19937 random(5);
  const auto one_of = [&](std::initializer_list<int64_t> values) {
    return values.begin()[random() % values.size()];
  };
  std::vector<Case> cases;
  for (ConvAlgorithm algorithm : kBoth)
    for (int i = 0; i < 10; ++i) {
      // An odd and an even number of blocks in a quarter, or in a quarter of one.
      const int64_t unit = algorithm == ConvAlgorithm::strassen_1 ? 32 : 64;
      Case c{algorithm, {i % 2 ? 1 : 3, unit * one_of({1, 2, 3}), one_of({2, 3, 5}), one_of({2, 3, 5, 7})}};
      c.op.channels = unit * one_of({1, 2, 3});
      if (i % 3 == 0) c.op.stride = {2, one_of({1, 2})}, c.x = {c.x.n(), c.x.c(), 2 * c.x.h() + 1, c.x.w()};
      c.op.bias = i % 4 < 2;
      c.pixels = static_cast<int>(one_of({1, 2, 3, 4}));
      c.panel = c.op.channels == unit ? 1 : static_cast<int>(one_of({1, 2}));
      c.pixels = static_cast<int>(c.panel == 1 ? one_of({1, 2, 3, 4}) : one_of({1, 2}));
      c.k_unroll = static_cast<int>(one_of({1, 2, 4, 8}));
      c.layout = i % 5 == 1 ? Layout::nhwc : Layout::nchw;
      cases.push_back(c);
    }
  check_cases(cases);
}

TEST_CASE("fast products with epilogues") {
  using enum Activation::Kind;
  const EpilogueStep add{Kind::add}, mul{Kind::mul};
  const Activation activations[] = {{relu}, {relu6},     {leaky_relu, 0.1},           {sigmoid}, {tanh},
                                    {silu}, {hardswish}, {hardsigmoid, 1.0 / 6, 0.5}, {gelu}};
  std::vector<Case> cases;
  for (size_t i = 0; i < std::size(activations); ++i) {
    const EpilogueStep act{Kind::activation, activations[i]};
    Case c{kBoth[i % 2]};
    c.op.bias = true;
    c.op.epilogue = {act};
    cases.push_back(c);
    c.algorithm = kBoth[(i + 1) % 2];
    c.op.epilogue = {add, act, mul};
    cases.push_back(c);
    c.broadcast_operands = true;
    c.op.epilogue = {act, mul, add};
    cases.push_back(c);
  }
  check_cases(cases);
}

TEST_CASE("fast products go over the residual that they are added to") {
  check_on_all_targets([&](StepBatch& batch) {
    for (ConvAlgorithm algorithm : kBoth)
      for (int64_t images : {1, 3}) {
        Case c{algorithm, {images, 64, 5, 3}};
        c.op.epilogue = {{Kind::add}, {Kind::activation, {Activation::Kind::relu}}};
        CHECK(in_place(add_network(batch, c, 11)));
      }
  });
}
