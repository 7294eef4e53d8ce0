// Compiled 1x1 convolutions by fast matrix multiplication against the interpreter: odd images, channels of
// all kinds of halves, epilogues, batches; the same bits from every target, for any number of threads, and
// for each image of a batch.
#include <catch2/catch.hpp>

#include "passes/strassen.h"
#include "tests/support/check_bits.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

struct Case {
  int64_t ic, oc, h, w;
};
constexpr Case kCases[] = {{64, 64, 2, 2},   {64, 128, 5, 1}, {128, 64, 7, 7},  {64, 192, 3, 5},
                           {192, 64, 13, 4}, {64, 64, 2, 3},  {320, 128, 9, 7}, {64, 320, 16, 11}};

// A convolution for each case, of an input of its own: without and with a bias, with one and with two
// residuals, one of them over the input, and scaled channel by channel as in a squeeze-and-excite.
Graph network(int64_t images) {
  Graph graph;
  graph.name = "net";
  for (size_t i = 0; i < std::size(kCases); ++i) {
    const Case& c = kCases[i];
    const std::string name = "conv" + std::to_string(i);
    const NodeId x = graph.add(
        Input{DType::f32, {images, c.ic, c.h, c.w}, i == 2 ? Layout::nhwc : Layout::nchw}, {}, name + "_x");
    const NodeId kernel = graph.add(Weight{{c.oc, c.ic, 1, 1}, Role::kernel}, {}, name + "_kernel");
    const NodeId bias = graph.add(Weight{{c.oc}, Role::bias}, {}, name + "_bias");
    Conv conv{c.oc, {1, 1}};
    conv.bias = i % 2 == 1;
    NodeId y = conv.bias ? graph.add(conv, {x, kernel, bias}, name) : graph.add(conv, {x, kernel}, name);
    if (c.ic == c.oc) y = graph.add(Add{}, {y, x}, name + "_sum");
    if (i % 3 == 0)
      y = graph.add(Mul{}, {y, graph.add(GlobalAvgPool{}, {y}, name + "_mean")}, name + "_scaled");
    if (i % 4 == 1) y = graph.add(Relu{}, {y}, name + "_relu");
    graph.add(Output{i == 3 ? Layout::nhwc : Layout::nchw}, {y}, name + "_y");
  }
  return graph;
}

PlanOptions forced(ConvAlgorithm algorithm, int pixels, int panel) {
  PlanOptions options;
  for (size_t i = 0; i < std::size(kCases); ++i) {
    StepOverride& wanted = options.overrides["conv" + std::to_string(i)];
    wanted.algorithm = algorithm;
    wanted.pixels = pixels;
    if (kCases[i].oc >> strassen_levels(algorithm) >= panel * kChannelBlock) wanted.panel = panel;
  }
  return options;
}

}  // namespace

TEST_CASE("fast matrix multiplication computes 1x1 convolutions, to the same bits however it is run") {
  constexpr int64_t kImages = 3;
  const Graph batch = network(kImages), single = network(1);
  const std::unique_ptr<WeightStore> weights = random_weights(batch, 3);
  const std::vector<Tensor> inputs = random_inputs(batch, 4);
  const std::vector<Tensor> expected = interpret(batch, *weights, inputs);
  for (ConvAlgorithm algorithm : {ConvAlgorithm::strassen_1, ConvAlgorithm::strassen_2}) {
    std::vector<Tensor> first;
    for (const auto& [pixels, panel] : {std::pair{4, 1}, {2, 2}}) {
      INFO(to_string(algorithm) << " " << pixels << "x" << panel);
      const std::vector<Tensor> outputs =
          check_bits(batch, single, *weights, inputs, forced(algorithm, pixels, panel));
      if (outputs.empty()) return;
      if (first.empty()) first = outputs;
      CHECK(relative_error(expected, outputs) < 5e-6);
      CHECK(same_bits(outputs, first));
    }
  }
}
