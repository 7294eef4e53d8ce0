// The promise that results are the same bits: for every target, AArch64 included, and every number of
// threads, and for each image of a batch of any size. Small networks of the example networks' blocks.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "codegen/codegen.h"
#include "compiler/language.h"
#include "passes/pipeline.h"
#include "tests/aarch64/emulated_network.h"
#include "tests/support/check_bits.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

struct Example {
  const char *file, *body;
};

// Between them dense 3x3 and 1x1 layers with and without Winograd's algorithm, groups of all kinds (several
// in a vector, straddling blocks, whole blocks), depthwise ones, squeeze-and-excite, concats, layer norms,
// and 1x1 layers by one and two levels of fast matrix multiplication.
constexpr Example kExamples[] = {
    {"resnet.nn", "ResNet(BasicBlock, [1, 1, 1], classes=10)"},
    {"resnet.nn", "ResNet(Bottleneck, [1, 1], groups=32, group_width=4, classes=10)"},
    {"resnet.nn", "ResNet(Bottleneck, [1, 1], groups=4, group_width=32, classes=10)"},
    {"regnet.nn", "RegNet([48, 48, 120], 24, squeeze=0.25, classes=10)"},
    {"regnet.nn", "RegNet([32, 64, 64], 8, classes=10)"},
    {"densenet.nn", "DenseNet([2, 2], growth=12, stem=24, classes=10)"},
    {"mobilenet_v3.nn", "MobileNetV3([[3, 16, 16, 1, 0, 2], [5, 72, 24, 0, 1, 1]], last=40, classes=10)"},
    {"convnext.nn", "ConvNeXt([1, 1], width=24, classes=10)"},
    {"resnet.nn",
     "a: conv(128, kernel=3, stride=4, padding=3) |> relu |> b: conv(256, kernel=1, bias=true) |> relu"
     " |> c: conv(512, kernel=1, stride=2) |> d: conv(256, kernel=1)"},
    {"resnet.nn", "a: conv(512, kernel=3, stride=2, padding=1) |> relu |> b: conv(512, kernel=1)"},
};

Graph network(const Example& example, int64_t batch) {
  const ScratchDirectory directory;
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

bool chooses(const Graph& source, ConvAlgorithm algorithm) {
  const Result<Graph> graph = run_pipeline(source);
  if (!graph) FAIL(graph.error().render(SourceMap()));
  const Result<Plan> plan = make_plan(*graph, *resolve_target("x86-64-v3"));
  if (!plan) FAIL(plan.error().render(SourceMap()));
  return std::any_of(plan->steps.begin(), plan->steps.end(), [&](const Step& step) {
    return !step.candidates.empty() && step.candidates.front().algorithm == algorithm;
  });
}

}  // namespace

TEST_CASE("targets, threads and batches change no bit") {
  for (const Example& example : kExamples) {
    INFO(example.body);
    const Graph batch = network(example, 3), single = network(example, 1);
    const std::unique_ptr<WeightStore> weights = random_weights(batch, 7);
    const Outputs outputs = check_bits(batch, single, *weights, random_inputs(batch, 9));
    CHECK(relative_error(outputs, outputs) == 0);  // finite
  }
}

TEST_CASE("nor do they with blocked sums") {
  PlanOptions exact;
  exact.winograd = false;
  exact.fast_matmul = 0;
  for (const Example& example : {kExamples[0], kExamples[2], kExamples[5]}) {
    INFO(example.body);
    const Graph batch = network(example, 3), single = network(example, 1);
    const std::unique_ptr<WeightStore> weights = random_weights(batch, 7);
    check_bits(batch, single, *weights, random_inputs(batch, 9), exact);
  }
}

TEST_CASE("networks whose bits are compared are computed in stages where no batch fits the caches") {
  Target small = *resolve_target("x86-64-v3");
  small.l2_bytes = 1 << 10;  // as in check_bits
  for (const Example& example : kExamples) {
    INFO(example.body);
    const Result<Graph> batch = run_pipeline(network(example, 3));
    REQUIRE(batch);
    const Result<Plan> plan = make_plan(*batch, small);
    REQUIRE(plan);
    CHECK(repeated_steps(*plan) > 0);
  }
}

TEST_CASE("every algorithm is among those whose bits are compared") {
  for (ConvAlgorithm algorithm :
       {ConvAlgorithm::direct, ConvAlgorithm::lanes, ConvAlgorithm::winograd_f2, ConvAlgorithm::winograd_f4,
        ConvAlgorithm::strassen_1, ConvAlgorithm::strassen_2}) {
    INFO(to_string(algorithm));
    CHECK(std::any_of(std::begin(kExamples), std::end(kExamples),
                      [&](const Example& example) { return chooses(network(example, 1), algorithm); }));
  }
}

TEST_CASE("AArch64 gives the bits of x86-64", "[aarch64]") {
  if (!can_emulate_aarch64()) return;
  const std::vector<Target> targets{*resolve_target("x86-64-v3"), *resolve_target("aarch64")};
  for (const Example& example : kExamples) {
    INFO(example.body);
    const Graph graph = network(example, 1);
    const std::unique_ptr<WeightStore> weights = random_weights(graph, 7);
    const Result<std::vector<Outputs>> results =
        compile_and_run(graph, *weights, random_inputs(graph, 9), targets);
    if (!results) FAIL(results.error().render(SourceMap()));
    const std::vector<Outputs>& outputs = *results;
    CHECK(relative_error(outputs[0], outputs[0]) == 0);  // finite
    CHECK(same_bits(outputs[1], outputs[0]));
  }
}
