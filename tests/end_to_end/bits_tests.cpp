// The promise that results are the same bits: for every target, AArch64 included, and every number of
// threads, and for each image of a batch of any size. Small networks of the example networks' blocks.
#include <cardinal/thread_pool.h>
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "codegen/codegen.h"
#include "compiler/language.h"
#include "tests/aarch64/emulated_network.h"
#include "tests/support/compile_and_run.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

struct Example {
  const char *file, *body;
};

// Between them dense 3x3 and 1x1 layers with and without Winograd's algorithm, groups of all kinds (several
// in a vector, straddling blocks, whole blocks), depthwise ones, squeeze-and-excite, concats, layer norms.
constexpr Example kExamples[] = {
    {"resnet.nn", "ResNet(BasicBlock, [1, 1, 1], classes=10)"},
    {"resnet.nn", "ResNet(Bottleneck, [1, 1], groups=32, group_width=4, classes=10)"},
    {"resnet.nn", "ResNet(Bottleneck, [1, 1], groups=4, group_width=32, classes=10)"},
    {"regnet.nn", "RegNet([48, 48, 120], 24, squeeze=0.25, classes=10)"},
    {"regnet.nn", "RegNet([32, 64, 64], 8, classes=10)"},
    {"densenet.nn", "DenseNet([2, 2], growth=12, stem=24, classes=10)"},
    {"mobilenet_v3.nn", "MobileNetV3([[3, 16, 16, 1, 0, 2], [5, 72, 24, 0, 1, 1]], last=40, classes=10)"},
    {"convnext.nn", "ConvNeXt([1, 1], width=24, classes=10)"},
};

Graph network(const Example& example, int64_t batch) {
  const TemporaryDirectory directory;
  const std::string path = directory.file("net.nn");
  std::ofstream(path) << fmt::format(
      "import \"{}/{}\"\nnetwork net {{\n  input image: f32[{}, 3, 56, 56]\n  return y = image |> {}\n}}\n",
      EXAMPLE_NETWORKS, example.file, batch, example.body);
  SourceMap sources;
  Result<Program> program = parse_program(sources, path);
  if (!program) FAIL(program.error().render(sources));
  Result<Graph> graph = elaborate(*program, {"net", {}});
  if (!graph) FAIL(graph.error().render(sources));
  return *std::move(graph);
}

using Outputs = std::vector<Tensor>;

template <class Targets>
std::vector<Outputs> results(const Graph& graph, const std::vector<Tensor>& inputs, const Targets& targets,
                             cardinal_executor executor = {}) {
  const std::unique_ptr<WeightStore> weights = random_weights(graph, 7);
  Result<std::vector<Outputs>> outputs = compile_and_run(graph, *weights, inputs, targets, executor);
  if (!outputs) FAIL(outputs.error().render(SourceMap()));
  return *std::move(outputs);
}

// Image `n` of every tensor.
std::vector<Tensor> image_of(const std::vector<Tensor>& batch, int64_t n) {
  std::vector<Tensor> images;
  for (const Tensor& tensor : batch) {
    TensorType type = tensor.type;
    type.shape[0] = 1;
    Tensor& image = images.emplace_back(type);
    const auto first = tensor.data.begin() + n * static_cast<int64_t>(image.data.size());
    image.data.assign(first, first + static_cast<int64_t>(image.data.size()));
  }
  return images;
}

}  // namespace

TEST_CASE("targets, threads and batches change no bit") {
  const Result<Target> native = resolve_target("native");
  if (!native) {
    WARN("this CPU has neither AVX2 nor AVX-512: nothing was run");
    return;
  }
  std::vector<Target> targets;
  for (const std::string& name : runnable_targets()) targets.push_back(*resolve_target(name));
  ThreadPool pool(3);
  for (const Example& example : kExamples) {
    INFO(example.body);
    constexpr int64_t kBatch = 3;
    const Graph batch = network(example, kBatch), single = network(example, 1);
    const std::vector<Tensor> inputs = random_inputs(batch, 9);
    const std::vector<Outputs> expected = results(batch, inputs, targets);
    CHECK(relative_error(expected[0], expected[0]) == 0);  // finite
    for (const Outputs& outputs : expected) CHECK(same_bits(outputs, expected[0]));
    CHECK(same_bits(results(batch, inputs, std::vector{*native}, pool.executor())[0], expected[0]));
    const int64_t last = kBatch - 1;
    for (const Outputs& outputs : results(single, image_of(inputs, last), targets))
      CHECK(same_bits(outputs, image_of(expected[0], last)));
  }
}

TEST_CASE("AArch64 gives the bits of x86-64", "[aarch64]") {
  if (!can_emulate_aarch64()) return;
  const std::vector<Target> targets{*resolve_target("x86-64-v3"), *resolve_target("aarch64")};
  for (const Example& example : kExamples) {
    INFO(example.body);
    const Graph graph = network(example, 1);
    const std::vector<Outputs> outputs = results(graph, random_inputs(graph, 9), targets);
    CHECK(relative_error(outputs[0], outputs[0]) == 0);  // finite
    CHECK(same_bits(outputs[1], outputs[0]));
  }
}
