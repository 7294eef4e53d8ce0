#include "passes/strassen.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "ir/interpreter.h"
#include "passes/rounding.h"
#include "tests/plan/networks.h"
#include "tests/plan/plan_executor.h"
#include "tests/support/fast_kernels.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr ConvAlgorithm kBoth[] = {ConvAlgorithm::strassen_1, ConvAlgorithm::strassen_2};

// A 1x1 convolution `conv` of `channels` to `channels` channels, its input also the residual, between two
// others.
Graph residual_network(const Shape& input, int64_t channels) {
  NetworkBuilder net("residual");
  const NodeId x = net.conv(net.input(input), Conv{channels, {1, 1}}, "first");
  Conv conv{channels, {1, 1}};
  conv.bias = true;
  conv.epilogue = {{EpilogueStep::Kind::add}, {EpilogueStep::Kind::activation, {Activation::Kind::relu}}};
  const NodeId kernel = net.graph.add(Weight{{channels, channels, 1, 1}, Role::kernel}, {}, "kernel");
  const NodeId bias = net.graph.add(Weight{{channels}, Role::bias}, {}, "bias");
  const NodeId y = net.graph.add(conv, {x, kernel, bias, x}, "conv");
  net.output(net.conv(y, Conv{16, {1, 1}}, "last"), "y", Layout::nhwc);
  return net.graph;
}

Plan forced(const Graph& graph, const Target& target, ConvAlgorithm algorithm) {
  StepOverride wanted;
  wanted.algorithm = algorithm;
  return plan_of(graph, target, {.overrides = {{"conv", wanted}}, .winograd = false, .fast_matmul = 0});
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
  CHECK(error <= 1e-5 * largest);  // the sums of weights are floats
}

}  // namespace

TEST_CASE("executed plans with fast matrix multiplication agree with the interpreter") {
  for (ConvAlgorithm algorithm : kBoth)
    for (const Target& target : {avx2_target(), avx512_target()})
      for (int64_t channels : {64, 192})
        for (int64_t images : {1, 3})
          for (const Shape& image : {Shape{1, 1, 2, 2}, Shape{1, 1, 5, 1}, Shape{1, 1, 2, 3},
                                     Shape{1, 1, 7, 7}, Shape{1, 1, 4, 9}}) {
            const Graph graph = residual_network({images, 20, image.h(), image.w()}, channels);
            const Plan plan = forced(graph, target, algorithm);
            INFO(print(plan, graph));
            check_execution(graph, plan);
            double flops = 0, all = 0;
            for (const Step& step : plan.steps) flops += step.flops;
            for (NodeId id : graph.ids()) all += node_flops(graph, id);
            CHECK(flops == Approx(all));
          }
}

TEST_CASE("large products are computed in bands of pixels") {
  Target target = avx512_target();
  for (ConvAlgorithm algorithm : kBoth)
    for (int64_t images : {1, 3})
      for (int64_t kilobytes : {1, 60}) {
        target.l3_bytes = 8 * kilobytes << 10;
        const Graph graph = residual_network({images, 20, 37, 11}, 64);
        const Plan plan = forced(graph, target, algorithm);
        const Plan unbanded = forced(graph, avx512_target(), algorithm);
        INFO(print(plan, graph));
        CHECK(plan.steps.size() > unbanded.steps.size());
        double flops = 0, whole = 0;
        for (const Step& step : unbanded.steps) whole += step.flops;
        for (const Step& step : plan.steps) flops += step.flops;
        CHECK(flops == Approx(whole));
        check_execution(graph, plan);
      }
}

TEST_CASE("a 1x1 convolution with strides is made dense first") {
  for (ConvAlgorithm algorithm : kBoth) {
    NetworkBuilder net("strided");
    const NodeId x = net.conv(net.input({2, 20, 9, 8}), Conv{64, {1, 1}}, "first");
    net.output(net.conv(x, Conv{64, {1, 1}, {2, 3}}, "conv"));
    const Plan plan = forced(net.graph, avx2_target(), algorithm);
    CHECK(step_called(plan, "conv.sampled").output.shape == Shape{2, 64, 5, 3});
    check_execution(net.graph, plan);
  }
}

TEST_CASE("a fast product is written over the residual") {
  for (ConvAlgorithm algorithm : kBoth) {
    NetworkBuilder net("in_place");
    const NodeId first = net.conv(net.input({1, 20, 7, 7}), Conv{64, {1, 1}}, "first");
    const NodeId x = net.conv(first, Conv{64, {1, 1}}, "second");
    Conv conv{64, {1, 1}};
    conv.epilogue = {{EpilogueStep::Kind::add}};
    const NodeId kernel = net.graph.add(Weight{{64, 64, 1, 1}, Role::kernel}, {}, "kernel");
    const NodeId y = net.graph.add(conv, {x, kernel, first}, "conv");
    net.output(net.conv(y, Conv{16, {1, 1}}, "last"), "y", Layout::nhwc);
    const Plan plan = forced(net.graph, avx2_target(), algorithm);
    CHECK(plan.views[index(y)].offset == plan.views[index(first)].offset);
    check_execution(net.graph, plan);
  }
}

namespace {

// Rows of floats: pixels of channels.
struct Pixels {
  size_t channels;
  std::vector<float> values;
  size_t count() const { return values.size() / channels; }
  float at(size_t p, size_t c) const { return values[p * channels + c]; }
};

// The sum of quarters of x that a product takes, as the kernels form it.
Pixels first_factor(const Pixels& x, const StrassenWeights& weights, size_t product) {
  const size_t half = x.count() / 2, ic = x.channels / 2;
  Pixels factor{ic, {}};
  for (size_t p = 0; p < half; ++p)
    for (size_t k = 0; k < ic; ++k) {
      const float ratio = weights.factors.ratios[k];
      const float a11 = x.at(p, k), a12 = x.at(p, ic + k), a21 = x.at(half + p, k),
                  a22 = x.at(half + p, ic + k);
      const float s1 = std::fma(a22, ratio, a21), s2 = s1 - a11;
      const float factors[] = {a11, a12, s2, s1, std::fma(a12, ratio, -s2), a11 - a21, a22};
      factor.values.push_back(factors[product]);
    }
  return factor;
}

// x times the kernel [OC, IC], in floats.
Pixels multiply(const Pixels& x, const Tensor& kernel, int levels) {
  const auto oc = static_cast<size_t>(kernel.type.shape[0]);
  Pixels y{oc, std::vector<float>(x.count() * oc)};
  if (levels == 0) {
    for (size_t p = 0; p < x.count(); ++p)
      for (size_t c = 0; c < oc; ++c)
        for (size_t k = 0; k < x.channels; ++k)
          y.values[p * oc + c] =
              std::fma(x.at(p, k), static_cast<float>(kernel.data[c * x.channels + k]), y.values[p * oc + c]);
    return y;
  }
  const StrassenWeights weights = strassen_weights(kernel);
  std::vector<Pixels> products;
  for (size_t i = 0; i < weights.products.size(); ++i)
    products.push_back(multiply(first_factor(x, weights, i), weights.products[i], levels - 1));
  const size_t half = x.count() / 2;
  for (size_t p = 0; p < half; ++p)
    for (size_t c = 0; c < oc / 2; ++c) {
      float m[7];
      for (size_t i = 0; i < 7; ++i) m[i] = products[i].at(p, c);
      const float u = m[0] + m[2], scale = weights.factors.scales[c];
      y.values[p * oc + c] = m[0] + m[1];
      y.values[p * oc + oc / 2 + c] = (u + m[3] + m[4]) * scale;
      y.values[(half + p) * oc + c] = m[5] + u + m[6];
      y.values[(half + p) * oc + oc / 2 + c] = (m[5] + (u + m[3])) * scale;
    }
  return y;
}

struct Problem {
  Pixels x;
  Tensor kernel;
};

// Standard normal values. Channels are scaled by e^u, |u| <= spread: output channels by their weights, input
// channels by x, and the weights the other way round.
Problem random_problem(size_t channels, double spread) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> exponent(-spread, spread);
  const auto n = static_cast<int64_t>(channels);
  Problem problem{{channels, std::vector<float>(64 * channels)}, Tensor({DType::f32, {n, n}})};
  std::vector<double> in(channels), out(channels);
  for (size_t c = 0; c < channels; ++c)
    in[c] = std::exp(exponent(random)), out[c] = std::exp(exponent(random));
  for (size_t i = 0; i < problem.x.values.size(); ++i)
    problem.x.values[i] = static_cast<float>(normal(random) * in[i % channels]);
  for (size_t i = 0; i < problem.kernel.data.size(); ++i)
    problem.kernel.data[i] = static_cast<float>(normal(random) * out[i / channels] / in[i % channels]);
  return problem;
}

struct Errors {
  double whole = 0;     // the largest over the largest output
  double channel = 0;   // the same of the worst output channel
  double of_bound = 0;  // the largest as a share of what the bound is in proportion to
};

Errors errors_of(const Problem& problem, int levels) {
  const size_t channels = problem.x.channels;
  const Pixels y = multiply(problem.x, problem.kernel, levels);
  double error = 0, largest = 0, scale = 0;
  Errors errors;
  for (size_t k = 0; k < channels; ++k) {
    double x = 0, w = 0;
    for (size_t p = 0; p < problem.x.count(); ++p) x = std::max<double>(x, std::abs(problem.x.at(p, k)));
    for (size_t c = 0; c < channels; ++c) w = std::max(w, std::abs(problem.kernel.data[c * channels + k]));
    scale += x * w;
  }
  for (size_t c = 0; c < channels; ++c) {
    double channel_error = 0, channel_largest = 0;
    for (size_t p = 0; p < problem.x.count(); ++p) {
      double exact = 0;
      for (size_t k = 0; k < channels; ++k)
        exact += problem.kernel.data[c * channels + k] * static_cast<double>(problem.x.at(p, k));
      channel_error = std::max(channel_error, std::abs(exact - static_cast<double>(y.at(p, c))));
      channel_largest = std::max(channel_largest, std::abs(exact));
    }
    error = std::max(error, channel_error), largest = std::max(largest, channel_largest);
    errors.channel = std::max(errors.channel, channel_error / channel_largest);
  }
  errors.whole = error / largest;
  errors.of_bound = error / scale;
  return errors;
}

}  // namespace

TEST_CASE("fast matrix multiplication's errors are what conv_rounding expects, and within its bound") {
  for (size_t channels : {64, 256})
    for (int levels : {1, 2}) {
      const Errors errors = errors_of(random_problem(channels, 0), levels);
      ConvShape shape;
      shape.ic = shape.oc = static_cast<int64_t>(channels);
      const Rounding rounding =
          conv_rounding(shape, levels == 1 ? ConvAlgorithm::strassen_1 : ConvAlgorithm::strassen_2);
      INFO(levels << " levels of " << channels << " channels: " << errors.whole << ", expected "
                  << rounding.expected << "; bound " << rounding.bound);
      CHECK(errors.whole < rounding.expected * 2);
      CHECK(errors.whole > rounding.expected / 3);
      CHECK(errors.of_bound < rounding.bound);
    }
}

TEST_CASE("channels of very different scales are no less exact") {
  for (int levels : {1, 2}) {
    const Errors even = errors_of(random_problem(128, 0), levels);
    const Errors spread = errors_of(random_problem(128, 3), levels);
    INFO(levels << " levels: " << even.channel << " and " << spread.channel);
    CHECK(spread.channel < 2 * even.channel);
  }
}

TEST_CASE("levels of fast matrix multiplication are chosen within what weights may grow by") {
  NetworkBuilder net("one");
  net.output(net.conv(net.input({1, 512, 14, 14}), Conv{1024, {1, 1}}, "conv"));
  const auto chosen = [&](const PlanOptions& options) {
    const Plan plan = plan_of(net.graph, avx512_target(), options);
    for (const Step& step : plan.steps)
      if (!step.candidates.empty()) return step.candidates[0];
    FAIL("no candidates");
    return Candidate{};
  };
  const Candidate two = chosen({}), one = chosen({.fast_matmul = 1}), off = chosen({.fast_matmul = 0});
  CHECK(two.text.find("strassen_2 ") == 0);
  CHECK(one.text.find("strassen_1 ") == 0);
  CHECK(off.text.find("direct ") == 0);
  CHECK(static_cast<double>(one.weight_bytes) == Approx(1.75 * 512 * 1024 * 4).epsilon(0.01));
  CHECK(static_cast<double>(two.weight_bytes) == Approx(49.0 / 16 * 512 * 1024 * 4).epsilon(0.01));
  CHECK(off.weight_bytes == 512 * 1024 * 4);
  CHECK(chosen({.max_weight_growth = 2}).text == one.text);
  CHECK(chosen({.max_weight_growth = 1}).text == off.text);
}
