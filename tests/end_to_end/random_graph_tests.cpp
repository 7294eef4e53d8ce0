// Random graphs through the whole compiler, against the interpreter; failures are reduced before they are
// reported. CARDINAL_FUZZ_SEEDS=FIRST:COUNT chooses other seeds.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "codegen/codegen.h"
#include "ir/text.h"
#include "tests/aarch64/emulated_network.h"
#include "tests/support/compile_and_run.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// Values pass through up to about fifteen layers of f32; the interpreter is exact. Ill-conditioned graphs (a
// product of sums that cancel) amplify rounding, so the bound is far above one rounding, and far below any
// indexing mistake.
constexpr double kTolerance = 2e-4;

std::string problem(const Graph& graph, std::span<const Target> targets) {
  std::unique_ptr<WeightStore> weights = random_weights(graph, 3);
  std::vector<Tensor> inputs = random_inputs(graph, 5);
  Result<std::vector<std::vector<Tensor>>> actual = compile_and_run(graph, *weights, inputs, targets);
  if (!actual) return actual.error().render(SourceMap());
  const std::vector<Tensor> expected = interpret(graph, *weights, inputs);
  for (size_t i = 0; i < targets.size(); ++i) {
    double error = relative_error(expected, (*actual)[i]);
    if (!(error <= kTolerance)) return fmt::format("{}: relative error {}", targets[i].cpu, error);
    if (!same_bits((*actual)[i], (*actual)[0])) return fmt::format("{} has other bits", targets[i].cpu);
  }
  return "";
}

std::pair<uint64_t, uint64_t> seeds() {
  const char* text = std::getenv("CARDINAL_FUZZ_SEEDS");
  unsigned long long first = 0, count = 40;
  if (text) std::sscanf(text, "%llu:%llu", &first, &count);
  return {first, count};
}

void check_random_graphs(const std::vector<std::string>& names) {
  auto [first, count] = seeds();
  std::vector<Target> targets;
  for (const std::string& name : names) {
    Result<Target> target = resolve_target(name);
    REQUIRE(target);
    targets.push_back(*target);
  }
  for (uint64_t seed = first; seed < first + count && !targets.empty(); ++seed) {
    Graph graph = random_graph(seed, 3 + static_cast<int>(seed % 12));
    // Convolutions in bands, and not.
    for (Target& target : targets) target.l3_bytes = seed % 2 ? 1 << 10 : 32 << 20;
    std::string found = problem(graph, targets);
    if (found.empty()) continue;
    Graph small = minimise(graph, [&](const Graph& g) { return !problem(g, targets).empty(); });
    FAIL(
        fmt::format("seed {}: {}\nreduced to ({}):\n{}", seed, found, problem(small, targets), print(small)));
  }
}

}  // namespace

TEST_CASE("random graphs compile to what the interpreter computes, with the same bits for every target") {
  check_random_graphs(runnable_targets());
  if (runnable_targets().empty()) WARN("this CPU has neither AVX2 nor AVX-512: nothing was run");
}

TEST_CASE("random graphs give the same bits on AArch64", "[aarch64]") {
  if (can_emulate_aarch64()) check_random_graphs({"x86-64-v3", "aarch64"});
}
