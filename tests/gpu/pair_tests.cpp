// Two convolutions in one kernel, against the interpreter and as the planner's choice.
#include <catch2/catch.hpp>

#include "codegen/codegen.h"
#include "passes/explain.h"
#include "passes/gpu_pair_choice.h"
#include "passes/pipeline.h"
#include "tests/gpu/emulate.h"
#include "tests/gpu/integer_weights.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

struct Case {
  Shape x;
  Conv first;
  int64_t second = 0;  // output channels
  bool residual = false, bias = true;
};

Conv conv(int64_t channels, Pair kernel, Pair stride = {1, 1}, bool bias = true) {
  Conv c{channels, kernel};
  c.stride = stride;
  c.bias = bias;
  c.padding = {Padding::Mode::explicit_, kernel.h / 2, kernel.w / 2, kernel.h / 2, kernel.w / 2};
  return c;
}

// The end of a block and the beginning of the next, whose residual reads the first's result once more.
Graph graph_of(const Case& c) {
  Graph graph;
  graph.name = "pair";
  NodeId x = graph.add(Input{DType::f32, c.x, Layout::nchw}, {}, "x");
  x = graph.add(Relu{}, {x}, "before");
  NodeId a = std::get<NodeId>(add_layer(graph, c.first, {x}, "first"));
  if (c.residual) {
    const NodeId r = graph.add(Input{DType::f32, graph[a].type.shape, Layout::nhwc}, {}, "residual");
    a = graph.add(Add{}, {a, r}, "sum");
  }
  a = graph.add(Relu{}, {a}, "between");
  NodeId b = std::get<NodeId>(add_layer(graph, conv(c.second, {1, 1}, {1, 1}, c.bias), {a}, "second"));
  b = graph.add(Relu{}, {b}, "after");
  graph.add(Output{}, {b}, "b");
  graph.add(Output{}, {graph.add(Affine{1, 1}, {a}, "more")}, "a");
  return graph;
}

const Step* pair_of(const Plan& plan) {
  for (const Step& step : plan.steps)
    if (std::holds_alternative<GpuConvPairKernel>(step.kernel)) return &step;
  return nullptr;
}

EmulationOptions paired(bool on, DType precision = DType::f16) {
  EmulationOptions options;
  options.plan.overrides["second"].paired = on;
  options.plan.precision = precision;
  return options;
}

void check(const Case& c, DType precision) {
  const Graph graph = graph_of(c);
  const auto weights = integer_weights(graph, 7);
  const std::vector<Tensor> inputs = integer_inputs(graph, 11);
  const std::vector<Tensor> expected = interpret(graph, *weights, inputs);
  EmulationOptions options = paired(true, precision);
  const auto plan = plan_for_gpu(graph, options);
  REQUIRE(plan);
  REQUIRE(pair_of(*plan));
  for (simt::Schedule schedule : simt::kSchedules) {
    options.schedule = schedule;
    INFO(pair_of(*plan)->candidates[0].text << " in schedule " << simt::schedule_name(schedule));
    auto actual = emulate(graph, *weights, inputs, options);
    if (!actual) FAIL(actual.error().render(SourceMap()));
    for (size_t output = 0; output < expected.size(); ++output)
      CHECK((*actual)[output].data == expected[output].data);
  }
}

GpuConvProblem problem(ConvShape s, DType dtype = DType::f16) {
  return {s, workspace_view({s.n, s.ic, s.ih, s.iw}, {Layout::nhwc, dtype}), dtype, {}, {}};
}

ConvShape square(int64_t n, int64_t ic, int64_t oc, int64_t size) {
  ConvShape s;
  s.n = n, s.ic = ic, s.oc = oc, s.ih = s.iw = s.oh = s.ow = size;
  return s;
}

std::string planning_error(const EmulationOptions& options) {
  const auto plan = plan_for_gpu(graph_of({{1, 16, 5, 5}, conv(32, {1, 1}), 16}), options);
  return plan ? "" : plan.error().list()[0].message;
}

}  // namespace

TEST_CASE("two convolutions in one kernel compute what each computes alone") {
  for (DType precision : {DType::f16, DType::bf16})
    for (const Case& c : {
             Case{{1, 16, 9, 7}, conv(24, {1, 1}), 40},
             Case{{2, 32, 7, 5}, conv(136, {1, 1}), 24, true},
             Case{{1, 8, 11, 13}, conv(17, {3, 3}, {2, 1}), 10, true, false},
             Case{{1, 24, 6, 5}, conv(200, {1, 1}, {1, 1}, false), 72, true},
         })
      check(c, precision);
}

TEST_CASE("every tile of a pair of convolutions") {
  // Wider second convolutions leave smaller tiles.
  check({{1, 16, 13, 11}, conv(64, {1, 1}), 64, true}, DType::f16);
  check({{1, 16, 9, 8}, conv(64, {1, 1}), 200, true}, DType::f16);
  check({{1, 16, 7, 5}, conv(40, {1, 1}), 300, true}, DType::f16);
}

TEST_CASE("convolutions are paired where that is predicted to be faster") {
  EmulationOptions options;
  options.target = "sm_90a";
  const Case block{{128, 64, 56, 56}, conv(256, {1, 1}), 64, true};
  const auto large = plan_for_gpu(graph_of(block), options);
  REQUIRE(large);
  const Step* step = pair_of(*large);
  REQUIRE(step);
  CHECK(step->name == "first+second");
  CHECK(step->remark.find("apart ") == 0);
  CHECK(step->candidates[0].microseconds == step->predicted_us);
  // The first's result is written, but not read: x, the residual, two results and weights.
  const int64_t pixels = 128 * 56 * 56;
  CHECK(step->bytes == pixels * (2 * 64 + 4 * 256 + 2 * 256 + 2 * 64) + 2 * 2 * 64 * 256 + 4 * (64 + 256));
  CHECK(step->flops == Approx(2.0 * static_cast<double>(pixels) * 2 * 64 * 256).epsilon(0.02));

  options.plan.conv_pairs = false;
  const auto apart = plan_for_gpu(graph_of(block), options);
  REQUIRE(apart);
  CHECK_FALSE(pair_of(*apart));

  // A pair is by mma.
  options.plan.conv_pairs = options.plan.use_wgmma = true;
  const auto by_wgmma = plan_for_gpu(graph_of(block), options);
  REQUIRE(by_wgmma);
  CHECK_FALSE(pair_of(*by_wgmma));
  CHECK(uses_wgmma(*by_wgmma));
  options.plan.overrides["second"].paired = true;
  const auto asked_for = plan_for_gpu(graph_of(block), options);
  REQUIRE(asked_for);
  CHECK(pair_of(*asked_for));
  CHECK_FALSE(uses_wgmma(*asked_for));
  options.plan = {};

  // One image has too few thread blocks that hold all channels.
  const auto small = plan_for_gpu(graph_of({{1, 256, 14, 14}, conv(1024, {1, 1}), 256, true}), options);
  REQUIRE(small);
  CHECK_FALSE(pair_of(*small));
  bool explained = false;
  for (const Step& s : small->steps) explained |= s.remark.find("with second in one kernel") == 0;
  CHECK(explained);
}

TEST_CASE("pairs fit every GPU's shared memory and a thread's registers, or are none") {
  const GpuFacts h200 = *resolve_target("sm_90a")->gpu;
  for (int64_t second : {64, 128, 256}) {
    const auto choices =
        gpu_pair_choices(problem(square(8, 64, 256, 28)), problem(square(8, 256, second, 28)), h200);
    CHECK_FALSE(choices.empty());
    for (const GpuPairChoice& choice : choices) {
      const GpuConvKernel &a = choice.kernel.first, &b = choice.kernel.second;
      CHECK(pair_memory(choice.kernel).bytes <= 99 << 10);
      CHECK(a.tile_m * (a.tile_n + b.tile_n) / kPairThreads <= 96);
      CHECK(b.tile_n >= second);
      CHECK(choice.candidate.microseconds >= choices[0].candidate.microseconds);
    }
  }
  CHECK(gpu_pair_choices(problem(square(8, 64, 256, 28)), problem(square(8, 256, 2048, 28)), h200).empty());
  CHECK(gpu_pair_choices(problem(square(8, 64, 64, 28), DType::f32),
                         problem(square(8, 64, 64, 28), DType::f32), h200)
            .empty());
}

TEST_CASE("a plan's file says what is paired") {
  CHECK(planning_error(paired(true)).empty());
  CHECK(planning_error(paired(true, DType::f32)).find("second: paired=on is not possible") == 0);
  EmulationOptions wrong;
  wrong.plan.overrides["first"].paired = true;
  CHECK(planning_error(wrong).find("first: paired=on is for a convolution of 1x1 pixels") == 0);
  EmulationOptions tiled = paired(true);
  tiled.plan.overrides["second"].gpu_tile = GpuTile{64, 64};
  CHECK(planning_error(tiled) == "second: a tile needs algorithm=mma or wgmma");
  for (const char* layer : {"first", "second"}) {
    EmulationOptions chosen = paired(true);
    chosen.plan.overrides[layer].gpu_algorithm = GpuConvKernel::Algorithm::wgmma;
    CHECK(planning_error(chosen) ==
          "second: paired=on leaves no choice of an algorithm for it, nor for first");
  }

  const Graph graph = *run_pipeline(graph_of({{1, 16, 5, 5}, conv(32, {1, 1}), 16}), {.gpu = true});
  const auto plan = make_plan(graph, *resolve_target("sm_80"), paired(true).plan);
  REQUIRE(plan);
  CHECK(print_overrides(*plan, graph) == "second paired=on\n");
  const std::string text = explain(*plan, graph);
  CHECK(text.find("first+second") != std::string::npos);
  CHECK(text.find("apart ") != std::string::npos);
}
