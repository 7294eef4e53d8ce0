// Convolution kernels against the interpreter: odd sizes, strides, dilations, paddings, groups, layouts and
// epilogues, for every target this CPU has, with the units split in several ways.
#include <catch2/catch.hpp>
#include <random>

#include "tests/codegen/check_on_all_targets.h"
#include "tests/codegen/conv_case.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr uint32_t kSeed = 20;

// Cases are compiled and checked this many at a time, so that a batch's memory stays small.
constexpr size_t kBatch = 32;

void check_cases(const std::vector<ConvCase>& cases) {
  for (size_t first = 0; first < cases.size(); first += kBatch) {
    size_t end = std::min(first + kBatch, cases.size());
    std::string list;
    for (size_t i = first; i < end; ++i) list += std::to_string(i - first) + ": " + cases[i].text() + "\n";
    INFO(list);
    check_on_all_targets([&](StepBatch& batch) {
      for (size_t i = first; i < end; ++i) add_conv(batch, cases[i], static_cast<uint32_t>(i));
    });
  }
}

bool fits(const ConvCase& c) {
  const Padding& p = c.op.padding;
  return c.x.h() + p.top + p.bottom > (c.op.kernel.h - 1) * c.op.dilation.h &&
         c.x.w() + p.left + p.right > (c.op.kernel.w - 1) * c.op.dilation.w;
}

class Draw {
 public:
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % uint64_t(high - low + 1));
  }
  int64_t one_of(std::initializer_list<int64_t> values) {
    return values.begin()[between(0, static_cast<int64_t>(values.size()) - 1)];
  }

 private:
  std::mt19937 random_{kSeed};
};

// Geometry: everything but channels, groups and the algorithm.
ConvCase draw_geometry(Draw& draw) {
  ConvCase c;
  do {
    c.x = {draw.between(1, 3), 1, draw.between(1, 17), draw.between(1, 17)};
    c.op.kernel = {draw.one_of({1, 2, 3, 5, 7}), draw.one_of({1, 2, 3, 3, 5, 7})};
    c.op.stride = {draw.between(1, 3), draw.between(1, 3)};
    c.op.dilation = {draw.one_of({1, 1, 2, 3}), draw.one_of({1, 1, 2, 3})};
    auto pad = [&](int64_t kernel) { return draw.between(0, kernel - 1); };
    c.op.padding = {Padding::Mode::explicit_, pad(c.op.kernel.h), pad(c.op.kernel.w), pad(c.op.kernel.h),
                    pad(c.op.kernel.w)};
  } while (!fits(c));
  c.pixels = static_cast<int>(draw.between(1, 9));
  c.k_unroll = static_cast<int>(draw.one_of({1, 2, 4, 8}));
  c.op.bias = draw.between(0, 2) != 0;
  return c;
}

std::vector<Activation> all_activations() {
  using Kind = Activation::Kind;
  return {{Kind::relu}, {Kind::relu6},     {Kind::leaky_relu, 0.1},           {Kind::sigmoid}, {Kind::tanh},
          {Kind::silu}, {Kind::hardswish}, {Kind::hardsigmoid, 1.0 / 6, 0.5}, {Kind::gelu}};
}

}  // namespace

TEST_CASE("direct convolution over drawn geometries and layouts") {
  Draw draw;
  std::vector<ConvCase> cases;
  for (int i = 0; i < 96; ++i) {
    ConvCase c = draw_geometry(draw);
    c.x[1] = draw.one_of({1, 3, 8, 16, 17, 24, 32, 40});
    c.op.channels = draw.one_of({1, 10, 16, 20, 32, 48, 50});
    c.panel = static_cast<int>(draw.between(1, std::min<int64_t>(3, ceil_div(c.op.channels, 16))));
    c.pixels = std::min(c.pixels, 14 / c.panel);
    constexpr Layout layouts[] = {Layout::nchw16c, Layout::nchw, Layout::nhwc};
    c.x_layout = layouts[draw.between(0, 2)];
    c.out_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
    if (c.x_layout != Layout::nchw16c && c.out_layout != Layout::nchw16c)
      c.misalignment = draw.between(1, 15);
    cases.push_back(c);
  }
  check_cases(cases);
}

TEST_CASE("direct convolution in passes over strips of tiles and parts of the reduction") {
  using Kind = EpilogueStep::Kind;
  const EpilogueStep relu{Kind::activation, {Activation::Kind::relu}}, add{Kind::add};
  Draw draw;
  std::vector<ConvCase> cases;
  for (int i = 0; i < 64; ++i) {
    ConvCase c = draw_geometry(draw);
    if (i % 2)
      c.op.kernel = {1, 1}, c.op.padding = {Padding::Mode::explicit_, 0, 0, 0, 0}, c.op.stride = {1, 1};
    c.x[1] = draw.one_of({16, 33, 48, 56, 80});
    c.op.channels = draw.one_of({10, 16, 20, 40, 50});
    c.panel = static_cast<int>(draw.between(1, std::min<int64_t>(2, ceil_div(c.op.channels, 16))));
    c.pixels = std::min(c.pixels, 14 / c.panel);
    c.strip = draw.one_of({0, 1, 2, 3, 7});
    c.pass_blocks = draw.one_of({0, 1, 2, 3});
    c.x_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
    c.out_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
    if (draw.between(0, 1)) c.epilogue = {add, relu};
    cases.push_back(c);
  }
  check_cases(cases);
}

TEST_CASE("direct convolution with blocked sums") {
  using Kind = EpilogueStep::Kind;
  const EpilogueStep relu{Kind::activation, {Activation::Kind::relu}}, add{Kind::add};
  Draw draw;
  std::vector<ConvCase> cases;
  for (int i = 0; i < 96; ++i) {
    ConvCase c = draw_geometry(draw);
    c.x[1] = draw.one_of({3, 16, 33, 48, 56, 80});
    c.op.channels = draw.one_of({10, 16, 20, 40, 50});
    c.op.bias = draw.between(0, 1);
    c.panel = static_cast<int>(draw.between(1, std::min<int64_t>(2, ceil_div(c.op.channels, 16))));
    c.pixels = std::min(c.pixels, 14 / c.panel);
    if (draw.between(0, 1) && c.op.kernel.h > 1)
      c.sum = {1, draw.between(1, c.op.kernel.h - 1)};
    else
      c.sum.blocks = draw.between(1, 4);
    c.strip = draw.one_of({0, 2, 7});
    c.pass_blocks = draw.one_of({0, 1, 2}) * c.sum.blocks;
    c.x_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
    c.out_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
    if (draw.between(0, 1)) c.epilogue = {add, relu};
    cases.push_back(c);
  }
  check_cases(cases);
}

TEST_CASE("convolution with every group width from 1 to 64") {
  Draw draw;
  std::vector<ConvCase> cases;
  for (int64_t width = 1; width <= 64; ++width) {
    ConvCase c = draw_geometry(draw);
    c.x[0] = 1;
    c.op.kernel = {std::min<int64_t>(c.op.kernel.h, 3), std::min<int64_t>(c.op.kernel.w, 3)};
    if (!fits(c)) c.op.dilation = {1, 1};
    if (!fits(c)) c.op.padding = {Padding::Mode::explicit_, 1, 1, 1, 1}, c.op.kernel = {3, 3};
    c.op.groups = width < 16 ? draw.between(2, 40 / width) : 2;
    c.x[1] = width * c.op.groups;
    bool whole_blocks = width % 16 == 0;
    c.op.channels = c.x.c() * (whole_blocks ? 1 : draw.between(1, 2));
    c.panel = static_cast<int>(whole_blocks ? draw.between(1, width / 16) : draw.between(1, 2));
    if (whole_blocks && width / 16 % c.panel != 0) c.panel = 1;
    c.panel = std::min<int>(c.panel, static_cast<int>(ceil_div(c.op.channels, 16)));
    cases.push_back(c);
  }
  check_cases(cases);
}

TEST_CASE("grouped convolution with several groups in a vector") {
  Draw draw;
  std::vector<ConvCase> cases;
  for (int64_t width : {1, 2, 4, 8, 24, 40})
    for (int i = 0; i < 20; ++i) {
      ConvCase c = draw_geometry(draw);
      c.algorithm = ConvAlgorithm::lanes;
      c.op.groups = draw.between(1, std::max<int64_t>(40 / width, 4));
      c.x[1] = c.op.channels = width * c.op.groups;
      if (c.op.groups == 1 && width > 1) c.op.groups = 2, c.x[1] = c.op.channels = 2 * width;
      c.rows = static_cast<int>(draw.between(1, 3));
      c.x_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
      c.out_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
      if (c.x_layout == Layout::nhwc && c.out_layout == Layout::nhwc) c.misalignment = draw.between(1, 15);
      cases.push_back(c);
    }
  check_cases(cases);
}

TEST_CASE("grouped convolution that adds up rows for a global average") {
  using RowSums = ConvCase::RowSums;
  Draw draw;
  std::vector<ConvCase> cases;
  for (ConvAlgorithm algorithm : {ConvAlgorithm::lanes, ConvAlgorithm::direct})
    for (int64_t width : {1, 4, 8, 12, 16, 24})
      for (int i = 0; i < 6; ++i) {
        ConvCase c = draw_geometry(draw);
        c.algorithm = width == 12 || width == 16 ? ConvAlgorithm::direct : algorithm;
        c.op.groups = draw.between(2, std::max<int64_t>(40 / width, 3));
        c.x[1] = c.op.channels = width * c.op.groups;
        if (c.algorithm == ConvAlgorithm::lanes)
          c.rows = static_cast<int>(draw.between(1, 3));
        else
          c.panel = static_cast<int>(width == 16 ? 1 : draw.between(1, ceil_div(c.op.channels, 16)));
        c.x_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
        c.out_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
        c.epilogue = {
            {EpilogueStep::Kind::activation, {i % 2 ? Activation::Kind::silu : Activation::Kind::relu}}};
        if (c.op.kernel == Pair{1, 1}) c.op.kernel = {1, 2}, c.op.padding.right = 1;  // not collapsed
        if (!fits(c)) continue;
        c.row_sums = RowSums::beside;
        cases.push_back(c);
        c.row_sums = RowSums::averaged;
        cases.push_back(c);
      }
  check_cases(cases);
}

TEST_CASE("convolution whose windows lie in the padding") {
  std::vector<ConvCase> cases;
  for (ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::lanes})
    for (int64_t pad : {3, 5}) {
      ConvCase c;
      c.algorithm = algorithm;
      c.x = {1, 20, 2, 3};
      c.op.channels = 20;
      c.op.groups = algorithm == ConvAlgorithm::lanes ? 5 : 1;
      c.op.kernel = {3, 3};
      c.op.padding = {Padding::Mode::explicit_, pad, pad, pad, pad};
      c.op.bias = true;
      c.pixels = 4;
      cases.push_back(c);
      c.op.dilation = {2, 2};
      c.op.stride = {1, 2};
      cases.push_back(c);
      if (algorithm == ConvAlgorithm::direct) continue;
      for (int rows : {2, 3}) {
        c.rows = rows;
        c.op.dilation = {2, 2};
        cases.push_back(c);
        c.op.dilation = {1, 1};
        cases.push_back(c);
      }
    }
  check_cases(cases);
}

TEST_CASE("Winograd convolution over drawn geometries, layouts and epilogues") {
  using Kind = EpilogueStep::Kind;
  const EpilogueStep relu{Kind::activation, {Activation::Kind::relu}}, add{Kind::add}, mul{Kind::mul};
  const Epilogue epilogues[] = {{}, {relu}, {add, relu}, {relu, mul, add}};
  Draw draw;
  std::vector<ConvCase> cases;
  for (ConvAlgorithm algorithm : {ConvAlgorithm::winograd_f2, ConvAlgorithm::winograd_f4})
    for (int i = 0; i < 48; ++i) {
      ConvCase c;
      c.algorithm = algorithm;
      do {
        c.x = {draw.between(1, 3), draw.one_of({1, 3, 16, 20, 32, 40}), draw.between(1, 15),
               draw.between(1, 15)};
        auto pad = [&] { return draw.one_of({0, 1, 1, 2, i % 8 == 0 ? 6 : 1}); };
        c.op.padding = {Padding::Mode::explicit_, pad(), pad(), pad(), pad()};
      } while (!fits(c));
      c.op.channels = draw.one_of({10, 16, 32, 50});
      if (c.x.c() == 32 && c.op.channels == 32) c.op.groups = draw.between(1, 2);
      c.op.bias = draw.between(0, 2) != 0;
      c.panel = static_cast<int>(c.op.groups > 1 ? 1 : draw.between(1, ceil_div(c.op.channels, 16)));
      if (ceil_div(c.op.channels, 16) % c.panel != 0) c.panel = 1;  // panels do not straddle elements
      c.pixels = static_cast<int>(draw.between(1, 6));
      c.epilogue = epilogues[draw.between(0, 3)];
      c.in_place = draw.between(0, 1) == 0;
      c.broadcast_operands = !c.in_place && draw.between(0, 1) == 0;
      c.x_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
      c.out_layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
      if (c.x_layout == Layout::nhwc && c.out_layout == Layout::nhwc) c.misalignment = draw.between(1, 15);
      cases.push_back(c);
    }
  check_cases(cases);
}

TEST_CASE("convolution with epilogues") {
  using Kind = EpilogueStep::Kind;
  Draw draw;
  std::vector<ConvCase> cases;
  for (const Activation& activation : all_activations())
    for (ConvAlgorithm algorithm : {ConvAlgorithm::direct, ConvAlgorithm::lanes}) {
      const EpilogueStep act{Kind::activation, activation}, add{Kind::add}, mul{Kind::mul};
      ConvCase c;
      c.algorithm = algorithm;
      c.x = {2, draw.one_of({16, 20}), draw.between(1, 4), draw.between(1, 9)};
      c.op.channels = c.x.c();
      c.op.groups = algorithm == ConvAlgorithm::lanes ? c.x.c() / 4 : 1;
      if (algorithm == ConvAlgorithm::lanes) c.rows = static_cast<int>(draw.between(1, 3));
      c.op.kernel = {1, draw.one_of({1, 3})};
      c.op.padding = {Padding::Mode::explicit_, 0, c.op.kernel.w / 2, 0, c.op.kernel.w / 2};
      c.op.bias = true;
      c.pixels = 3;
      c.out_layout = draw.between(0, 1) == 0 ? Layout::nchw16c : Layout::nhwc;
      c.epilogue = {act};
      cases.push_back(c);
      c.epilogue = {add, act, mul};
      c.in_place = true;
      cases.push_back(c);
      c.epilogue = {act, mul, add};
      c.in_place = false;
      c.broadcast_operands = true;
      cases.push_back(c);
    }
  check_cases(cases);
}
