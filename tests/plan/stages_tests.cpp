// Networks for a batch: which steps are repeated for each image, and that the plan computes the network.
#include "passes/stages.h"

#include <catch2/catch.hpp>

#include "ir/interpreter.h"
#include "tests/plan/networks.h"
#include "tests/plan/plan_executor.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

void check_against_interpreter(const Graph& graph, const Plan& plan) {
  const std::unique_ptr<WeightStore> weights = random_weights(graph, 3);
  const std::vector<Tensor> inputs = random_inputs(graph, 4);
  const std::vector<Tensor> expected = interpret(graph, *weights, inputs);
  const std::vector<Tensor> actual = execute_plan(graph, plan, *weights, inputs);
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    for (size_t j = 0; j < expected[i].data.size(); ++j)
      REQUIRE(actual[i].data[j] == Approx(expected[i].data[j]).margin(1e-4));
}

// Small networks are too large for them.
Target small_caches() {
  Target target = avx2_target();
  target.l2_bytes = 1 << 10;
  return target;
}

// Few weights on large images, then many on small ones. `early` is a second output, of the first layers;
// the last layers read the network's second input too.
Graph two_parts(int64_t images, Layout layout) {
  NetworkBuilder net("two_parts");
  const NodeId x = net.input({images, 3, 24, 24}, layout);
  const NodeId late = net.input({images, 20, 1, 1}, Layout::nchw, "late");
  const NodeId a = net.conv(x, Conv{20, {3, 3}}, "a");
  const NodeId b = net.conv(a, Conv{20, {3, 3}}, "b");
  net.output(b, "early", layout);
  const NodeId sum = net.layer(Add{}, {a, b}, "sum");
  const NodeId pooled = net.layer(GlobalAvgPool{}, {net.layer(Relu{}, {sum})}, "pool");
  const NodeId c = net.conv(net.layer(Add{}, {pooled, late}), Conv{500, {1, 1}}, "c");
  net.output(net.conv(c, Conv{300, {1, 1}}, "d"));
  return std::move(net.graph);
}

const Step& step(const Plan& plan, const std::string& name) { return step_called(plan, name); }

}  // namespace

TEST_CASE("layers with large images and few weights are computed image by image") {
  for (const Layout layout : {Layout::nchw, Layout::nhwc}) {
    const Graph graph = two_parts(4, layout);
    const Plan plan = plan_of(graph, small_caches());
    CHECK(step(plan, "a").repeats == 4);
    CHECK(step(plan, "b").repeats == 4);
    CHECK(step(plan, "c").repeats == 1);
    CHECK(step(plan, "d").repeats == 1);
    CHECK(repeated_steps(plan) > 2);
    CHECK(step(plan, "a").output.shape.n() == 1);
    CHECK(print(plan, graph).find(" for each of 4 images") != std::string::npos);
    CHECK(step(plan, "d").output.shape.n() == 4);
    check_against_interpreter(graph, plan);
  }
}

TEST_CASE("one image is computed at once") {
  const Graph graph = two_parts(1, Layout::nchw);
  CHECK(repeated_steps(plan_of(graph, small_caches())) == 0);
}

TEST_CASE("values of all images that fit the L2 cache are computed at once") {
  CHECK(repeated_steps(plan_of(two_parts(4, Layout::nchw), avx2_target())) == 0);
}

TEST_CASE("a network of nothing but weights is computed for all images at once") {
  NetworkBuilder net("dense");
  const NodeId x = net.input({4, 300, 1, 1});
  net.output(net.conv(net.conv(x, Conv{300, {1, 1}}), Conv{200, {1, 1}}));
  const Plan plan = plan_of(net.graph, small_caches());
  CHECK(repeated_steps(plan) == 0);
  check_against_interpreter(net.graph, plan);
}

TEST_CASE("stages choose the kernels that one image has, and can be told others") {
  const Graph batch = two_parts(4, Layout::nchw), single = two_parts(1, Layout::nchw);
  const Plan of_batch = plan_of(batch, small_caches()), of_one = plan_of(single, small_caches());
  for (const char* name : {"a", "b"})
    CHECK(kernel_name(step(of_batch, name).kernel) == kernel_name(step(of_one, name).kernel));
  PlanOptions options;
  options.overrides["b"] = {.algorithm = ConvAlgorithm::direct, .pixels = 3};
  options.overrides["d"] = {.algorithm = ConvAlgorithm::direct, .k_unroll = 2};
  const Plan told = plan_of(batch, small_caches(), options);
  CHECK(std::get<ConvKernel>(step(told, "b").kernel).pixels == 3);
  CHECK(std::get<ConvKernel>(step(told, "d").kernel).k_unroll == 2);
  options.overrides["e"] = {};
  CHECK_FALSE(make_plan(batch, small_caches(), options));
}
