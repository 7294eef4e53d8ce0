#include "ir/interpreter.h"

#include <catch2/catch.hpp>

#include "tests/ir/fixtures.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// y = relu(conv(x) + x), z = the convolution's result; one dead node.
struct Residual {
  Graph graph;
  FixedWeights weights;
  NodeId conv;

  Residual() {
    NodeId x = graph.add(Input{DType::f32, {1, 1, 1, 3}}, {}, "x");
    NodeId w = graph.add(Weight{{1, 1, 1, 1}, Role::kernel}, {}, "conv.weight");
    Conv op;
    op.channels = 1;
    conv = graph.add(op, {x, w}, "conv");
    graph.add(Sigmoid{}, {x}, "dead");
    NodeId sum = graph.add(Add{}, {conv, x});
    graph.add(Output{}, {graph.add(Relu{}, {sum})}, "y");
    graph.add(Output{}, {conv}, "z");
    weights.set("conv.weight", {1, 1, 1, 1}, {2});
  }
};

}  // namespace

TEST_CASE("the interpreter returns outputs in order", "[interpreter]") {
  Residual net;
  std::vector<Tensor> inputs{tensor({1, 1, 1, 3}, {-1, 0, 2})};
  std::vector<Tensor> outputs = interpret(net.graph, net.weights, inputs);
  REQUIRE(outputs.size() == 2);
  CHECK(outputs[0].data == std::vector<double>{0, 0, 6});
  CHECK(outputs[1].data == std::vector<double>{-2, 0, 4});
}

TEST_CASE("inputs are rounded to float", "[interpreter]") {
  Residual net;
  std::vector<Tensor> inputs{tensor({1, 1, 1, 3}, {0.1, 0, 0})};
  CHECK(interpret(net.graph, net.weights, inputs)[1].data[0] == 2.0 * static_cast<double>(0.1f));
}

TEST_CASE("visit sees every live value once, in order", "[interpreter]") {
  Residual net;
  std::vector<Tensor> inputs{tensor({1, 1, 1, 3}, {1, 2, 3})};
  std::vector<uint32_t> seen;
  InterpretOptions options;
  options.visit = [&](NodeId id, const Tensor& value) {
    seen.push_back(index(id));
    CHECK(value.data.size() == static_cast<size_t>(net.graph[id].type.shape.elements()));
    if (id == net.conv) CHECK(value.data == std::vector<double>{2, 4, 6});
  };
  interpret(net.graph, net.weights, inputs, options);
  CHECK(seen == std::vector<uint32_t>{0, 1, 2, 4, 5, 6, 7});
}

TEST_CASE("constants are evaluated from the weights they need", "[interpreter]") {
  Graph graph;
  NodeId gamma = graph.add(Weight{{2}, Role::scale}, {}, "gamma");
  NodeId variance = graph.add(Weight{{2}, Role::variance}, {}, "variance");
  graph.add(Weight{{7}, Role::bias}, {}, "not in the store");
  NodeId scale = graph.add(FoldScale{1.0}, {gamma, variance});
  NodeId squared = graph.add(Mul{}, {scale, scale});
  FixedWeights weights;
  weights.set("gamma", {2}, {2, 3});
  weights.set("variance", {2}, {3, 8});
  CHECK(evaluate_constant(graph, squared, weights).data == std::vector<double>{1, 1});
  CHECK(evaluate_constant(graph, gamma, weights).data == std::vector<double>{2, 3});
}
