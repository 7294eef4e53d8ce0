#include <catch2/catch.hpp>

#include "tests/plan/networks.h"

using namespace cardinal;
using namespace cardinal::testing;

TEST_CASE("a printed plan reads like this") {
  NetworkBuilder net("tiny");
  Conv grouped{32, {3, 3}, {2, 2}};
  grouped.groups = 8;
  Conv gate{32, {1, 1}};
  gate.epilogue = {{EpilogueStep::Kind::activation, {Activation::Kind::relu}}};
  const NodeId x = net.conv(net.input({1, 3, 30, 30}), Conv{32, {3, 3}}, "stem");
  const NodeId y = net.conv(net.conv(x, grouped, "grouped"), gate, "gate");
  const NodeId flat = net.layer(Flatten{}, {net.layer(GlobalAvgPool{}, {y}, "pool")}, "flat");
  net.output(net.layer(Softmax{}, {net.layer(Linear{10}, {flat}, "fc")}, "prob"));
  const Plan plan = plan_of(net.graph, avx512_target());
  CHECK(print(plan, net.graph) ==
        R"(plan tiny for znver4: 6 steps, workspace 0.14 MiB, weights 0.01 MiB, predicted 23.3 us
   0 stem                         conv_direct_10x2   [1, 3, 30, 30] -> [1, 32, 30, 30] 3x3; row tiles 3x10, unroll 3 | in0 planar -> ws+0 | 90 units, 13.8 us
   1 grouped                      conv_lanes4_8      [1, 32, 30, 30] -> [1, 32, 15, 15] 3x3 stride 2x2 groups 8; row tiles 1x8 + 1x7 | ws+0 -> ws+28800 | 60 units in strips of 16, 5.0 us
   2 gate                         conv_direct_13x2   [1, 32, 15, 15] -> [1, 32, 15, 15] 1x1; image tiles 9x13 + 9x12, unroll 2; relu | ws+28800 -> ws+0 | 18 units, 4.2 us
   3 pool                         global_avg_pool    [1, 32, 15, 15] -> [1, 32, 1, 1] | ws+0 -> ws+7200 | 2 units, 0.3 us
   4 fc                           conv_direct_1x1    [1, 32, 1, 1] -> [1, 10, 1, 1] 1x1; image tiles 1x1, unroll 8; bias | ws+7200 -> ws+0 | 1 units, 0.1 us
   5 prob                         softmax            [1, 10] -> [1, 10] | ws+0 -> out0 rows | 1 units, 0.0 us
)");
}

TEST_CASE("kernel names") {
  ConvKernel conv;
  conv.pixels = 14;
  conv.panel = 2;
  CHECK(kernel_name(conv) == "conv_direct_14x2");
  conv.algorithm = ConvAlgorithm::lanes;
  conv.shape.ic = conv.shape.oc = 64;
  conv.shape.groups = 16;
  CHECK(kernel_name(conv) == "conv_lanes4_14");
  conv.rows = 2;
  CHECK(kernel_name(conv) == "conv_lanes4_2x14");
  PoolKernel pool;
  CHECK(kernel_name(pool) == "max_pool");
  pool.mode = PoolKernel::Mode::average;
  CHECK(kernel_name(pool) == "avg_pool");
  pool.mode = PoolKernel::Mode::global_average;
  CHECK(kernel_name(pool) == "global_avg_pool");
  PointwiseKernel pointwise;
  CHECK(kernel_name(pointwise) == "copy");
  pointwise.epilogue = {{EpilogueStep::Kind::activation, {Activation::Kind::silu}}};
  CHECK(kernel_name(pointwise) == "silu");
  pointwise.base = PointwiseKernel::Base::affine;
  CHECK(kernel_name(pointwise) == "affine");
  CHECK(kernel_name(ReorderKernel{}) == "reorder");
  CHECK(kernel_name(SoftmaxKernel{}) == "softmax");
  CHECK(kernel_name(SoftmaxKernel{true}) == "log_softmax");
  CHECK(kernel_name(ChannelPoolKernel{}) == "channel_avg_pool");
  CHECK(kernel_name(ChannelPoolKernel{true}) == "channel_max_pool");
  CHECK(kernel_name(PadKernel{}) == "pad");
  for (auto [base, name] :
       {std::pair(PointwiseKernel::Base::div, "div"), {PointwiseKernel::Base::max, "max"}}) {
    pointwise.base = base;
    CHECK(kernel_name(pointwise) == name);
  }
}
