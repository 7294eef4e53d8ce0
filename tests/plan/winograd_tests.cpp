#include "passes/winograd.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "ir/interpreter.h"
#include "tests/plan/networks.h"
#include "tests/plan/plan_executor.h"
#include "tests/support/matrix.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr ConvAlgorithm kBoth[] = {ConvAlgorithm::winograd_f2, ConvAlgorithm::winograd_f4};

// Two convolutions, `conv` forced to the algorithm, its input also the residual.
Graph residual_network(const Shape& input, int64_t groups) {
  NetworkBuilder net("residual");
  const NodeId x = net.conv(net.input(input), Conv{48, {1, 1}}, "first");
  Conv conv{48, {3, 3}};
  conv.groups = groups;
  conv.padding = {Padding::Mode::explicit_, 1, 1, 1, 1};
  conv.bias = true;
  conv.epilogue = {{EpilogueStep::Kind::add}, {EpilogueStep::Kind::activation, {Activation::Kind::relu}}};
  const NodeId kernel = net.graph.add(Weight{{48, 48 / groups, 3, 3}, Role::kernel}, {}, "kernel");
  const NodeId bias = net.graph.add(Weight{{48}, Role::bias}, {}, "bias");
  net.output(net.graph.add(conv, {x, kernel, bias, x}, "conv"), "y", Layout::nhwc);
  return net.graph;
}

Plan forced(const Graph& graph, const Target& target, ConvAlgorithm algorithm) {
  StepOverride wanted;
  wanted.algorithm = algorithm;
  return plan_of(graph, target, {.overrides = {{"conv", wanted}}, .winograd = false});
}

void check_execution(const Graph& graph, const Plan& plan) {
  const std::unique_ptr<WeightStore> store = random_weights(graph, 5);
  const std::vector<Tensor> inputs = random_inputs(graph, 6);
  const Tensor expected = interpret(graph, *store, inputs)[0];
  const Tensor actual = execute_plan(graph, plan, *store, inputs)[0];
  double largest = 0, error = 0;
  for (size_t i = 0; i < expected.data.size(); ++i) {
    largest = std::max(largest, std::abs(expected.data[i]));
    error = std::max(error, std::abs(expected.data[i] - actual.data[i]));
  }
  CHECK(error <= 1e-5 * largest);  // the transformed weights are floats
}

int64_t transformed_bytes(const Step& products) {
  return 4 * (products.inputs[0].shape.elements() + products.output.shape.elements());
}

}  // namespace

TEST_CASE("Winograd's transforms compute a convolution") {
  std::mt19937 random(3);
  std::uniform_real_distribution<double> values(-1, 1);
  for (int outputs : {2, 4}) {
    const WinogradTransform& t = winograd_transform(outputs);
    const size_t alpha = static_cast<size_t>(outputs) + 2;
    Matrix g(3, std::vector<double>(1)), d(alpha, std::vector<double>(1));
    for (Matrix* matrix : {&g, &d})
      for (std::vector<double>& row : *matrix) row[0] = values(random);
    Matrix m = product(t.kernel, g);
    const Matrix v = product(t.input, product(t.input_parts, d));
    for (size_t e = 0; e < alpha; ++e) m[e][0] *= v[e][0];
    const Matrix y = product(t.output, product(t.output_parts, m));
    REQUIRE(y.size() == static_cast<size_t>(outputs));
    for (size_t i = 0; i < y.size(); ++i)
      CHECK(y[i][0] ==
            Approx(d[i][0] * g[0][0] + d[i + 1][0] * g[1][0] + d[i + 2][0] * g[2][0]).margin(1e-12));
  }
}

TEST_CASE("executed Winograd plans agree with the interpreter") {
  for (ConvAlgorithm algorithm : kBoth)
    for (const Target& target : {avx2_target(), avx512_target()})
      for (int64_t groups : {1, 3})
        for (int64_t size : {2, 5, 9}) {
          const Graph graph = residual_network({2, 20, size, size + 1}, groups);
          const Plan plan = forced(graph, target, algorithm);
          INFO(print(plan, graph));
          REQUIRE(plan.steps.size() >= 4);
          check_execution(graph, plan);
        }
}

TEST_CASE("a Winograd convolution is three steps, of which the last makes the value") {
  const Graph graph = residual_network({1, 20, 16, 16}, 1);
  const Plan plan = forced(graph, avx512_target(), ConvAlgorithm::winograd_f4);
  const Step& input = step_called(plan, "conv.winograd_input");
  const Step& products = step_called(plan, "conv.winograd_products");
  const Step& output = step_called(plan, "conv");
  CHECK(kernel_name(input.kernel) == "winograd_f4_input");
  CHECK(kernel_name(output.kernel) == "winograd_f4_output");
  CHECK(input.output == products.inputs[0]);
  CHECK(products.output == output.inputs[0]);
  CHECK(input.output.shape == Shape{1, 36 * 48, 4, 4});
  CHECK(input.intermediate);
  CHECK(products.intermediate);
  CHECK_FALSE(output.intermediate);
  CHECK(products.weights[0].floats == 36 * 48 * 49);
  CHECK(products.flops >= 2.0 * 256 * 48 * 48 * 9);  // and the epilogue's
  CHECK(input.flops + output.flops == 0);
  const Candidate& chosen = products.candidates.at(0);
  CHECK(chosen.text.find("winograd_f4 ") == 0);
  CHECK(chosen.microseconds > input.predicted_us + products.predicted_us + output.predicted_us - 1e-9);
}

TEST_CASE("Winograd is chosen for large 3x3 convolutions only if it is allowed") {
  NetworkBuilder net("one");
  net.output(
      net.conv(net.conv(net.input({1, 3, 56, 56}), Conv{64, {1, 1}}, "first"), Conv{64, {3, 3}}, "conv"));
  for (const Target& target : {avx2_target(), avx512_target()}) {
    const Plan on = plan_of(net.graph, target);
    CHECK(kernel_name(step_called(on, "conv").kernel) == "winograd_f4_output");
    const Plan off = plan_of(net.graph, target, {.overrides = {}, .winograd = false});
    CHECK(std::get<ConvKernel>(step_called(off, "conv").kernel).algorithm == ConvAlgorithm::direct);
  }
}

TEST_CASE("large Winograd convolutions are computed in bands") {
  Target target = avx512_target();
  for (ConvAlgorithm algorithm : kBoth)
    for (int64_t images : {1, 3})
      for (int64_t kilobytes : {1, 200, 4000}) {
        target.l3_bytes = 8 * kilobytes << 10;
        const Graph graph = residual_network({images, 20, 23, 11}, 3);
        const Plan plan = forced(graph, target, algorithm);
        INFO(print(plan, graph));
        std::vector<const Step*> products;
        double flops = 0, whole = 0;
        const Plan unbanded = forced(graph, avx512_target(), algorithm);
        for (const Step& step : unbanded.steps) whole += step.flops;
        for (const Step& step : plan.steps) {
          flops += step.flops;
          if (step.name == "conv.winograd_products") products.push_back(&step);
        }
        const int64_t fits = std::max(kilobytes << 10, products.at(0)->weights[0].floats * 4);
        for (const Step* step : products) CHECK(transformed_bytes(*step) <= fits);
        const int64_t all = transformed_bytes(step_called(unbanded, "conv.winograd_products"));
        CHECK((products.size() > 1) == (all > fits));
        CHECK(flops == Approx(whole));
        check_execution(graph, plan);
      }
}

TEST_CASE("the rows of a band's input are those that its outputs need") {
  ConvShape s;
  s.ic = s.oc = 16;
  s.kh = s.kw = 3;
  s.ih = 10;
  s.iw = s.ow = 4;
  for (int64_t top : {0, 1, 6})
    for (int64_t bottom : {0, 1, 7}) {
      s.pad_top = top;
      s.oh = s.ih + top + bottom - 2;
      int64_t next = 0;
      for (const Band& band : winograd_bands(s, 2, 1)) {
        CHECK(band.out_row == next);
        next += band.shape.oh;
        CHECK(band.shape.oh == std::min<int64_t>(2, s.oh - band.out_row));
        CHECK(band.x_row >= 0);
        CHECK(band.shape.ih >= 1);
        CHECK(band.x_row + band.shape.ih <= s.ih);
        for (int64_t y = band.out_row; y < next + 2; ++y) {
          const int64_t row = y - s.pad_top;  // the first that output row y needs
          if (row < 0 || row >= s.ih) continue;
          CHECK(row >= band.x_row);
          CHECK(row < band.x_row + band.shape.ih);
          CHECK(y - band.out_row - band.shape.pad_top == row - band.x_row);
        }
      }
      CHECK(next == s.oh);
    }
}
