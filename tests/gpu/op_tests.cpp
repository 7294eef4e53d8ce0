// Whole small networks for a GPU against the interpreter: every op, through the passes and the planner.
// CARDINAL_FUZZ_SEEDS=FIRST:COUNT chooses other seeds.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>

#include "ir/text.h"
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
