// One trained network as each framework would save it: under its convention every one computes the same
// numbers.
#include <catch2/catch.hpp>
#include <fstream>

#include "codegen/codegen.h"
#include "compiler/language.h"
#include "ir/convention.h"
#include "ir/text.h"
#include "tests/ir/fixtures.h"
#include "tests/support/compile_and_run.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// Spells out what would differ, but for names, stored orders, layouts and the order of flatten.
constexpr const char* kNetwork = R"(
block Body(x) {
  return x |> conv: conv(20, kernel=[3, 2], stride=2, padding=1, bias=true) |> bn: batch_norm(eps=0.01)
    |> leaky_relu(negative_slope=0.2)
}
network ported(framework: string = pytorch) {
  convention framework
  input x: f32[2, 5, 9, 8]
  y = x |> body: Body |> dw: conv(40, kernel=3, padding=1, groups=20) |> gelu(approximate=false)
  y = y |> ln: layer_norm(eps=0.01) |> avg_pool(2, stride=1, padding=same_upper, count_include_pad=true)
  return map = y, logits = y |> flatten |> fc: linear(7)
}
)";
constexpr int64_t kChannels = 40, kHeight = 5, kWidth = 5;  // what is flattened

Graph network(std::string_view framework) {
  ScratchDirectory directory;
  const std::string path = directory.file("ported.nn");
  std::ofstream(path) << kNetwork;
  SourceMap sources;
  Result<Program> program = parse_program(sources, path);
  REQUIRE(program);
  Result<Graph> graph = elaborate(*program, {"", {{"framework", std::string(framework)}}});
  if (!graph) FAIL(graph.error().render(sources));
  return *std::move(graph);
}

// [OC, IC, KH, KW] as [KH, KW, IC, OC].
std::vector<float> hwio(const Shape& shape, const std::vector<float>& values) {
  std::vector<float> out;
  for (int64_t tap = 0; tap < shape[2] * shape[3]; ++tap)
    for (int64_t ic = 0; ic < shape[1]; ++ic)
      for (int64_t oc = 0; oc < shape[0]; ++oc)
        out.push_back(values[static_cast<size_t>((oc * shape[1] + ic) * shape[2] * shape[3] + tap)]);
  return out;
}

// The kernel of a linear layer over a flattened image as [IC, OC], rows in the order H, W, C.
std::vector<float> io_of_image(const Shape& shape, const std::vector<float>& values) {
  std::vector<float> out;
  for (int64_t pixel = 0; pixel < kHeight * kWidth; ++pixel)
    for (int64_t c = 0; c < kChannels; ++c)
      for (int64_t oc = 0; oc < shape[0]; ++oc)
        out.push_back(values[static_cast<size_t>(oc * shape[1] + c * kHeight * kWidth + pixel)]);
  return out;
}

// PyTorch's weights under the names and in the orders of `graph`, whose weights come in the same sequence.
FixedWeights ported(const Graph& original, const WeightStore& store, const Graph& graph) {
  FixedWeights out;
  const std::vector<NodeId> from = original.weights(), to = graph.weights();
  REQUIRE(from.size() == to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    const Shape& shape = original[from[i]].type.shape;
    const std::string& name = graph[to[i]].name;
    const std::vector<float> values = to_floats(*store.find(original[from[i]].name));
    switch (graph[to[i]].as<Weight>()->stored) {
      case StoredOrder::as_written:
        out.set(name, shape, values);
        break;
      case StoredOrder::hwio:
        out.set(name, {shape[2], shape[3], shape[1], shape[0]}, hwio(shape, values));
        break;
      case StoredOrder::wio:
        out.set(name, {shape[2], shape[1], shape[0]}, values);
        break;
      case StoredOrder::io:
        out.set(name, {shape[1], shape[0]}, io_of_image(shape, values));
        break;
    }
  }
  return out;
}

}  // namespace

TEST_CASE("a network ported from each framework computes the same") {
  const Graph original = network("pytorch");
  const std::unique_ptr<WeightStore> weights = random_weights(original, 11);
  const std::vector<Tensor> inputs = random_inputs(original, 12);
  const std::vector<Tensor> expected = interpret(original, *weights, inputs);
  for (const Convention& convention : conventions()) {
    INFO(convention.name);
    const Graph graph = network(convention.name);
    const FixedWeights own = ported(original, *weights, graph);
    CHECK(own.find(convention.name == "flax"    ? "batch_stats.body.bn.mean"
                   : convention.name == "keras" ? "body.bn.moving_mean"
                                                : "body.bn.running_mean"));
    Status checked = check_weights(graph, own);
    if (!checked) FAIL(checked.error().render(SourceMap()));
    CHECK(relative_error(expected, interpret(graph, own, inputs)) < 1e-12);
    for (const std::string& name : runnable_targets()) {
      Result<std::vector<Tensor>> actual = compile_and_run(graph, own, inputs, *resolve_target(name));
      if (!actual) FAIL(actual.error().render(SourceMap()));
      CHECK(relative_error(expected, *actual) < 1e-5);
    }
    // A dump says all of it: no convention is needed to read it back.
    SourceMap sources;
    Result<Graph> dump = parse_ir(sources, "dump.ir", print(graph));
    REQUIRE(dump);
    CHECK(relative_error(expected, interpret(*dump, own, inputs)) < 1e-12);
  }
}
