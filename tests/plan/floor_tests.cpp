#include "passes/floor.h"

#include <catch2/catch.hpp>

#include "passes/explain.h"
#include "tests/plan/networks.h"

using namespace cardinal;
using namespace cardinal::testing;

TEST_CASE("a floor is the longer of arithmetic and bytes") {
  const Ceilings most{100e3, 20e3, 200e3};
  const Floor busy = floor_of({1e6, 4e5, 2e5}, false, most);
  CHECK(busy.arithmetic_us == Approx(10));
  CHECK(busy.bytes_us == Approx(2));
  CHECK(busy.us() == Approx(10));
  CHECK(busy.bound() == "arithmetic");
  const Floor cold = floor_of({1e6, 4e5, 2e5}, true, most);
  CHECK(cold.bytes_us == Approx(11));
  CHECK(cold.us() == Approx(11));
  CHECK(cold.bound() == "bytes");
}

TEST_CASE("a core's ceilings follow from the target's facts") {
  const Ceilings avx2 = ceilings_of(avx2_target()), avx512 = ceilings_of(avx512_target());
  CHECK(avx2.flops == Approx(2 * 8 * 2 * 3.5e3));
  CHECK(avx512.flops == Approx(2 * 16 * 1 * 3.7e3));
  CHECK(avx2.memory_bytes < avx2.cache_bytes);
}

TEST_CASE("taps in the padding are no work") {
  NetworkBuilder net("net");
  net.output(net.conv(net.input({1, 16, 4, 5}), Conv{32, {3, 3}}, "conv"));
  PlanOptions direct;
  direct.winograd = false;
  const Plan plan = plan_of(net.graph, avx2_target(), direct);
  const Step& step = step_called(plan, "conv");
  const Work work = work_of(step);
  // Rows 3 * 4 - 2 taps, columns 3 * 5 - 2.
  CHECK(work.flops == 2.0 * 16 * 32 * 10 * 13);
  CHECK(step.flops == 2.0 * 16 * 32 * 9 * 20);
  CHECK(work.weight_bytes == 4.0 * 16 * 32 * 9);
  CHECK(work.bytes == 4.0 * (16 * 32 * 9 + 16 * 20 + 32 * 20));
}

TEST_CASE("the products of a Winograd convolution need fewer operations than its sums") {
  NetworkBuilder net("net");
  net.output(net.conv(net.input({1, 64, 56, 56}), Conv{64, {3, 3}}, "conv"));
  const Plan plan = plan_of(net.graph, avx512_target());
  double flops = 0, direct = 0, weights = 0;
  for (const Step& step : plan.steps) {
    flops += work_of(step).flops;
    direct += step.flops;
    weights += work_of(step).weight_bytes;
  }
  CHECK(flops == Approx(2.0 * 36 * 14 * 14 * 64 * 64));
  CHECK(direct == Approx(2.0 * 9 * 56 * 56 * 64 * 64));
  CHECK(weights == Approx(4.0 * 36 * 64 * 64));
}

TEST_CASE("all bands of a convolution together do its work") {
  const Graph net = resnet50(1, 64, 8);
  const Plan plan = plan_of(net, avx512_target(), {.fast_matmul = 0, .stages = false});
  double weights = 0;
  for (const Step& step : plan.steps) {
    REQUIRE(work_of(step).weight_bytes <= work_of(step).bytes);
    if (step.name == "layer1.0.conv3") weights += work_of(step).weight_bytes;
  }
  CHECK(weights == Approx(4.0 * 64 * 256).epsilon(0.001));
}

TEST_CASE("a plan explains each step") {
  NetworkBuilder net("net");
  net.output(net.conv(net.input({1, 16, 14, 14}), Conv{32, {5, 5}}, "conv"), "y", Layout::nhwc);
  const Plan plan = plan_of(net.graph, avx512_target());
  const std::string text = explain(plan, net.graph, {3, {200}, Ceilings{100e3, 20e3, 200e3}});
  INFO(text);
  CHECK(text.starts_with(print_heading(plan, net.graph)));
  CHECK(text.find(
            " us at 100.0 GFLOP/s, 200 GB/s from L2 and, for weights, 200 GB/s from L2; measured 200.0 us in "
            "1 of 1 steps\n") != std::string::npos);
  CHECK(text.find(print_step(plan, 0) + "        floor ") != std::string::npos);
  CHECK(text.find(" us (arithmetic), measured 200.0 us: ") != std::string::npos);
  CHECK(text.find("        3 threads: 1 x 10 + 2 x 9 units, grain ") != std::string::npos);
  CHECK(text.find("        * direct 7x2 unroll 8") != std::string::npos);
  CHECK(text.find(" more, up to ") != std::string::npos);
  CHECK(explain(plan, net.graph).find("threads") == std::string::npos);
  CHECK(explain(plan, net.graph).find("measured") == std::string::npos);
}
