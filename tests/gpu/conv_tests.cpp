// Convolutions for a GPU against the interpreter: every algorithm over shapes with odd sizes, whole numbers,
// bit by bit, in four schedules.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>

#include "codegen/nvptx/module.h"
#include "tests/gpu/emulate.h"
#include "tests/gpu/integer_weights.h"
#include "tests/support/random_graph.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

using Algorithm = GpuConvKernel::Algorithm;

struct Case {
  Shape x;
  Conv conv;
  bool residual = false;
  bool in_workspace = true;  // x comes from another layer
  Layout layout = Layout::nchw;
};

// x, an activation to bring it into the workspace, the convolution, relu or a residual of the same shape.
Graph graph_of(const Case& c) {
  Graph graph;
  graph.name = "conv";
  NodeId x = graph.add(Input{DType::f32, c.x, c.layout}, {}, "x");
  if (c.in_workspace) x = graph.add(Relu{}, {x}, "before");
  NodeId y = std::get<NodeId>(add_layer(graph, c.conv, {x}, "conv"));
  if (c.residual) {
    const NodeId r = graph.add(Input{DType::f32, graph[y].type.shape, Layout::nhwc}, {}, "residual");
    y = graph.add(Add{}, {y, r}, "sum");
  }
  y = graph.add(Relu{}, {y}, "after");
  graph.add(Output{}, {y}, "y");
  return graph;
}

// The chosen kernel of the convolution.
const GpuConvKernel& kernel_of(const Plan& plan) {
  for (const Step& step : plan.steps)
    if (const auto* kernel = std::get_if<GpuConvKernel>(&step.kernel)) return *kernel;
  throw std::runtime_error("no convolution");
}

// All for small results; for others one, which varies from case to case.
std::span<const simt::Schedule> schedules_for(const Shape& result) {
  constexpr int64_t kSmall = 6000;
  const std::span all(simt::kSchedules);
  return result.elements() <= kSmall ? all
                                     : all.subspan(static_cast<size_t>(result.c() / 8 + result.h()) % 4, 1);
}

EmulationOptions with(Algorithm algorithm) {
  EmulationOptions options;
  options.plan.overrides["conv"].gpu_algorithm = algorithm;
  return options;
}

EmulationOptions with_wgmma(GpuTile tile) {
  EmulationOptions options = with(Algorithm::wgmma);
  options.target = "sm_90a";
  options.plan.overrides["conv"].gpu_tile = tile;
  return options;
}

void check(const Case& c, EmulationOptions options = {}) {
  const Graph graph = graph_of(c);
  const auto weights = integer_weights(graph, 7);
  const std::vector<Tensor> inputs = integer_inputs(graph, 11);
  const std::vector<Tensor> expected = interpret(graph, *weights, inputs);
  for (simt::Schedule schedule : schedules_for(expected[0].type.shape)) {
    options.schedule = schedule;
    auto plan = plan_for_gpu(graph, options);
    REQUIRE(plan);
    INFO(kernel_name(kernel_of(*plan)) << " in schedule " << simt::schedule_name(schedule));
    auto actual = emulate(graph, *weights, inputs, options);
    if (!actual) FAIL(actual.error().render(SourceMap()));
    int64_t wrong = 0;
    for (size_t i = 0; i < expected[0].data.size(); ++i) wrong += (*actual)[0].data[i] != expected[0].data[i];
    REQUIRE(wrong == 0);
  }
}

Conv conv(int64_t channels, Pair kernel, Pair stride = {1, 1}, int64_t groups = 1, int64_t pad = -1) {
  Conv c;
  c.channels = channels;
  c.kernel = kernel;
  c.stride = stride;
  c.dilation = {1, 1};
  c.groups = groups;
  c.bias = true;
  const int64_t top = pad >= 0 ? pad : kernel.h / 2, left = pad >= 0 ? pad : kernel.w / 2;
  c.padding = Padding{Padding::Mode::explicit_, top, left, top, left};
  return c;
}

}  // namespace

TEST_CASE("dense convolutions on tensor cores") {
  for (const Case& c : {
           Case{{1, 16, 9, 7}, conv(24, {1, 1})},
           Case{{2, 32, 7, 5}, conv(64, {3, 3}), true},
           Case{{1, 24, 10, 11}, conv(40, {3, 3}, {2, 2})},
           Case{{1, 40, 5, 6}, conv(17, {3, 2}, {1, 2}, 1, 1)},
           Case{{1, 128, 4, 4}, conv(72, {5, 5}, {2, 1})},
           Case{{1, 64, 3, 3}, conv(48, {3, 3}, {1, 1}, 1, 0), true},
           Case{{1, 33, 6, 6}, conv(10, {1, 1}, {2, 2}, 1, 0)},
       }) {
    check(c, with(Algorithm::mma));
  }
}

TEST_CASE("a convolution with few tiles is split, its parts added up in order") {
  const Case c{{1, 256, 4, 4}, conv(32, {3, 3}), true};
  auto plan = plan_for_gpu(graph_of(c));
  REQUIRE(plan);
  REQUIRE(kernel_of(*plan).split_k > 1);
  check(c);
}

TEST_CASE("dilated convolutions on tensor cores") {
  Case c{{1, 16, 9, 9}, conv(16, {3, 3}, {1, 1}, 1, 2)};
  c.conv.dilation = {2, 2};
  check(c, with(Algorithm::mma));
}

TEST_CASE("convolutions of images take their patch into shared memory") {
  for (const Case& c : {
           Case{{1, 3, 19, 21}, conv(64, {7, 7}, {2, 2}), false, false},
           Case{{1, 3, 12, 17}, conv(16, {3, 3}), true, false},
           Case{{1, 3, 13, 10}, conv(24, {3, 3}, {2, 2}), false, false, Layout::nhwc},
           Case{{1, 1, 14, 14}, conv(8, {5, 5}, {1, 1}, 1, 0), false, false},
           Case{{1, 4, 9, 30}, conv(32, {4, 3}, {2, 2}, 1, 1), false, true},
           Case{{1, 8, 11, 5}, conv(40, {3, 3}), true, true},
       }) {
    check(c, with(Algorithm::patch));
  }
}

TEST_CASE("grouped convolutions of every group width take their patch into shared memory") {
  for (int64_t width : {4, 8, 16, 24, 32, 64}) {
    INFO("groups of " << width);
    const int64_t channels = width == 24 ? 72 : 2 * std::max<int64_t>(16, width);
    const Case same{{1, channels, 7, 10}, conv(channels, {3, 3}, {1, 1}, channels / width)};
    check(same, with(Algorithm::patch));
    if (width > 16) continue;
    check(Case{{2, channels, 7, 6}, conv(channels, {3, 3}, {2, 2}, channels / width), true},
          with(Algorithm::patch));
  }
  check(Case{{1, 32, 6, 6}, conv(64, {3, 3}, {1, 1}, 4)}, with(Algorithm::patch));
  check(Case{{1, 64, 6, 6}, conv(32, {1, 1}, {1, 1}, 4)}, with(Algorithm::patch));
  check(Case{{1, 24, 5, 7}, conv(24, {3, 3}, {1, 1}, 3)}, with(Algorithm::patch));
}

TEST_CASE("wide groups are dense convolutions of their own") {
  const Case c{{1, 224, 5, 5}, conv(224, {3, 3}, {1, 1}, 2), true};
  check(c, with(Algorithm::mma));
  check(Case{{1, 240, 4, 5}, conv(240, {1, 1}, {1, 1}, 2)}, with(Algorithm::mma));
}

TEST_CASE("depthwise convolutions") {
  for (const Case& c : {
           Case{{2, 40, 9, 7}, conv(40, {3, 3}, {1, 1}, 40), true},
           Case{{1, 17, 8, 9}, conv(17, {3, 3}, {2, 2}, 17)},
           Case{{1, 16, 12, 11}, conv(16, {7, 7}, {1, 1}, 16)},
           Case{{1, 24, 6, 5}, conv(24, {5, 5}, {1, 1}, 24, 0), false, false, Layout::nhwc},
       }) {
    check(c, with(Algorithm::depthwise));
  }
}

TEST_CASE("groups that fit no tensor core's tile") {
  for (const Case& c : {
           Case{{1, 6, 5, 5}, conv(12, {3, 3}, {1, 1}, 6)},
           Case{{1, 15, 6, 4}, conv(10, {3, 3}, {1, 1}, 5), true},
           Case{{1, 36, 4, 4}, conv(24, {1, 1}, {1, 1}, 3)},
       }) {
    check(c);
  }
}

TEST_CASE("convolutions in bf16 and f32") {
  EmulationOptions bf16, f32;
  bf16.plan.precision = DType::bf16;
  f32.plan.precision = DType::f32;
  const Case dense{{1, 16, 6, 6}, conv(16, {3, 3})}, grouped{{1, 32, 6, 6}, conv(32, {3, 3}, {1, 1}, 4)};
  check(dense, f32);
  bf16.plan.overrides["conv"].gpu_algorithm = Algorithm::mma;
  check(dense, bf16);
  bf16.plan.overrides["conv"].gpu_algorithm = Algorithm::patch;
  check(grouped, bf16);
  check(grouped, f32);
}

namespace {

EmulationOptions in_tf32() {
  EmulationOptions options = with(Algorithm::mma);
  options.plan.precision = DType::f32;
  options.plan.tf32 = true;
  return options;
}

}  // namespace

TEST_CASE("dense convolutions in tf32, exact on whole numbers") {
  for (const Case& c : {
           Case{{1, 16, 9, 7}, conv(24, {1, 1})},
           Case{{2, 20, 7, 5}, conv(64, {3, 3}), true},
           Case{{1, 40, 5, 6}, conv(17, {3, 2}, {1, 2}, 1, 1)},
           Case{{1, 128, 4, 4}, conv(72, {3, 3}, {2, 1})},
       }) {
    check(c, in_tf32());
  }
}

// Each factor is rounded to 11 bits, by at most 2^-11 of itself, and a product thus changes by at most 2^-10
// of itself and a little; sums are in f32.
TEST_CASE("products in tf32 are as wrong as their rounding allows, and no more") {
  const int64_t channels = 96, results = 24, pixels = 35;
  const Graph graph = graph_of({{1, channels, 5, 7}, conv(results, {1, 1})});
  const auto weights = random_weights(graph, 3);
  const std::vector<Tensor> inputs = random_inputs(graph, 5);
  const std::vector<Tensor> expected = interpret(graph, *weights, inputs);
  auto actual = emulate(graph, *weights, inputs, in_tf32());
  if (!actual) FAIL(actual.error().render(SourceMap()));
  const std::vector<float> kernel = to_floats(*weights->find("conv.weight"));
  double worst = 0;
  for (int64_t oc = 0; oc < results; ++oc)
    for (int64_t pixel = 0; pixel < pixels; ++pixel) {
      double sizes = 0;  // of the products; graph_of puts a relu before the convolution
      for (int64_t c = 0; c < channels; ++c)
        sizes += std::max(0.0, inputs[0].data[static_cast<size_t>(c * pixels + pixel)]) *
                 std::abs(kernel[static_cast<size_t>(oc * channels + c)]);
      const auto at = static_cast<size_t>(oc * pixels + pixel);
      const double error = std::abs((*actual)[0].data[at] - expected[0].data[at]);
      worst = std::max(worst, error / sizes);
      CHECK(error <= sizes * 0x1p-10 * 1.01);
    }
  CHECK(worst > 0x1p-16);  // f32 would be closer
}

TEST_CASE("dense convolutions by wgmma, in every tile") {
  const Case odd{{1, 40, 9, 11}, conv(72, {3, 3}), true};
  for (GpuTile tile : {GpuTile{64, 64}, {64, 128}, {64, 256}, {128, 64}, {128, 128}, {128, 256}}) {
    INFO("tile " << tile.m << "x" << tile.n);
    check(odd, with_wgmma(tile));
    // More than one tile of each kind, more steps than stages.
    check(Case{{2, 72, 12, 10}, conv(tile.n + 24, {3, 3}, {1, 1}, 1, 0)}, with_wgmma(tile));
  }
}

TEST_CASE("dense convolutions by wgmma, of every kind") {
  const EmulationOptions options = with_wgmma({64, 64});
  for (const Case& c : {
           Case{{1, 16, 9, 7}, conv(24, {1, 1})},
           Case{{2, 64, 8, 8}, conv(64, {1, 1}), true},
           Case{{1, 24, 10, 11}, conv(40, {3, 3}, {2, 2})},
           Case{{1, 40, 5, 6}, conv(17, {3, 2}, {1, 2}, 1, 1)},
           Case{{1, 128, 4, 4}, conv(72, {5, 5}, {2, 1})},
           Case{{1, 33, 6, 6}, conv(10, {1, 1}, {2, 2}, 1, 0), false, false},
       }) {
    check(c, options);
  }
  Case dilated{{1, 16, 9, 9}, conv(16, {3, 3}, {1, 1}, 1, 2)};
  dilated.conv.dilation = {2, 2};
  check(dilated, options);
  EmulationOptions bf16 = options;
  bf16.plan.precision = DType::bf16;
  check(Case{{1, 64, 6, 6}, conv(48, {3, 3})}, bf16);
  const Case split{{1, 256, 4, 4}, conv(32, {3, 3}), true};
  auto plan = plan_for_gpu(graph_of(split), options);
  REQUIRE(plan);
  REQUIRE(kernel_of(*plan).split_k > 1);
  check(split, options);
}

TEST_CASE("a plan with wgmma has code for its own target alone") {
  const Graph graph = graph_of({{1, 64, 6, 6}, conv(64, {3, 3})});
  EmulationOptions options;
  options.target = "sm_90a";
  for (bool use_wgmma : {false, true}) {
    options.plan.use_wgmma = use_wgmma;
    auto plan = plan_for_gpu(graph, options);
    REQUIRE(plan);
    auto codes = gpu_codes(*plan, "");
    REQUIRE(codes);
    REQUIRE(codes->size() == (use_wgmma ? 1 : 2));
    CHECK(codes->front().facts->arch == (use_wgmma ? 90 : 80));
    CHECK(codes->back().facts->specific);
  }
}
