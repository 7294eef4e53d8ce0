// Whole small networks for a GPU against the interpreter: every op, through the passes and the planner, alone
// and in random graphs. CARDINAL_FUZZ_SEEDS=FIRST:COUNT chooses other seeds.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <set>

#include "ir/text.h"
#include "passes/pipeline.h"
#include "tests/gpu/emulate.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// The largest difference of an output relative to its largest value.
double relative_error(const std::vector<Tensor>& expected, const std::vector<Tensor>& actual) {
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    double scale = 1e-30, error = 0;
    for (size_t j = 0; j < expected[i].data.size(); ++j) {
      if (!std::isfinite(actual[i].data[j])) return std::numeric_limits<double>::infinity();
      scale = std::max(scale, std::abs(expected[i].data[j]));
      error = std::max(error, std::abs(expected[i].data[j] - actual[i].data[j]));
    }
    worst = std::max(worst, error / scale);
  }
  return worst;
}

std::string problem(const Graph& graph, DType precision, double tolerance) {
  const auto weights = random_weights(graph, 3);
  const std::vector<Tensor> inputs = random_inputs(graph, 5);
  EmulationOptions options;
  options.plan.precision = precision;
  auto actual = emulate(graph, *weights, inputs, options);
  if (!actual) return actual.error().render(SourceMap());
  const double error = relative_error(interpret(graph, *weights, inputs), *actual);
  return error <= tolerance ? "" : fmt::format("relative error {}", error);
}

// At least one of every op that the language has, with attributes that exercise it.
std::vector<OpAttrs> written_ops() {
  Conv conv{24, {3, 3}};
  conv.bias = true;
  MaxPool max_pool;
  max_pool.kernel = {3, 2};
  AvgPool avg_pool;
  avg_pool.kernel = {2, 3};
  GroupNorm group_norm{{0.1, false, true}, 4};
  InstanceNorm instance_norm;
  instance_norm.eps = 0.1;
  return {conv, Linear{10, true, {}}, BatchNorm{},
          // elementwise
          Relu{}, Relu6{}, LeakyRelu{}, Clip{-0.25, 2}, Sigmoid{}, Tanh{}, Silu{}, Hardswish{}, Hardsigmoid{},
          Gelu{}, Gelu{true}, Elu{}, Selu{}, Celu{0.5}, Softplus{}, Softsign{}, Mish{}, Exp{}, Sqrt{}, Abs{},
          Affine{-0.5, 1}, Prelu{}, ChannelScale{}, Dropout{}, StochasticDepth{}, Add{}, Mul{}, Div{}, Max{},
          Min{},
          // images
          Pad{{Padding::Mode::explicit_, 1, 2, 0, 3}, 0.5, {0, 0}}, max_pool, avg_pool, GlobalAvgPool{},
          GlobalMaxPool{}, AdaptiveAvgPool{{4, 5}}, AdaptiveMaxPool{{4, 5}},
          Resize{{1, 1}, {13, 5}, ResizeMode{}},
          // channels and parts
          ChannelAvgPool{}, ChannelMaxPool{}, Concat{}, Slice{{3, 17, 2}}, ChannelShuffle{5},
          Shift{{3, 3}, {1, 1}}, SpaceToDepth{3}, DepthToSpace{2}, Flatten{}, ChannelConv{5},
          // over channels
          Softmax{}, LogSoftmax{}, LayerNorm{0.1, true, true}, group_norm, instance_norm,
          LocalResponseNorm{5, 0.5, 0.75, 1.5}};
}

// The op alone, between layers that keep its operands and its result in the workspace.
Graph graph_of(const OpAttrs& op) {
  const OpInfo& info = op_info(op);
  Graph graph;
  graph.name = std::string(info.name);
  const Shape shape{2, 20, 9, 6};
  const NodeId a = graph.add(Input{DType::f32, shape, Layout::nchw}, {}, "a");
  const NodeId b = graph.add(Input{DType::f32, shape, Layout::nhwc}, {}, "b");
  const NodeId product = graph.add(Mul{}, {a, b}, "product");
  NodeId x = product;
  if (std::holds_alternative<Sqrt>(op)) x = graph.add(Abs{}, {x}, "size");
  if (std::holds_alternative<Linear>(op)) x = graph.add(Flatten{}, {x}, "vector");
  std::vector<NodeId> tensors{x};
  // A divisor is not near 0.
  if (std::holds_alternative<Concat>(op)) tensors.push_back(b);
  if (info.tensors.min == 2) tensors.push_back(graph.add(Exp{}, {graph.add(Tanh{}, {b}, "tanh")}, "power"));
  const auto y = add_layer(graph, op, tensors, "op");
  if (const auto* error = std::get_if<OpError>(&y)) FAIL(info.name << ": " << error->message);
  graph.add(Output{}, {graph.add(Affine{2, 0.5}, {std::get<NodeId>(y)}, "after")}, "y");
  return graph;
}

void check_random_graphs(DType precision, double tolerance) {
  unsigned long long first = 0, count = 40;
  if (const char* text = std::getenv("CARDINAL_FUZZ_SEEDS")) std::sscanf(text, "%llu:%llu", &first, &count);
  for (uint64_t seed = first; seed < first + count; ++seed) {
    const Graph graph = random_graph(seed, 3 + static_cast<int>(seed % 12));
    const std::string found = problem(graph, precision, tolerance);
    if (found.empty()) continue;
    const Graph small =
        minimise(graph, [&](const Graph& g) { return !problem(g, precision, tolerance).empty(); });
    FAIL(fmt::format("seed {}: {}\nreduced to ({}):\n{}", seed, found, problem(small, precision, tolerance),
                     print(small)));
  }
}

}  // namespace

TEST_CASE("random graphs in f32 compute what the interpreter computes") {
  check_random_graphs(DType::f32, 2e-4);
}

// Up to fifteen layers, each of which rounds to 11 bits; ill-conditioned graphs amplify that.
TEST_CASE("random graphs in f16 compute nearly what the interpreter computes") {
  check_random_graphs(DType::f16, 5e-2);
}

TEST_CASE("every op of the table runs on a GPU") {
  std::set<std::string_view> covered;
  for (const OpAttrs& op : written_ops()) {
    const Graph graph = graph_of(op);
    INFO(print(graph));
    CHECK(problem(graph, DType::f32, 2e-5).empty());
    CHECK(problem(graph, DType::f16, 1e-2).empty());
    // What the passes make of it counts as well: some ops are theirs alone.
    const Result<Graph> passed = run_pipeline(graph, {.gpu = true});
    REQUIRE(passed);
    for (const Graph* made : {&graph, &*passed})
      for (NodeId id : made->ids()) covered.insert(op_info((*made)[id].op).name);
  }
  for (const OpInfo& info : op_table()) {
    INFO(info.name << " has no case in written_ops");
    CHECK(covered.contains(info.name));
  }
}
