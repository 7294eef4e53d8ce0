// Reference semantics against small values worked out by hand or taken from PyTorch.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/ir/fixtures.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

void check_close(const Tensor& actual, const std::vector<double>& expected) {
  REQUIRE(actual.data.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK(actual.data[i] == Approx(expected[i]).margin(1e-12));
  }
}

// A convolution by its definition, one output element at a time.
double conv_element(const Conv& conv, const Tensor& x, const Tensor& w, std::array<int64_t, 4> at) {
  auto [n, oc, oh, ow] = at;
  int64_t group_in = x.type.shape.c() / conv.groups, group = oc / (conv.channels / conv.groups);
  double sum = 0;
  for (int64_t ic = 0; ic < group_in; ++ic)
    for (int64_t kh = 0; kh < conv.kernel.h; ++kh)
      for (int64_t kw = 0; kw < conv.kernel.w; ++kw) {
        int64_t h = oh * conv.stride.h + kh * conv.dilation.h - conv.padding.top;
        int64_t v = ow * conv.stride.w + kw * conv.dilation.w - conv.padding.left;
        if (h < 0 || h >= x.type.shape.h() || v < 0 || v >= x.type.shape.w()) continue;
        sum += x.at(n, group * group_in + ic, h, v) * w.at(oc, ic, kh, kw);
      }
  return sum;
}

Tensor wavy(Shape shape, double frequency) {
  Tensor out = counting(shape);
  for (double& v : out.data) v = std::sin(frequency * v + 0.3);
  return out;
}

}  // namespace

TEST_CASE("value: conv: a 3x3 sum over a padded 3x3 image", "[semantics]") {
  Conv op;
  op.channels = 1;
  op.kernel = {3, 3};
  op.bias = true;
  Tensor ones = tensor({1, 1, 3, 3}, std::vector<double>(9, 1));
  check_close(run_op(op, {counting({1, 1, 3, 3}), ones, tensor({1}, {0.5})}),
              {8.5, 15.5, 12.5, 21.5, 36.5, 27.5, 20.5, 33.5, 24.5});
  op.stride = {2, 2};
  check_close(run_op(op, {counting({1, 1, 3, 3}), ones, tensor({1}, {0.5})}), {8.5, 12.5, 20.5, 24.5});
}

TEST_CASE("value: conv: cross-correlation, the kernel is not flipped", "[semantics]") {
  Conv op;
  op.channels = 1;
  op.kernel = {1, 3};
  op.padding = {};
  check_close(run_op(op, {counting({1, 1, 1, 4}), tensor({1, 1, 1, 3}, {1, 10, 100})}), {210, 321});
}

TEST_CASE("value: conv: groups see their own channels", "[semantics]") {
  Conv op;
  op.channels = 2;
  op.kernel = {1, 1};
  op.groups = 2;
  check_close(run_op(op, {tensor({1, 4, 1, 1}, {1, 2, 3, 4}), tensor({2, 2, 1, 1}, {1, 10, 1, 10})}),
              {21, 43});
}

TEST_CASE("value: conv: blocking agrees with the definition", "[semantics]") {
  Conv op;
  op.channels = 6;
  op.kernel = {3, 2};
  op.stride = {2, 1};
  op.dilation = {1, 3};
  op.padding = {Padding::Mode::explicit_, 2, 1, 0, 3};
  // Taps per group 34 * 6 and 18 * 29 pixels: neither fills its blocks evenly.
  op.groups = GENERATE(1, 2);
  Tensor x = wavy({2, 34, 36, 28}, 0.7), w = wavy({6, 34 / op.groups, 3, 2}, 1.3);
  Tensor out = run_op(op, {x, w});
  const Shape& shape = out.type.shape;
  REQUIRE(shape == Shape{2, 6, 18, 29});
  double worst = 0;
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < shape.c(); ++c)
      for (int64_t h = 0; h < shape.h(); ++h)
        for (int64_t v = 0; v < shape.w(); ++v)
          worst = std::max(worst, std::abs(out.at(n, c, h, v) - conv_element(op, x, w, {n, c, h, v})));
  CHECK(worst < 1e-12);
}

TEST_CASE("value: linear", "[semantics]") {
  Linear op;
  op.channels = 2;
  check_close(run_op(op, {tensor({2, 3}, {1, 2, 3, 4, 5, 6}), tensor({2, 3}, {1, 0, -1, 1, 1, 1}),
                          tensor({2}, {0, 10})}),
              {-2, 16, -2, 25});
}

TEST_CASE("value: batch_norm and its folded forms agree", "[semantics]") {
  Tensor gamma = tensor({2}, {2, 3}), beta = tensor({2}, {1, -1}), mean = tensor({2}, {1, 2});
  Tensor variance = tensor({2}, {3, 15}), x = tensor({1, 2, 1, 2}, {1, 3, 2, 10});
  check_close(run_op(BatchNorm{1.0}, {x, gamma, beta, mean, variance}), {1, 3, -1, 5});
  Tensor scale = run_op(FoldScale{1.0}, {gamma, variance});
  check_close(scale, {1, 0.75});
  check_close(run_op(FoldScale{1.0}, {gamma, variance, tensor({2, 2}, {1, 2, 4, 8})}), {1, 2, 3, 6});
  Tensor shift = run_op(FoldShift{1.0}, {gamma, beta, mean, variance});
  check_close(shift, {0, -2.5});
  check_close(run_op(FoldShift{1.0}, {gamma, beta, mean, variance, tensor({2}, {1, 4})}), {1, 0.5});
  check_close(run_op(ChannelAffine{}, {x, scale, shift}), {1, 3, -1, 5});
  check_close(run_op(BatchNorm{1.0}, {tensor({1, 2}, {3, 10}), gamma, beta, mean, variance}), {3, 5});
}

TEST_CASE("value: activations", "[semantics]") {
  // torch.nn.functional's values at -4, -1, 0, 0.5, 7 in float64.
  const Tensor x = tensor({1, 5}, {-4, -1, 0, 0.5, 7});
  check_close(run_op(Relu{}, {x}), {0, 0, 0, 0.5, 7});
  check_close(run_op(Relu6{}, {x}), {0, 0, 0, 0.5, 6});
  check_close(run_op(LeakyRelu{0.1}, {x}), {-0.4, -0.1, 0, 0.5, 7});
  check_close(run_op(Sigmoid{}, {x}),
              {0.01798620996209156, 0.2689414213699951, 0.5, 0.6224593312018546, 0.9990889488055994});
  check_close(run_op(Tanh{}, {x}),
              {-0.999329299739067, -0.7615941559557649, 0, 0.46211715726000973, 0.9999983369439447});
  check_close(run_op(Silu{}, {x}),
              {-0.07194483984836625, -0.2689414213699951, 0, 0.3112296656009273, 6.993622641639196});
  check_close(run_op(Hardswish{}, {x}), {0, -1.0 / 3, 0, 1.75 / 6, 7});
  check_close(run_op(Hardsigmoid{}, {x}), {0, 1.0 / 3, 0.5, 3.5 / 6, 1});
  check_close(run_op(Hardsigmoid{0.2, 0.4}, {x}), {0, 0.2, 0.4, 0.5, 1});
  check_close(run_op(Clip{-0.75, 0.25}, {x}), {-0.75, -0.75, 0, 0.25, 0.25});
  check_close(run_op(Elu{2}, {x}), {2 * std::expm1(-4), 2 * std::expm1(-1), 0, 0.5, 7});
  check_close(run_op(Celu{2}, {x}), {2 * std::expm1(-2), 2 * std::expm1(-0.5), 0, 0.5, 7});
  check_close(run_op(Selu{}, {x}), {-1.7258986281898945, -1.1113307378125625, 0, 0.5 * 1.0507009873554805,
                                    7 * 1.0507009873554805});
  check_close(run_op(Softplus{}, {x}), {std::log1p(std::exp(-4)), std::log1p(std::exp(-1)), std::log(2),
                                        std::log1p(std::exp(0.5)), std::log1p(std::exp(7))});
  check_close(run_op(Softsign{}, {x}), {-0.8, -0.5, 0, 1.0 / 3, 0.875});
  check_close(run_op(Mish{}, {x}),
              {-0.07259174079202535, -0.30340146137410895, 0, 0.3752452113048951, 6.999988379809741});
  check_close(run_op(Gelu{}, {x}),
              {-0.0001266849673324416, -0.15865525393145707, 0, 0.34573123063700656, 6.999999999991041});
  check_close(run_op(Gelu{true}, {x}),
              {-7.024594819227126e-05, -0.15880800939172324, 0, 0.34571400982514394, 6.999999999999997});
}

TEST_CASE("value: activations pass NaN on", "[semantics]") {
  for (const OpInfo& info : op_table()) {
    OpAttrs op = make_op(info);
    std::optional<Activation> activation = activation_of(op);
    if (!activation) continue;
    CAPTURE(info.name);
    CHECK(std::isnan(evaluate(*activation, std::nan(""))));
  }
}

TEST_CASE("value: add and mul", "[semantics]") {
  Tensor x = counting({1, 2, 1, 2}), per_channel = tensor({1, 2, 1, 1}, {10, 100});
  check_close(run_op(Add{}, {x, x}), {0, 2, 4, 6});
  check_close(run_op(Add{}, {x, per_channel}), {10, 11, 102, 103});
  check_close(run_op(Mul{}, {per_channel, x}), {0, 10, 200, 300});
  const Tensor row = tensor({1, 1, 1, 2}, {1, -1}), channel = tensor({1, 2, 1, 1}, {1, 2});
  check_close(run_op(Mul{}, {x, row}), {0, -1, 2, -3});
  check_close(run_op(Add{}, {row, channel}), {2, 0, 3, 1});
  check_close(run_op(Add{}, {tensor({2, 1}, {10, 20}), tensor({1, 2}, {1, 2})}), {11, 12, 21, 22});
}

TEST_CASE("value: prelu", "[semantics]") {
  const Tensor x = tensor({1, 2, 1, 2}, {-1, 2, -3, 4});
  check_close(run_op(Prelu{}, {x, tensor({2}, {0.5, -2})}), {-0.5, 2, 6, 4});
  check_close(run_op(Prelu{true}, {x, tensor({1}, {0.5})}), {-0.5, 2, -1.5, 4});
}

TEST_CASE("value: global_max_pool and log_softmax", "[semantics]") {
  const Tensor x = tensor({1, 2, 1, 3}, {-1, -2, -3, 4, 6, 5});
  check_close(run_op(GlobalMaxPool{}, {x}), {-1, 6});
  check_close(run_op(LogSoftmax{}, {tensor({1, 2}, {1, 3})}), {-2.1269280110429727, -0.12692801104297252});
}

TEST_CASE("value: channel pools", "[semantics]") {
  const Tensor x = tensor({2, 2, 1, 3}, {-1, -2, -3, 4, 6, -5, 1, 2, 3, 4, 5, 6});
  check_close(run_op(ChannelAvgPool{}, {x}), {1.5, 2, -4, 2.5, 3.5, 4.5});
  check_close(run_op(ChannelMaxPool{}, {x}), {4, 6, -3, 4, 5, 6});
}

TEST_CASE("value: div, max, min, exp, sqrt, abs", "[semantics]") {
  const Tensor x = tensor({1, 2, 1, 2}, {-1, 2, -3, 4}), y = tensor({1, 1, 1, 2}, {2, -4});
  check_close(run_op(Div{}, {x, y}), {-0.5, -0.5, -1.5, -1});
  check_close(run_op(Max{}, {x, y}), {2, 2, 2, 4});
  check_close(run_op(Min{}, {y, x}), {-1, -4, -3, -4});
  const double e = std::exp(1.0);
  check_close(run_op(Exp{}, {x}), {1 / e, e * e, 1 / (e * e * e), e * e * e * e});
  check_close(run_op(Exp{}, {tensor({1, 2}, {-1000, 1000})}), {std::exp(-87.3), std::exp(88.3)});
  check_close(run_op(Sqrt{}, {x}), {0, std::sqrt(2.0), 0, 2});
  check_close(run_op(Abs{}, {x}), {1, 2, 3, 4});
}

TEST_CASE("value: pad", "[semantics]") {
  const Tensor x = tensor({1, 1, 2, 2}, {1, 2, 3, 4});
  check_close(run_op(Pad{{Padding::Mode::explicit_, 1, 0, 0, 2}, 9}, {x}),
              {9, 9, 9, 9, 1, 2, 9, 9, 3, 4, 9, 9});
  check_close(run_op(Pad{{Padding::Mode::explicit_, -1, 1, 0, -1}}, {x}), {0, 3});
}

TEST_CASE("value: epilogue steps apply in order", "[semantics]") {
  Conv op;
  op.channels = 1;
  op.kernel = {1, 1};
  op.epilogue = {{EpilogueStep::Kind::add, {}},
                 {EpilogueStep::Kind::activation, {Activation::Kind::relu}},
                 {EpilogueStep::Kind::mul, {}}};
  Tensor x = tensor({1, 1, 1, 3}, {-1, 2, 3}), w = tensor({1, 1, 1, 1}, {2});
  check_close(run_op(op, {x, w, tensor({1, 1, 1, 3}, {1, 1, -10}), tensor({1, 1, 1, 1}, {3})}), {0, 15, 0});
  TensorType types[]{x.type, w.type, x.type, w.type};
  // Three elements: one multiply-add and three epilogue steps each.
  CHECK(flops(op, types, x.type) == 3 * (2 + 3));
}

TEST_CASE("value: max_pool ignores padding", "[semantics]") {
  MaxPool op;
  op.kernel = {2, 2};
  op.stride = {2, 2};
  op.padding = {Padding::Mode::explicit_, 1, 1, 1, 1};
  Tensor x = counting({1, 1, 2, 2});
  for (double& v : x.data) v -= 10;
  check_close(run_op(op, {x}), {-10, -9, -8, -7});
  op = {};
  op.kernel = {2, 2};
  op.dilation = {1, 2};
  op.stride = {1, 1};
  check_close(run_op(op, {counting({1, 1, 3, 3})}), {5, 8});
}

TEST_CASE("value: avg_pool divides as PyTorch does", "[semantics]") {
  // torch.nn.functional.avg_pool2d(arange(25).view(1, 1, 5, 5), 3, 2, 1, ceil_mode, count_include_pad)
  AvgPool op;
  op.kernel = {3, 3};
  op.stride = {2, 2};
  op.padding = {Padding::Mode::explicit_, 1, 1, 1, 1};
  Tensor x = counting({1, 1, 5, 5});
  std::vector<double> with_padding, without_padding{3, 4.5, 6, 10.5, 12, 13.5, 18, 19.5, 21};
  const double areas[]{4, 6, 4, 6, 9, 6, 4, 6, 4};
  for (size_t i = 0; i < 9; ++i) with_padding.push_back(without_padding[i] * areas[i] / 9);
  check_close(run_op(op, {x}), with_padding);
  op.count_include_pad = false;
  check_close(run_op(op, {x}), without_padding);
  // A window that ceil_mode lets hang over the end counts its 2 columns there, not its 3.
  AvgPool hanging;
  hanging.kernel = {1, 3};
  hanging.stride = {1, 2};
  hanging.ceil_mode = true;
  check_close(run_op(hanging, {counting({1, 1, 1, 4})}), {1, 2.5});
  // tf.nn.avg_pool2d(..., 3, 2, "SAME") of 4x4 pads a row and a column at the end and does not count them.
  AvgPool same;
  same.kernel = {3, 3};
  same.stride = {2, 2};
  same.padding = {Padding::Mode::same_upper};
  same.count_include_pad = false;
  check_close(run_op(same, {counting({1, 1, 4, 4})}), {5, 6.5, 11, 12.5});
  same.count_include_pad = true;
  check_close(run_op(same, {counting({1, 1, 4, 4})}), {5, 6.5 * 6 / 9, 11.0 * 6 / 9, 12.5 * 4 / 9});
}

TEST_CASE("value: global_avg_pool, concat, flatten, softmax", "[semantics]") {
  Tensor x = counting({2, 2, 1, 2});
  check_close(run_op(GlobalAvgPool{}, {x}), {0.5, 2.5, 4.5, 6.5});
  check_close(run_op(Concat{}, {x, tensor({2, 1, 1, 2}, {10, 11, 12, 13})}),
              {0, 1, 2, 3, 10, 11, 4, 5, 6, 7, 12, 13});
  check_close(run_op(Flatten{}, {x}), x.data);
  check_close(run_op(Flatten{FlattenOrder::hwc}, {x}), {0, 2, 1, 3, 4, 6, 5, 7});
  double e = std::exp(1);
  check_close(run_op(Softmax{}, {tensor({2, 2}, {1000, 1001, 5, 5})}), {1 / (1 + e), e / (1 + e), 0.5, 0.5});
  check_close(run_op(Softmax{}, {tensor({1, 2, 1, 2}, {1, 5, 2, 5})}), {1 / (1 + e), 0.5, e / (1 + e), 0.5});
}

TEST_CASE("value: affine", "[semantics]") {
  check_close(run_op(Affine{-2, 1}, {tensor({1, 3}, {0, 1, -3})}), {1, -1, 7});
}

TEST_CASE("value: adaptive pooling over bins that overlap or repeat pixels", "[semantics]") {
  // torch.nn.functional.adaptive_avg_pool2d and adaptive_max_pool2d of arange(5).view(1, 1, 1, 5)
  const Tensor x = counting({1, 1, 1, 5});
  check_close(run_op(AdaptiveAvgPool{{1, 3}}, {x}), {0.5, 2, 3.5});
  check_close(run_op(AdaptiveMaxPool{{1, 3}}, {x}), {1, 3, 4});
  check_close(run_op(AdaptiveAvgPool{{1, 7}}, {x}), {0, 0.5, 1.5, 2, 2.5, 3.5, 4});
  check_close(run_op(AdaptiveMaxPool{{2, 1}}, {counting({1, 1, 3, 2})}), {3, 5});
}

TEST_CASE("value: slice, channel_shuffle and shift", "[semantics]") {
  const Tensor x = counting({2, 3, 1, 2});
  check_close(run_op(Slice{{1, 0}}, {x}), {2, 3, 4, 5, 8, 9, 10, 11});
  check_close(run_op(Slice{{0, 1}}, {x}), {0, 1, 6, 7});
  check_close(run_op(ChannelShuffle{2}, {counting({1, 6})}), {0, 3, 1, 4, 2, 5});
  check_close(run_op(ChannelShuffle{3}, {counting({1, 6})}), {0, 2, 4, 1, 3, 5});
  // Three taps along the width, one channel each, and one left over.
  check_close(run_op(Shift{{1, 3}}, {counting({1, 4, 1, 3})}), {0, 0, 1, 3, 4, 5, 7, 8, 0, 9, 10, 11});
  check_close(run_op(Shift{{1, 3}, {1, 2}}, {counting({1, 3, 1, 3})}), {0, 0, 0, 3, 4, 5, 8, 0, 0});
  check_close(run_op(Shift{{2, 1}}, {counting({1, 2, 2, 1})}), {0, 0, 2, 3});
}

TEST_CASE("value: ops of training change nothing", "[semantics]") {
  const Tensor x = counting({1, 5});
  check_close(run_op(Dropout{}, {x}), x.data);
  check_close(run_op(StochasticDepth{0.2}, {x}), x.data);
}

TEST_CASE("value: layer_norm over channels", "[semantics]") {
  const Tensor weight = tensor({2}, {1, 2}), bias = tensor({2}, {0, 10});
  // Two pixels, (1, 5) and (3, 4); eps 0.
  check_close(run_op(LayerNorm{0}, {tensor({1, 2, 1, 2}, {1, 3, 5, 4}), weight, bias}), {-1, -1, 12, 12});
  check_close(run_op(LayerNorm{5}, {tensor({1, 2}, {1, 5}), weight, bias}), {-2.0 / 3, 10 + 4.0 / 3});
}

TEST_CASE("value: local_response_norm", "[semantics]") {
  // Windows of three channels; an even size reaches one channel further back than forward.
  const Tensor x = tensor({1, 3, 1, 1}, {1, 2, 3});
  check_close(run_op(LocalResponseNorm{3, 3, 1, 1}, {x}), {1.0 / 6, 2.0 / 15, 3.0 / 14});
  check_close(run_op(LocalResponseNorm{2, 2, 1, 1}, {x}), {1.0 / 2, 2.0 / 6, 3.0 / 14});
  check_close(run_op(LocalResponseNorm{1, 1, 0.5, 3}, {tensor({1, 1, 1, 1}, {1})}), {0.5});
}

TEST_CASE("value: channel_scale", "[semantics]") {
  check_close(run_op(ChannelScale{}, {counting({1, 2, 1, 2}), tensor({2}, {2, -1})}), {0, 2, -2, -3});
}

TEST_CASE("value: slices of rows and columns, channels of padding", "[semantics]") {
  const Tensor x = tensor({1, 2, 2, 3}, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  check_close(run_op(Slice{{}, {1, 0}, {0, 0, 2}}, {x}), {3, 5, 9, 11});
  check_close(run_op(Slice{{-1, 0}, {0, -1}, {1, -1}}, {x}), {7});
  check_close(run_op(Pad{{Padding::Mode::explicit_, 0, -2, -1, 1}, 9, {1, 0}}, {x}), {9, 9, 2, 9, 8, 9});
  check_close(run_op(Pad{{}, 0, {-1, 1}}, {tensor({1, 2, 1, 1}, {1, 2})}), {2, 0});
}

TEST_CASE("value: space_to_depth and depth_to_space", "[semantics]") {
  const Tensor x = tensor({1, 2, 2, 2}, {0, 1, 2, 3, 4, 5, 6, 7});
  check_close(run_op(SpaceToDepth{2, DepthOrder::crd}, {x}), {0, 1, 2, 3, 4, 5, 6, 7});
  check_close(run_op(SpaceToDepth{2, DepthOrder::dcr}, {x}), {0, 4, 1, 5, 2, 6, 3, 7});
  for (DepthOrder order : {DepthOrder::crd, DepthOrder::dcr})
    check_close(run_op(DepthToSpace{2, order}, {run_op(SpaceToDepth{2, order}, {x})}),
                {0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("value: resize", "[semantics]") {
  const Tensor x = tensor({1, 1, 2, 2}, {0, 4, 8, 12});
  check_close(run_op(Resize{{1, 2}}, {x}), {0, 0, 4, 4, 8, 8, 12, 12});
  check_close(run_op(Resize{{1, 1}, {2, 3}}, {x}), {0, 0, 4, 8, 8, 12});
  check_close(run_op(Resize{{1, 2}, {0, 0}, ResizeMode::bilinear}, {x}), {0, 1, 3, 4, 8, 9, 11, 12});
  check_close(run_op(Resize{{1, 1}, {1, 3}, ResizeMode::bilinear_corners}, {x}), {0, 2, 4});
}

TEST_CASE("value: norms over groups, and with fewer weights", "[semantics]") {
  const Tensor x = tensor({1, 2, 1, 2}, {1, 3, 5, 7}), weight = tensor({2}, {2, 10}),
               bias = tensor({2}, {1, 0});
  GroupNorm all{{4, true, true}, 1};
  check_close(run_op(all, {x, weight, bias}), {-1, 1 - 2.0 / 3, 10.0 / 3, 10});
  InstanceNorm each;
  each.eps = 3;
  check_close(run_op(each, {x}), {-0.5, 0.5, -0.5, 0.5});
  check_close(run_op(BatchNorm{3, false, true}, {x, bias, tensor({2}, {0, 5}), tensor({2}, {1, 6})}),
              {1.5, 2.5, 0, 2.0 / 3});
}

TEST_CASE("value: channel_conv", "[semantics]") {
  check_close(run_op(ChannelConv{3}, {tensor({1, 4}, {1, 2, 3, 4}), tensor({1, 1, 3}, {1, 10, 100})}),
              {210, 321, 432, 43});
}
