// Random graphs through the whole compiler, against the interpreter; failures are reduced before they are
// reported. CARDINAL_FUZZ_SEEDS=FIRST:COUNT chooses other seeds.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "codegen/codegen.h"
#include "ir/text.h"
#include "tests/support/compile_and_run.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// Values pass through up to about fifteen layers of f32; the interpreter is exact. Ill-conditioned graphs (a
// product of sums that cancel) amplify rounding, so the bound is far above one rounding, and far below any
// indexing mistake.
constexpr double kTolerance = 2e-4;

std::string problem(const Graph& graph, const Target& target) {
  std::unique_ptr<WeightStore> weights = random_weights(graph, 3);
  std::vector<Tensor> inputs = random_inputs(graph, 5);
  Result<std::vector<Tensor>> actual = compile_and_run(graph, *weights, inputs, target);
  if (!actual) return actual.error().render(SourceMap());
  double error = relative_error(interpret(graph, *weights, inputs), *actual);
  return error <= kTolerance ? "" : fmt::format("relative error {}", error);
}

std::pair<uint64_t, uint64_t> seeds() {
  const char* text = std::getenv("CARDINAL_FUZZ_SEEDS");
  unsigned long long first = 0, count = 40;
  if (text) std::sscanf(text, "%llu:%llu", &first, &count);
  return {first, count};
}

}  // namespace

TEST_CASE("random graphs compile to what the interpreter computes") {
  auto [first, count] = seeds();
  for (const std::string& name : runnable_targets()) {
    Result<Target> target = resolve_target(name);
    REQUIRE(target);
    for (uint64_t seed = first; seed < first + count; ++seed) {
      Graph graph = random_graph(seed, 3 + static_cast<int>(seed % 12));
      target->l3_bytes = seed % 2 ? 1 << 10 : 32 << 20;  // convolutions in bands, and not
      std::string found = problem(graph, *target);
      if (found.empty()) continue;
      Graph small = minimise(graph, [&](const Graph& g) { return !problem(g, *target).empty(); });
      FAIL(fmt::format("{}, seed {}: {}\nreduced to ({}):\n{}", name, seed, found, problem(small, *target),
                       print(small)));
    }
  }
  if (runnable_targets().empty()) WARN("this CPU has neither AVX2 nor AVX-512: nothing was run");
}
