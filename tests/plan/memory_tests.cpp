#include "passes/memory.h"

#include <catch2/catch.hpp>
#include <random>

#include "passes/pipeline.h"
#include "tests/plan/networks.h"
#include "tests/support/random_graph.h"

using namespace cardinal;

namespace {

bool alive_together(const BufferLife& a, const BufferLife& b) {
  return a.first <= b.last && b.first <= a.last;
}

}  // namespace

TEST_CASE("buffers that live together never overlap") {
  std::mt19937 random(1);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution(low, high)(random); };
  for (int round = 0; round < 300; ++round) {
    std::vector<BufferLife> buffers(static_cast<size_t>(pick(1, 40)));
    for (BufferLife& b : buffers) {
      b.floats = pick(1, 300);
      b.first = pick(0, 30);
      b.last = b.first + pick(0, 8);
    }
    const Arena arena = plan_memory(buffers);
    for (size_t i = 0; i < buffers.size(); ++i) {
      REQUIRE(arena.offsets[i] % 16 == 0);
      REQUIRE(arena.offsets[i] >= 0);
      REQUIRE(arena.offsets[i] + buffers[i].floats <= arena.floats);
      for (size_t j = 0; j < i; ++j) {
        if (!alive_together(buffers[i], buffers[j])) continue;
        const bool apart = arena.offsets[i] + buffers[i].floats <= arena.offsets[j] ||
                           arena.offsets[j] + buffers[j].floats <= arena.offsets[i];
        REQUIRE(apart);
      }
    }
  }
}

TEST_CASE("a gap is filled by the buffer that fits it best") {
  // 64 and 32 leave with steps 0 and 2; the gap of 32 between long-lived buffers is the snug one for the
  // last.
  const Arena arena = plan_memory({{64, 0, 0}, {48, 0, 9}, {32, 0, 2}, {16, 0, 9}, {32, 3, 9}});
  CHECK(arena.floats == 64 + 48 + 32 + 16);
  CHECK(plan_memory({}).floats == 0);
}

TEST_CASE("a chain of layers needs two buffers") {
  testing::NetworkBuilder net("chain");
  NodeId x = net.input({1, 16, 8, 8});
  for (int i = 0; i < 6; ++i) x = net.conv(x, Conv{16, {5, 5}});
  net.output(x);
  CHECK(testing::plan_of(net.graph, testing::avx512_target()).workspace_floats == 2 * 16 * 64);
}

TEST_CASE("a residual is added in place, unless the shortcut is still needed") {
  for (bool needed : {false, true}) {
    testing::NetworkBuilder net("residual");
    const NodeId x = net.conv(net.input({1, 3, 8, 8}), Conv{16, {3, 3}}, "stem");
    const NodeId y = net.conv(x, Conv{16, {3, 3}}, "branch");
    const NodeId sum = net.layer(Relu{}, {net.layer(Add{}, {net.conv(y, Conv{16, {1, 1}}, "last"), x})});
    net.output(net.layer(GlobalAvgPool{}, {sum}), "a");
    if (needed) net.output(net.layer(GlobalAvgPool{}, {x}), "b");
    const Result<Graph> graph = run_pipeline(net.graph);
    REQUIRE(graph);
    const Plan plan = testing::plan_of(*graph, testing::avx2_target());
    const Step& last = testing::step_called(plan, "last");
    REQUIRE(last.inputs.size() == 2);
    CHECK((last.output == last.inputs[1]) == !needed);
    CHECK(last.output.offset != last.inputs[0].offset);
  }
}

TEST_CASE("a convolution of its own residual does not write over it") {
  // conv(x) + x: x is read at other pixels while the sum is written.
  testing::NetworkBuilder net("self");
  const NodeId x = net.conv(net.input({1, 3, 8, 8}), Conv{16, {3, 3}});
  net.output(net.layer(GlobalAvgPool{}, {net.layer(Add{}, {net.conv(x, Conv{16, {3, 3}}, "last"), x})}));
  const Result<Graph> graph = run_pipeline(net.graph);
  REQUIRE(graph);
  const Plan plan = testing::plan_of(*graph, testing::avx2_target());
  const Step& last = testing::step_called(plan, "last");
  REQUIRE(last.inputs.size() == 2);
  CHECK(last.output.offset != last.inputs[0].offset);
}
