// What the planner chooses for a GPU.
#include <algorithm>
#include <catch2/catch.hpp>

#include "codegen/codegen.h"
#include "passes/floor.h"
#include "passes/gpu_conv_choice.h"
#include "passes/gpu_conv_wgmma.h"
#include "passes/gpu_launch.h"
#include "tests/gpu/emulate.h"
#include "tests/support/random_graph.h"

using namespace cardinal;

namespace {

using Algorithm = GpuConvKernel::Algorithm;

const GpuFacts& h200() {
  static const Target target = *resolve_target("sm_90a");
  return *target.gpu;
}

GpuConvProblem problem(ConvShape shape, DType dtype = DType::f16) {
  return {
      shape, workspace_view({shape.n, shape.ic, shape.ih, shape.iw}, {Layout::nhwc, dtype}), dtype, {}, {}};
}

ConvShape square(int64_t n, int64_t ic, int64_t oc, int64_t size, int64_t kernel, int64_t groups = 1) {
  ConvShape s;
  s.n = n, s.ic = ic, s.oc = oc, s.ih = s.iw = s.oh = s.ow = size;
  s.kh = s.kw = kernel;
  s.pad_top = s.pad_left = kernel / 2;
  s.groups = groups;
  return s;
}

}  // namespace

TEST_CASE("large convolutions take large tiles and are not split") {
  const auto choices = gpu_conv_choices(problem(square(128, 256, 256, 14, 3)), h200());
  CHECK(choices[0].kernel.algorithm == Algorithm::mma);
  CHECK(choices[0].kernel.tile_m == 128);
  CHECK(choices[0].kernel.tile_n >= 64);
  CHECK(choices[0].kernel.split_k == 1);
}

TEST_CASE("with fewer tiles than multiprocessors the reduction is split") {
  const auto choices = gpu_conv_choices(problem(square(1, 512, 512, 7, 3)), h200());
  const GpuConvKernel& k = choices[0].kernel;
  CHECK(k.algorithm == Algorithm::mma);
  CHECK(k.split_k > 1);
  // Every part has work.
  const int64_t steps = ceil_div(mma_reduction(k.shape), k.tile_k);
  CHECK(ceil_div(steps, ceil_div(steps, k.split_k)) == k.split_k);
}

TEST_CASE("grouped and depthwise convolutions have kernels of their own") {
  for (int64_t groups : {32, 16, 8})
    CHECK(gpu_conv_choices(problem(square(128, 128, 128, 56, 3, groups)), h200())[0].kernel.algorithm ==
          Algorithm::patch);
  CHECK(gpu_conv_choices(problem(square(128, 128, 128, 56, 3, 128)), h200())[0].kernel.algorithm ==
        Algorithm::depthwise);
}

TEST_CASE("f32 never goes to tensor cores") {
  for (int64_t groups : {1, 4, 128})
    for (const GpuConvChoice& choice :
         gpu_conv_choices(problem(square(1, 128, 128, 14, 3, groups), DType::f32), h200()))
      CHECK((choice.kernel.algorithm == Algorithm::simt || choice.kernel.algorithm == Algorithm::depthwise));
}

TEST_CASE("tf32 goes to tensor cores at half the rate, its steps as many bytes") {
  GpuConvProblem p = problem(square(128, 256, 256, 14, 3), DType::f32);
  const GpuConvChoice half = gpu_conv_choices(problem(square(128, 256, 256, 14, 3)), h200())[0];
  p.tf32 = true;
  const GpuConvChoice tf32 = gpu_conv_choices(p, h200())[0];
  CHECK(tf32.kernel.algorithm == Algorithm::mma);
  CHECK(tf32.kernel.tile_k * 4 == half.kernel.tile_k * 2);
  CHECK(tf32.candidate.microseconds > half.candidate.microseconds);
  p.tf32 = false;
  CHECK(gpu_conv_choices(p, h200())[0].candidate.microseconds > tf32.candidate.microseconds);
}

TEST_CASE("a plan's floor is that of its precision") {
  Graph graph;
  graph.name = "net";
  Conv conv{256, {3, 3}};
  const NodeId x =
      graph.add(Relu{}, {graph.add(Input{DType::f32, {8, 256, 28, 28}, Layout::nchw}, {}, "x")}, "relu");
  graph.add(Output{}, {std::get<NodeId>(testing::add_layer(graph, conv, {x}, "conv"))}, "y");
  const auto tflops = [&](DType precision, bool tf32, bool use_wgmma = false) {
    testing::EmulationOptions options;
    options.target = "sm_90a";
    options.plan.precision = precision;
    options.plan.tf32 = tf32;
    options.plan.use_wgmma = use_wgmma;
    const Result<Plan> plan = testing::plan_for_gpu(graph, options);
    REQUIRE(plan);
    for (const Step& step : plan->steps)
      if (step.name == "conv") CHECK(step.bytes >= 256 * 256 * 9 * dtype_bytes(precision));
    return ceilings_of(*plan).flops * 1e-6;
  };
  CHECK(tflops(DType::f16, false) == h200().tensor_tflops);
  CHECK(tflops(DType::bf16, false) == h200().tensor_tflops);
  CHECK(tflops(DType::f16, false, true) == h200().wgmma_tflops);
  CHECK(tflops(DType::f32, true) == h200().tensor_tflops / 2);
  CHECK(tflops(DType::f32, false) == h200().simt_tflops);
}

TEST_CASE("strided 1x1 convolutions read their pixels where they are") {
  Graph graph;
  graph.name = "net";
  Conv conv{256, {1, 1}};
  conv.stride = {2, 2};
  const NodeId x =
      graph.add(Relu{}, {graph.add(Input{DType::f32, {8, 64, 28, 28}, Layout::nhwc}, {}, "x")}, "relu");
  graph.add(Output{Layout::nhwc}, {std::get<NodeId>(testing::add_layer(graph, conv, {x}, "conv"))}, "y");
  const Result<Plan> plan = testing::plan_for_gpu(graph);
  REQUIRE(plan);
  CHECK(plan->steps.size() == 2);
}

TEST_CASE("x is copied where the tensor core cannot read it") {
  GpuConvProblem p = problem(square(1, 64, 64, 14, 1));
  CHECK_FALSE(gpu_conv_choices(p, h200())[0].copies_input);
  p.x = make_view(Space::input, 0, 0, {1, 64, 14, 14}, Layout::nchw);
  for (const GpuConvChoice& choice : gpu_conv_choices(p, h200()))
    CHECK(choice.copies_input == (choice.kernel.algorithm == Algorithm::mma));
}

TEST_CASE(
    "choices come best first, and none needs more shared memory than the oldest GPU's smaller kin have") {
  for (const ConvShape& shape :
       {square(1, 64, 256, 56, 1), square(128, 2048, 512, 7, 1), square(8, 96, 96, 28, 3, 2)}) {
    double last = 0;
    for (const GpuConvChoice& choice : gpu_conv_choices(problem(shape), h200())) {
      CHECK(choice.candidate.microseconds >= last);
      last = choice.candidate.microseconds;
      if (choice.kernel.algorithm == Algorithm::mma) CHECK(mma_shared_bytes(choice.kernel) <= 99 << 10);
    }
  }
}

TEST_CASE("a patch's units cover the window of every tap once") {
  GpuConvKernel k;
  k.shape = square(1, 128, 128, 14, 3, 8);
  k.window = 16, k.patch_channels = 64, k.tile_n = 64, k.tile_h = 8, k.tile_w = 14;
  const Patch patch = make_patch(k);
  CHECK(patch.steps() == 9);
  CHECK(patch.rows == 10);
  CHECK(patch.columns == 16);
  CHECK(patch.pixel_bytes / 16 % 2 == 1);
  k.window = 8;
  CHECK(make_patch(k).steps() == 5);  // the last has a unit to spare
}

TEST_CASE("an algorithm can be asked for, but only where it is possible") {
  GpuConvProblem p = problem(square(1, 64, 64, 14, 3));
  p.wanted = Algorithm::simt;
  for (const GpuConvChoice& choice : gpu_conv_choices(p, h200()))
    CHECK(choice.kernel.algorithm == Algorithm::simt);
  p.wanted = Algorithm::depthwise;
  CHECK(gpu_conv_choices(p, h200()).empty());
}

TEST_CASE("wgmma takes the place of mma only where it is asked for and the target has it") {
  GpuConvProblem p = problem(square(128, 256, 256, 14, 3));
  const auto has = [&](const GpuFacts& gpu) {
    const auto choices = gpu_conv_choices(p, gpu);
    return std::any_of(choices.begin(), choices.end(), [](const GpuConvChoice& choice) {
      return choice.kernel.algorithm == Algorithm::wgmma;
    });
  };
  CHECK_FALSE(has(h200()));
  p.use_wgmma = true;
  for (const GpuConvChoice& choice : gpu_conv_choices(p, h200()))
    CHECK(choice.kernel.algorithm != Algorithm::mma);
  CHECK(has(h200()));
  CHECK_FALSE(has(*resolve_target("sm_90")->gpu));
  CHECK_FALSE(has(*resolve_target("sm_100a")->gpu));
  p.shape.groups = 2;
  CHECK_FALSE(has(h200()));
  p.shape.groups = 1;
  p.wanted = Algorithm::wgmma;
  p.wanted_tile = GpuTile{64, 256};
  for (const GpuConvChoice& choice : gpu_conv_choices(p, h200())) {
    CHECK(choice.kernel.tile_m == 64);
    CHECK(choice.kernel.tile_n == 256);
  }
  p.wanted_tile = GpuTile{96, 96};
  CHECK(gpu_conv_choices(p, h200()).empty());

  // Whatever may be rounded to 11 bits.
  p = problem(square(128, 256, 256, 14, 3), DType::f32);
  p.use_wgmma = p.tf32 = true;
  CHECK_FALSE(has(h200()));
  CHECK(gpu_conv_choices(p, h200())[0].kernel.algorithm == Algorithm::mma);
}

TEST_CASE("a tile of wgmma fits shared memory, its stages and barriers where they must be") {
  GpuConvProblem p = problem(square(128, 256, 512, 14, 3));
  p.wanted = Algorithm::wgmma;
  for (const GpuConvChoice& choice : gpu_conv_choices(p, h200())) {
    const GpuConvKernel& k = choice.kernel;
    CHECK(wgmma_shared_bytes(k) <= h200().shared_bytes);
    CHECK(wgmma_stage_bytes(k) % 1024 == 0);  // where the swizzle's pattern repeats
    CHECK(wgmma_barriers_offset(k) % 8 == 0);
    CHECK(k.tile_m / (k.warps_m / 4) % 64 == 0);
    CHECK(wgmma_threads(k) == 384);
  }
}

TEST_CASE("targets of GPUs are known by name") {
  CHECK(resolve_target("sm_90a")->gpu->specific);
  CHECK(resolve_target("sm_80")->gpu->arch == 80);
  CHECK_FALSE(resolve_target("x86-64-v3")->gpu);
  auto old = resolve_target("sm_70");
  REQUIRE_FALSE(old);
  CHECK(old.error().render(SourceMap()).find("the GPUs are sm_80, sm_86") != std::string::npos);
}
