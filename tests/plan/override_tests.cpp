#include <catch2/catch.hpp>

#include <fmt/format.h>

#include "tests/plan/networks.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

std::string error_of(const std::string& text) {
  SourceMap sources;
  const auto read = read_overrides(sources, "plan.txt", text);
  REQUIRE_FALSE(read);
  const Diagnostic& first = read.error().list()[0];
  return sources.describe(first.where) + ": " + first.message;
}

// The first error of planning a small network with these overrides.
std::string plan_error(const std::string& text) {
  NetworkBuilder net("net");
  Conv grouped{96, {3, 3}};
  grouped.groups = 2;
  const NodeId x =
      net.conv(net.conv(net.input({1, 3, 56, 56}), Conv{96, {3, 3}}, "conv"), Conv{96, {1, 1}}, "conv1");
  Conv narrow = grouped;
  narrow.groups = 24;
  net.output(net.conv(net.conv(x, grouped, "grouped"), narrow, "narrow"));
  SourceMap sources;
  const auto read = read_overrides(sources, "plan.txt", text);
  REQUIRE(read);
  const Result<Plan> plan = make_plan(net.graph, avx512_target(), {*read});
  REQUIRE_FALSE(plan);
  const Diagnostic& first = plan.error().list()[0];
  return sources.describe(first.where) + ": " + first.message;
}

}  // namespace

TEST_CASE("an override file sets the fields it names") {
  SourceMap sources;
  const auto read =
      read_overrides(sources, "plan.txt",
                     "# tuned\n\nlayer1.0.conv2 algorithm=direct pixels=7 panel=2 k_unroll=4\r\n"
                     "fc\tpanel=4  # wide\nlast algorithm=lanes");
  REQUIRE(read);
  REQUIRE(read->size() == 3);
  const StepOverride& conv = read->at("layer1.0.conv2");
  CHECK(conv.algorithm == ConvAlgorithm::direct);
  CHECK(conv.pixels == 7);
  CHECK(conv.panel == 2);
  CHECK(conv.k_unroll == 4);
  CHECK(conv.where.line == 3);
  CHECK(read->at("fc").panel == 4);
  CHECK_FALSE(read->at("fc").pixels);
  CHECK(read->at("last").algorithm == ConvAlgorithm::lanes);
}

TEST_CASE("overrides are obeyed") {
  NetworkBuilder net("net");
  net.output(net.conv(net.input({1, 3, 56, 56}), Conv{64, {3, 3}}, "conv"));
  StepOverride wanted;
  wanted.algorithm = ConvAlgorithm::direct;
  wanted.pixels = 7;
  wanted.panel = 2;
  wanted.k_unroll = 3;
  const Plan plan = plan_of(net.graph, avx512_target(), {{{"conv", wanted}}});
  const ConvKernel& kernel = std::get<ConvKernel>(step_called(plan, "conv").kernel);
  CHECK(kernel.pixels == 7);
  CHECK(kernel.panel == 2);
  CHECK(kernel.k_unroll == 3);
  CHECK(kernel.tiles.size() == 8);
}

TEST_CASE("a plan's choices are an override file that gives the same plan") {
  const Graph net = resnet50(32, 4);
  for (const Target& target : {avx2_target(), avx512_target()}) {
    const Plan plan = plan_of(net, target);
    const std::string text = print_overrides(plan, net);
    CHECK(text.find("layer1.0.conv2 algorithm=lanes pixels=") != std::string::npos);
    SourceMap sources;
    const auto read = read_overrides(sources, "plan.txt", text);
    REQUIRE(read);
    CHECK(read->size() == 54);
    PlanOptions options;
    options.overrides = *read;
    CHECK(print(plan_of(net, target, options), net) == print(plan, net));
  }
}

TEST_CASE("an override sets how many rows a tile of narrow groups has") {
  NetworkBuilder net("net");
  Conv grouped{64, {3, 3}};
  grouped.groups = 8;
  grouped.padding = {Padding::Mode::same};
  net.output(net.conv(net.input({1, 64, 14, 14}), grouped, "conv"));
  for (int rows : {1, 2}) {
    StepOverride wanted;
    wanted.rows = rows;
    wanted.pixels = 5;
    const Plan plan = plan_of(net.graph, avx2_target(), {{{"conv", wanted}}});
    const Step& step = step_called(plan, "conv");
    const ConvKernel& kernel = std::get<ConvKernel>(step.kernel);
    CHECK(kernel.rows == rows);
    CHECK(kernel.pixels == 5);
    CHECK(step.units == 4 * 3 * 14 / rows);  // blocks, tiles of a row, rows
    const std::string text = print_overrides(plan, net.graph);
    CHECK(text == fmt::format("conv algorithm=lanes pixels=5 panel=1 k_unroll=1 rows={}\n", rows));
  }
}

TEST_CASE("errors in an override file point at the word") {
  CHECK(error_of("conv pixels") == "plan.txt:1:6: expected KEY=VALUE, got 'pixels'");
  CHECK(error_of("\n  conv  tiles=7") ==
        "plan.txt:2:9: unknown setting 'tiles'; use algorithm, pixels, rows, panel, k_unroll or, on a GPU, "
        "tile or paired");
  CHECK(error_of("conv pixels=x") == "plan.txt:1:6: pixels must be a whole number from 1 to 64, not 'x'");
  CHECK(error_of("conv panel=0") == "plan.txt:1:6: panel must be a whole number from 1 to 64, not '0'");
  CHECK(error_of("conv pixels=99999999999999999999") ==
        "plan.txt:1:6: pixels must be a whole number from 1 to 64, not '99999999999999999999'");
  CHECK(error_of("conv algorithm=winograd") ==
        "plan.txt:1:6: unknown algorithm 'winograd'; use direct, lanes, winograd_f2, winograd_f4, strassen_1 "
        "or strassen_2, or on a GPU mma, wgmma, patch, depthwise or simt");
  CHECK(error_of("conv algorithm=wgmma tile=64") ==
        "plan.txt:1:22: tile must be PIXELSxCHANNELS, such as 128x64, not '64'");
  CHECK(error_of("a panel=1\na panel=2") == "plan.txt:2:1: 'a' is set twice, on lines 1 and 2");
}

TEST_CASE("overrides that cannot be obeyed are refused with numbers") {
  CHECK(plan_error("conv9 pixels=7") == "plan.txt:1:1: no convolution or linear layer is called 'conv9'");
  CHECK(plan_error("conv algorithm=mma") == "plan.txt:1:1: conv: mma is an algorithm of GPUs");
  CHECK(plan_error("conv tile=64x64") == "plan.txt:1:1: conv: a tile can be set on GPUs only");
  CHECK(plan_error("conv pixels=20 panel=2") ==
        "plan.txt:1:1: conv: pixels=20 panel=2 needs 43 vector registers, znver4 has 32; make the tile "
        "smaller");
  CHECK(plan_error("conv pixels=64") ==
        "plan.txt:1:1: conv: pixels=64 panel=1 needs 58 vector registers, znver4 has 32; make the tile "
        "smaller");
  CHECK(plan_error("conv panel=7") ==
        "plan.txt:1:1: conv: panel=7 exceeds the 6 blocks of 16 output channels");
  CHECK(plan_error("grouped panel=2") ==
        "plan.txt:1:1: grouped: panel=2 does not divide the 3 blocks of 16 output channels of a group");
  CHECK(plan_error("conv1 algorithm=winograd_f4") ==
        "plan.txt:1:1: conv1: algorithm=winograd_f4 needs a 3x3 kernel with stride and dilation 1, groups of "
        "whole blocks of 16 channels, and an output of at least 2x2");
  CHECK(plan_error("grouped algorithm=winograd_f2 panel=2") ==
        "plan.txt:1:1: grouped: panel=2 does not divide the 3 blocks of 16 output channels of a group");
  CHECK(plan_error("grouped algorithm=lanes") ==
        "plan.txt:1:1: grouped: algorithm=lanes needs groups of 1, 2, 4 or an odd multiple of 8 channels, as "
        "many out as in; "
        "here 2 "
        "of 48 in and 48 out");
  CHECK(plan_error("conv rows=2") == "plan.txt:1:1: conv: rows=2 needs algorithm=lanes");
  CHECK(plan_error("narrow algorithm=lanes rows=4") ==
        "plan.txt:1:1: narrow: rows=4: a tile has at most 3 here");
  CHECK(plan_error("narrow algorithm=lanes pixels=25 rows=2") ==
        "plan.txt:1:1: narrow: pixels=25 rows=2 panel=1 needs 54 vector registers, znver4 has 32; make the "
        "tile smaller");
}
