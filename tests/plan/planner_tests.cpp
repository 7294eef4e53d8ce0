#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <map>

#include "ir/interpreter.h"
#include "passes/packing.h"
#include "passes/pipeline.h"
#include "tests/plan/networks.h"
#include "tests/plan/plan_executor.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

size_t reorders(const Plan& plan) {
  size_t count = 0;
  for (const Step& step : plan.steps) count += std::holds_alternative<ReorderKernel>(step.kernel);
  return count;
}

// Executes the plan and compares with the interpreter.
void check_plan(const Graph& graph, const Target& target) {
  const Plan plan = plan_of(graph, target);
  INFO(print(plan, graph));
  const std::unique_ptr<WeightStore> store = random_weights(graph, 5);
  const std::vector<Tensor> inputs = random_inputs(graph, 6);
  const std::vector<Tensor> expected = interpret(graph, *store, inputs);
  const std::vector<Tensor> actual = execute_plan(graph, plan, *store, inputs);
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    double largest = 0, error = 0;
    REQUIRE(actual[i].data.size() == expected[i].data.size());
    for (size_t j = 0; j < expected[i].data.size(); ++j) {
      if (!std::isfinite(actual[i].data[j]))
        FAIL("output " << i << " element " << j << " was never computed");
      largest = std::max(largest, std::abs(expected[i].data[j]));
      error = std::max(error, std::abs(expected[i].data[j] - actual[i].data[j]));
    }
    // Packed weights are floats, the interpreter's folded ones doubles.
    REQUIRE(error <= 1e-5 * (largest + 1e-3));
  }
}

void check_on_all_targets(const Graph& graph) {
  for (const Target& target : {avx2_target(), avx512_target()}) check_plan(graph, target);
}

}  // namespace

TEST_CASE("executed plans of random graphs agree with the interpreter") {
  for (uint64_t seed = 0; seed < 150; ++seed) {
    INFO("seed " << seed);
    const Graph graph = random_graph(seed, static_cast<int>(3 + seed % 12));
    const Result<Graph> passed = run_pipeline(graph);
    REQUIRE(passed);
    check_plan(*passed, seed % 2 ? avx2_target() : avx512_target());
  }
}

TEST_CASE("executed plans of random graphs in stages agree with the interpreter") {
  Target target = avx2_target();
  target.l2_bytes = 64;  // so that no value of a batch fits
  int staged = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    INFO("seed " << seed);
    const Graph graph = random_graph(seed, static_cast<int>(3 + seed % 12));
    const Result<Graph> passed = run_pipeline(graph);
    REQUIRE(passed);
    const Plan plan = plan_of(*passed, target);
    staged += repeated_steps(plan) > 0 && repeated_steps(plan) < plan.steps.size();
    check_plan(*passed, target);
  }
  CHECK(staged > 5);
}

TEST_CASE("executed plans agree without epilogue fusion") {
  PipelineOptions options;
  options.disabled = {"fuse_epilogues"};
  for (uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    const Result<Graph> passed = run_pipeline(random_graph(seed, 8), options);
    REQUIRE(passed);
    check_plan(*passed, avx512_target());
  }
}

TEST_CASE("convolutions read the caller's tensors and linear writes the caller's logits") {
  NetworkBuilder net("direct");
  const NodeId x = net.conv(net.input({2, 3, 9, 9}), Conv{20, {3, 3}}, "conv");
  net.output(net.layer(Linear{10}, {net.layer(Flatten{}, {net.layer(GlobalAvgPool{}, {x})})}, "fc"));
  const Plan plan = plan_of(net.graph, avx512_target());
  CHECK(reorders(plan) == 0);
  CHECK(step_called(plan, "conv").inputs[0].space == Space::input);
  const Step& fc = step_called(plan, "fc");
  CHECK(fc.output.space == Space::output);
  CHECK(fc.output.shape == Shape{1, 10, 1, 2});
  CHECK(fc.output.stride_w == 10);
  CHECK_FALSE(fc.output.padded);
  check_on_all_targets(net.graph);
}

TEST_CASE("planar tensors are copied into blocks once for kernels that need vector channels") {
  NetworkBuilder net("copies");
  const NodeId x = net.input({1, 20, 6, 6});
  MaxPool pool;
  pool.kernel = {2, 2};
  net.output(net.layer(Relu{}, {x}, "relu"), "a");
  net.output(net.layer(pool, {x}, "pool"), "b", Layout::nhwc);
  const Plan plan = plan_of(net.graph, avx2_target());
  CHECK(reorders(plan) == 2);  // x, and relu to the planar output
  CHECK(plan.steps[0].name == "x.blocked");
  CHECK(std::get<ReorderKernel>(plan.steps[0].kernel).zero_lanes == 12);
  CHECK(step_called(plan, "pool").output.space == Space::output);
  check_on_all_targets(net.graph);
}

TEST_CASE("an output may be an input, repeat, or be read by other layers") {
  NetworkBuilder net("outputs");
  const NodeId x = net.input({2, 5, 3, 4}, Layout::nhwc);
  const NodeId y = net.conv(x, Conv{18, {3, 3}});
  net.output(x, "same");
  net.output(y, "y1", Layout::nhwc);
  net.output(y, "y2");
  net.output(y, "y3", Layout::nchw16c);
  net.output(net.layer(Softmax{}, {y}), "p", Layout::nhwc);
  check_on_all_targets(net.graph);
}

TEST_CASE("a flatten in the order of the caller's tensor is a view, any other a copy") {
  const auto copies = [](Layout layout, FlattenOrder order) {
    NetworkBuilder net("flatten");
    net.output(net.layer(Linear{7}, {net.layer(Flatten{order}, {net.input({3, 2, 4, 5}, layout)})}));
    check_on_all_targets(net.graph);
    return reorders(plan_of(net.graph, avx2_target()));
  };
  CHECK(copies(Layout::nhwc, FlattenOrder::hwc) == 0);
  CHECK(copies(Layout::nhwc, FlattenOrder::chw) == 1);
  CHECK(copies(Layout::nchw, FlattenOrder::hwc) == 1);

  NetworkBuilder planar("planar");
  planar.output(planar.layer(Linear{7}, {planar.layer(Flatten{}, {planar.input({3, 2, 4, 5})})}));
  CHECK(reorders(plan_of(planar.graph, avx2_target())) == 0);
  check_on_all_targets(planar.graph);

  NetworkBuilder blocked("blocked");
  const NodeId x = blocked.conv(blocked.input({3, 2, 4, 5}, Layout::nhwc), Conv{18, {3, 3}});
  blocked.output(blocked.layer(Linear{7}, {blocked.layer(Flatten{}, {x})}));
  CHECK(reorders(plan_of(blocked.graph, avx2_target())) == 1);
  check_on_all_targets(blocked.graph);

  NetworkBuilder alone("alone");
  alone.output(alone.layer(Flatten{}, {alone.layer(Relu{}, {alone.input({2, 3, 4, 5}, Layout::nhwc)})}));
  check_on_all_targets(alone.graph);
}

TEST_CASE("DenseNet's growing concats are views of one buffer") {
  NetworkBuilder net("dense");
  std::vector<NodeId> features{net.conv(net.input({1, 3, 8, 8}), Conv{64, {3, 3}})};
  for (int i = 0; i < 5; ++i)
    features.push_back(net.conv(net.layer(Concat{}, features), Conv{i == 4 ? 20 : 32, {3, 3}}));
  const NodeId all = net.layer(Concat{}, features, "all");
  net.output(net.layer(GlobalAvgPool{}, {all}));
  const Plan plan = plan_of(net.graph, avx512_target(), {.overrides = {}, .winograd = false});
  CHECK(reorders(plan) == 0);
  CHECK(plan.workspace_floats >= (64 + 4 * 32 + 32) * 64);
  CHECK(plan.workspace_floats <= (64 + 4 * 32 + 32) * 64 + 16 * 16);
  check_on_all_targets(net.graph);
}

TEST_CASE("nested concats that keep to blocks are free too") {
  NetworkBuilder net("nested");
  const NodeId x = net.conv(net.input({2, 3, 5, 5}), Conv{16, {3, 3}});
  NodeId all = x;
  for (int i = 0; i < 4; ++i) all = net.layer(Concat{}, {all, net.conv(all, Conv{16, {1, 1}})});
  net.output(net.layer(GlobalAvgPool{}, {all}));
  CHECK(reorders(plan_of(net.graph, avx2_target())) == 0);
  check_on_all_targets(net.graph);
}

TEST_CASE("concat parts that cannot be placed are copied, within blocks too") {
  NetworkBuilder net("odd");
  const NodeId x = net.input({2, 5, 3, 3});
  const NodeId a = net.conv(x, Conv{24, {3, 3}}), b = net.conv(x, Conv{40, {1, 1}});
  const NodeId once = net.layer(Concat{}, {a, b, x, a}, "once");
  const NodeId twice = net.layer(Concat{}, {b, once, b}, "twice");
  net.output(net.layer(GlobalAvgPool{}, {twice}));
  const Plan plan = plan_of(net.graph, avx512_target());
  bool within_block = false;
  for (const Step& step : plan.steps) within_block |= step.output.first_channel != 0;
  CHECK(within_block);
  check_on_all_targets(net.graph);

  NetworkBuilder rows("rows");
  const NodeId p = rows.layer(
      Flatten{}, {rows.layer(GlobalAvgPool{}, {rows.conv(rows.input({3, 4, 5, 5}), Conv{20, {1, 1}})})});
  rows.output(rows.layer(Concat{}, {p, rows.layer(Linear{9}, {p}), p}));
  check_on_all_targets(rows.graph);
}

TEST_CASE("broadcast operands, on either side and in epilogues") {
  NetworkBuilder net("gate");
  const NodeId x = net.conv(net.input({2, 3, 6, 6}), Conv{20, {3, 3}});
  NodeId gate = net.conv(net.layer(GlobalAvgPool{}, {x}), Conv{20, {1, 1}});
  gate = net.layer(Sigmoid{}, {gate});
  const NodeId scaled = net.layer(Mul{}, {gate, net.conv(x, Conv{20, {1, 1}})});
  net.output(net.layer(Add{}, {net.layer(Mul{}, {x, gate}), scaled}));
  check_on_all_targets(net.graph);
  const Result<Graph> fused = run_pipeline(net.graph);
  REQUIRE(fused);
  check_on_all_targets(*fused);
}

TEST_CASE("grouped convolutions of every width") {
  for (int64_t width : {1, 2, 3, 4, 5, 8, 12, 16, 20, 24, 32, 48})
    for (int64_t groups : {2, 3, 7}) {
      NetworkBuilder net("grouped");
      Conv conv{width * groups, {3, 3}, {2, 1}};
      conv.groups = groups;
      const NodeId x = net.conv(net.input({1, width * groups, 5, 4}), conv);
      conv.channels = 2 * width * groups;  // more out than in
      net.output(net.conv(x, conv));
      check_on_all_targets(net.graph);
    }
}

TEST_CASE("the mean of a grouped convolution's images is made of the sums of rows that it adds up") {
  Target target = avx2_target();
  target.l3_bytes = 0;  // direct convolutions in bands of as few images as their weights allow
  // In how many steps the rows of the convolution's results are added up.
  const auto steps_with_sums = [&](int64_t groups, Pair kernel) {
    NetworkBuilder net("squeezed");
    Conv conv{40, kernel};
    conv.groups = groups;
    const NodeId y = net.conv(net.input({5, 40, 9, 7}), conv, "conv");
    const NodeId mean = net.layer(GlobalAvgPool{}, {y}, "mean");
    net.output(net.layer(Mul{}, {y, mean}, "scaled"));
    check_plan(net.graph, target);
    const Plan plan = plan_of(net.graph, target, {.stages = false});
    const auto sums = std::count_if(plan.steps.begin(), plan.steps.end(),
                                    [](const Step& step) { return step.second_output.has_value(); });
    CHECK(step_called(plan, "mean").inputs[0].shape == Shape{5, 40, 9, sums ? 1 : 7});
    return sums;
  };
  CHECK(steps_with_sums(40, {3, 3}) == 1);
  CHECK(steps_with_sums(10, {3, 3}) == 1);
  CHECK(steps_with_sums(2, {3, 3}) == 3);
  CHECK(steps_with_sums(1, {3, 3}) == 0);
  CHECK(steps_with_sums(10, {1, 1}) == 0);
}

TEST_CASE("what cannot be planned is said clearly") {
  NetworkBuilder net("norm");
  net.output(net.layer(BatchNorm{}, {net.input({1, 3, 4, 4})}, "bn"));
  const Result<Plan> plan = make_plan(net.graph, avx2_target());
  REQUIRE_FALSE(plan);
  CHECK(plan.error().list()[0].message == "bn: a batch_norm is left; run the pass lower_batch_norm first");

  NetworkBuilder constant("constant");
  const NodeId w = constant.graph.add(Weight{{1, 3, 4, 4}, Role::kernel}, {}, "w");
  constant.output(constant.layer(Add{}, {constant.input({1, 3, 4, 4}), w}, "sum"));
  const Result<Plan> refused = make_plan(constant.graph, avx2_target());
  REQUIRE_FALSE(refused);
  CHECK(refused.error().list()[0].message ==
        "sum: operand 2 does not depend on any input; beside a tensor, only +, -, * and / take parameters, "
        "of one value "
        "or one a channel");
}

TEST_CASE("planning a whole network is quick and lossless") {
  for (const auto& [groups, width] : {std::pair{1, 64}, std::pair{32, 4}}) {
    const Graph graph = resnet50(groups, width);
    const auto start = std::chrono::steady_clock::now();
    const Plan plan = plan_of(graph, avx512_target());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    CHECK(seconds.count() < 2);
    CHECK(reorders(plan) == 0);
    CHECK(plan.workspace_floats <= 3'800'000);
    double flops = 0;
    for (const Step& step : plan.steps) flops += step.flops;
    CHECK(flops == Approx(groups == 1 ? 8.2e9 : 8.5e9).epsilon(0.02));
    const Plan direct = plan_of(graph, avx512_target(), {.winograd = false, .fast_matmul = 0});
    const Plan winograd = plan_of(graph, avx512_target(), {.fast_matmul = 0});
    CHECK(winograd.workspace_floats <= 1'900'000);
    // Three of the shortcuts' convolutions are strided: their pixels are taken out first.
    CHECK(direct.steps.size() == 56 + 3);
    // The largest moment of ResNet-50 holds layer2.0.conv1's input and result.
    CHECK(direct.workspace_floats <= (groups == 1 ? 1'410'000 : 1'900'000));
    // All of ResNet-50's 3x3 convolutions of stride 1; in groups of 32 and fewer channels the transforms take
    // what the products save.
    CHECK(winograd.steps.size() == direct.steps.size() + 2 * (groups == 1 ? 13 : 0));
  }
}

namespace {

std::map<std::string, std::string> algorithms(const Plan& plan) {
  std::map<std::string, std::string> chosen;
  for (const Step& step : plan.steps)
    if (!step.candidates.empty())
      chosen[step.name] = step.candidates[0].text.substr(0, step.candidates[0].text.find(' '));
  return chosen;
}

}  // namespace

TEST_CASE("algorithms depend neither on the target nor on the batch, unless that is allowed") {
  for (const auto& [groups, width] :
       {std::pair{1, 64}, std::pair{32, 4}, std::pair{32, 8}, std::pair{4, 24}}) {
    const Graph one = resnet50(groups, width), eight = resnet50(groups, width, 8);
    Target slow_caches = avx512_target();
    slow_caches.l2_bytes = slow_caches.l3_bytes = 256 << 10;
    const std::map<std::string, std::string> expected = algorithms(plan_of(one, avx512_target()));
    CHECK(expected.size() == 54);
    for (const Target& target : {avx2_target(), avx512_target(), slow_caches})
      for (const Graph* graph : {&one, &eight}) CHECK(algorithms(plan_of(*graph, target)) == expected);
  }
  const Graph one = resnet50(1, 64), eight = resnet50(1, 64, 8);
  PlanOptions fastest;
  fastest.same_bits = false;
  CHECK(algorithms(plan_of(one, avx512_target(), fastest)) !=
        algorithms(plan_of(eight, avx512_target(), fastest)));
}

TEST_CASE("plans made together share the weights that they pack alike") {
  const std::vector<Target> targets{avx2_target(), avx512_target()};
  for (const auto& [groups, width] : {std::pair{1, 64}, std::pair{32, 4}}) {
    const Graph graph = resnet50(groups, width);
    const Result<std::vector<Plan>> plans = make_plans(graph, targets);
    REQUIRE(plans);
    const int64_t alone = plan_of(graph, avx512_target()).weights_floats;
    for (const Plan& plan : *plans) {
      CHECK(plan.weights_floats == alone);
      CHECK(weights_read(plan) == alone);
    }
  }
  // Of groups that straddle blocks, panels of different widths reduce over different blocks.
  NetworkBuilder net("straddling");
  Conv conv{72, {3, 3}};
  conv.groups = 3;
  net.output(net.conv(net.conv(net.input({1, 72, 7, 7}), Conv{72, {1, 1}}, "first"), conv, "conv"));
  PlanOptions options;
  options.overrides["conv"].panel = 3;
  std::vector<Plan> plans;
  plans.push_back(plan_of(net.graph, avx512_target(), options));
  options.overrides["conv"].panel = 1;
  plans.push_back(plan_of(net.graph, avx2_target(), options));
  const int64_t widths[] = {plans[0].weights_floats, plans[1].weights_floats};
  const int64_t first = step_called(plans[0], "first").weights[0].floats;
  lay_out_weights(plans);
  CHECK(plans[0].weights_floats == widths[0] + widths[1] - first);
  CHECK(plans[1].weights_floats == plans[0].weights_floats);
  CHECK(weights_read(plans[1]) == widths[1]);
}

TEST_CASE("large and odd shapes stay within int64") {
  for (const Shape& shape :
       {Shape{1, 1, 1, int64_t{1} << 22}, Shape{1, 1, 1 << 12, 1 << 16}, Shape{1 << 16, 3, 7, 7}}) {
    NetworkBuilder net("large");
    const NodeId x = net.conv(net.input(shape), Conv{20, {1, 3}}, "conv");
    net.output(net.conv(x, Conv{18, {1, 1}}, "last"), "y", Layout::nhwc);
    const Plan plan = plan_of(net.graph, avx512_target(), {.stages = false});
    const Step& step = step_called(plan, "conv");
    CHECK(step.units > 0);
    CHECK(step.output.stride_n == 32 * shape.h() * shape.w());
    constexpr int64_t kPageFloats = 1024;  // where in a page a buffer begins is varied
    CHECK(plan.workspace_floats / kPageFloats == shape.n() * 32 * shape.h() * shape.w() / kPageFloats);
    CHECK(step.predicted_us > 0);
  }
  NetworkBuilder wide("wide kernel");
  wide.output(wide.conv(wide.input({1, 4, 40, 40}), Conv{4, {39, 39}}));
  check_plan(wide.graph, avx512_target());
}

TEST_CASE("a convolution of many images is computed in bands that fit the cache") {
  NetworkBuilder net("one");
  net.output(net.conv(net.input({5, 64, 20, 20}), Conv{96, {1, 1}}, "conv"));
  Target target = avx512_target();
  target.l3_bytes = 8 * 2 * 64 * 400 * 4;  // two images
  const Plan plan = plan_of(net.graph, target, {.fast_matmul = 0, .stages = false});
  const Step* reads[3] = {};
  size_t bands = 0;
  for (const Step& step : plan.steps)
    if (step.name == "conv") reads[bands++ % 3] = &step;
  REQUIRE(bands == 3);
  CHECK(reads[0]->output.shape == Shape{2, 96, 20, 20});
  CHECK(reads[2]->output.shape == Shape{1, 96, 20, 20});
  CHECK(reads[2]->inputs[0].offset - reads[0]->inputs[0].offset == 4 * 64 * 400);
  CHECK(reads[0]->weights[0].offset == reads[2]->weights[0].offset);
  CHECK(reads[0]->candidates.size() > 1);
  CHECK(reads[1]->candidates.empty());
  CHECK(reads[1]->predicted_us == Approx(2 * reads[2]->predicted_us));
}
