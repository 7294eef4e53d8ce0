#include <catch2/catch.hpp>

#include "tests/ir/fixtures.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

Conv conv(int64_t channels, Pair kernel) {
  Conv op;
  op.channels = channels;
  op.kernel = kernel;
  return op;
}

MaxPool max_pool(Pair kernel, Pair stride = {0, 0}, int64_t padding = 0) {
  MaxPool op;
  op.kernel = kernel;
  op.stride = stride;
  op.padding = {Padding::Mode::explicit_, padding, padding, padding, padding};
  return op;
}

EpilogueStep step(EpilogueStep::Kind kind) { return {kind, {}}; }

}  // namespace

TEST_CASE("shape: boundary ops", "[shape]") {
  CHECK(inferred(Input{DType::f32, {1, 3, 8, 8}}, {}) == "f32[1, 3, 8, 8]");
  CHECK(inferred(Input{DType::f16, {1, 3, 8, 8}}, {}) == "inputs must be f32, got f16");
  CHECK(inferred(Input{DType::f32, {3, 8, 8}}, {}) ==
        "an input must be [N, C, H, W] or [N, C], got [3, 8, 8]");
  CHECK(inferred(Input{DType::f32, {1, 8}, Layout::nhwc}, {}) ==
        "layout nhwc needs a rank-4 input, got [1, 8]");
  CHECK(inferred(Input{DType::f32, {1, 0}}, {}) ==
        "shape [1, 0] has a dimension of 0; every dimension must be at least 1");
  CHECK(inferred(Weight{{8, 4, 3, 3}, Role::kernel, StoredOrder::hwio}, {}) == "f32[8, 4, 3, 3]");
  CHECK(inferred(Weight{{8, 4}, Role::kernel, StoredOrder::hwio}, {}) ==
        "a weight that is stored as hwio has 4 dimensions, got [8, 4]");
  CHECK(inferred(Weight{{}, Role::bias}, {}) == "a weight must have at least one dimension, got []");
  CHECK(inferred(Weight{{8, 4, 3, 3}, Role::kernel}, {}) == "f32[8, 4, 3, 3]");
  CHECK(inferred(Output{}, {{1, 8}}) == "f32[1, 8]");
  CHECK(inferred(Output{}, {{8}}) == "an output must be [N, C, H, W] or [N, C], got [8]");
  CHECK(inferred(Output{Layout::nhwc}, {{1, 8}}) == "layout nhwc needs a rank-4 output, got [1, 8]");
  CHECK(inferred(Input{DType::f32, {1, 3}}, {{1, 3}}) == "input takes 0 operands, got 1");
}

TEST_CASE("shape: conv: result shapes", "[shape]") {
  Conv stem = conv(64, {7, 7});
  stem.stride = {2, 2};
  CHECK(inferred(stem, {{1, 3, 224, 224}, {64, 3, 7, 7}}) == "f32[1, 64, 112, 112]");
  Conv grouped = conv(128, {3, 3});
  grouped.groups = 32;
  grouped.bias = true;
  CHECK(inferred(grouped, {{2, 128, 56, 40}, {128, 4, 3, 3}, {128}}) == "f32[2, 128, 56, 40]");
  Conv uneven = conv(8, {3, 1});
  uneven.padding = {Padding::Mode::explicit_, 1, 2, 0, 3};
  uneven.dilation = {2, 1};
  CHECK(inferred(uneven, {{1, 4, 9, 7}, {8, 4, 3, 1}}) == "f32[1, 8, 6, 12]");
  CHECK(inferred_written(stem, {{1, 3, 224, 224}}) == "f32[1, 64, 112, 112]");
}

TEST_CASE("shape: conv: what it refuses", "[shape]") {
  const Shape x{1, 96, 8, 8};
  Conv op = conv(72, {3, 3});
  op.groups = 36;
  CHECK(inferred_written(op, {x}) == "96 input channels are not divisible by groups=36");
  op.groups = 48;
  CHECK(inferred_written(op, {x}) == "72 output channels are not divisible by groups=48");
  op.groups = 0;
  CHECK(inferred_written(op, {x}) == "groups must be at least 1, got 0");
  CHECK(inferred_written(conv(0, {3, 3}), {x}) == "channels must be at least 1, got 0");
  CHECK(inferred_written(conv(8, {0, 3}), {x}) == "kernel must be at least 1, got 0");
  CHECK(inferred_written(conv(8, {3, 3}), {{1, 96}}) == "conv needs an input [N, C, H, W], got f32[1, 96]");
  CHECK(inferred_written(conv(kMaxDim + 1, {1, 1}), {x}) ==
        "the result's shape [1, 16777217, 8, 8] has a dimension of 16777217; at most 16777216 is supported");
  CHECK(inferred(conv(8, {3, 3}), {x, {8, 96, 3, 5}}) ==
        "the kernel must be [8, 96, 3, 3], got f32[8, 96, 3, 5]");
  CHECK(inferred(conv(8, {3, 3}), {x}) == "conv takes 2 operands, got 1");
  CHECK(inferred(conv(8, {3, 3}), {}) == "conv takes 1 operand, got 0");
  Conv biased = conv(8, {3, 3});
  biased.bias = true;
  CHECK(inferred(biased, {x, {8, 96, 3, 3}, {9}}) == "the bias must be [8], got f32[9]");
}

TEST_CASE("shape: conv: windows that do not fit", "[shape]") {
  const Shape x{1, 4, 5, 6};
  Conv op = conv(8, {7, 7});
  op.padding = {};
  CHECK(inferred_written(op, {x}) ==
        "kernel 7x7 is larger than the padded input 5x6 (input 5x6 plus padding 0x0)");
  op.kernel = {3, 3};
  op.dilation = {3, 3};
  CHECK(inferred_written(op, {x}) ==
        "kernel 3x3 with dilation 3x3 reaches over 7x7, which is larger than the padded input 5x6 (input 5x6 "
        "plus "
        "padding 0x0)");
  op = conv(8, {3, 3});
  op.stride = {1, 0};
  CHECK(inferred_written(op, {x}) == "stride must be at least 1, got 0");
  op.stride = {1, 1};
  op.dilation = {-1, 1};
  CHECK(inferred_written(op, {x}) == "dilation must be at least 1, got -1");
  op.dilation = {1, 1};
  op.padding = {Padding::Mode::explicit_, 0, -2, 0, 0};
  CHECK(inferred_written(op, {x}) == "padding must be at least 0, got -2");
  op.padding = {Padding::Mode::explicit_, 0, 0, 0, int64_t{1} << 62};
  CHECK(inferred_written(op, {x}) == "padding must be at most 16777216, got 4611686018427387904");
}

TEST_CASE("shape: errors name the attribute or the operand they are about", "[shape]") {
  Conv op = conv(72, {3, 3});
  op.groups = 36;
  std::vector<TensorType> x{{DType::f32, {1, 96, 8, 8}}};
  Inferred refused = infer_written(op, x);
  CHECK(std::get<OpError>(refused).field == "groups");
  op.groups = 1;
  x.push_back({DType::f32, {1}});
  refused = infer(op, x);
  CHECK(std::get<OpError>(refused).operand == 1);
}

TEST_CASE("shape: epilogues take operands of the result's shape", "[shape]") {
  Conv op = conv(8, {1, 1});
  op.epilogue = {step(EpilogueStep::Kind::add), step(EpilogueStep::Kind::mul),
                 step(EpilogueStep::Kind::activation)};
  const Shape x{2, 4, 5, 5}, w{8, 4, 1, 1};
  CHECK(inferred(op, {x, w, {2, 8, 5, 5}, {2, 8, 1, 1}}) == "f32[2, 8, 5, 5]");
  CHECK(inferred(op, {x, w, {2, 8, 5, 5}}) == "conv takes 4 operands, got 3");
  CHECK(inferred(op, {x, w, {2, 8, 5, 5}, {1, 8, 1, 1}}) ==
        "an epilogue operand must be f32[2, 8, 5, 5] or [N, C, 1, 1], got f32[1, 8, 1, 1]");
}

TEST_CASE("shape: linear", "[shape]") {
  Linear op;
  op.channels = 10;
  CHECK(inferred(op, {{2, 64}, {10, 64}, {10}}) == "f32[2, 10]");
  CHECK(inferred_written(op, {{2, 64, 1, 1}}) ==
        "linear needs an input [N, C], got f32[2, 64, 1, 1]; flatten it first");
  CHECK(inferred(op, {{2, 64}, {64, 10}, {10}}) == "the kernel must be [10, 64], got f32[64, 10]");
  op.bias = false;
  CHECK(inferred(op, {{2, 64}, {10, 64}}) == "f32[2, 10]");
  op.channels = -1;
  CHECK(inferred_written(op, {{2, 64}}) == "channels must be at least 1, got -1");
}

TEST_CASE("shape: norms and what folding leaves", "[shape]") {
  CHECK(inferred_written(BatchNorm{}, {{2, 8, 3, 3}}) == "f32[2, 8, 3, 3]");
  CHECK(inferred_written(BatchNorm{}, {{2, 8}}) == "f32[2, 8]");
  CHECK(inferred_written(BatchNorm{-1.0}, {{2, 8}}) == "eps must not be negative, got -1");
  CHECK(inferred_written(BatchNorm{}, {{8}}) ==
        "batch_norm needs an input [N, C, H, W] or [N, C], got f32[8]");
  CHECK(inferred(BatchNorm{}, {{2, 8}, {8}, {8}, {7}, {8}}) == "the mean must be [8], got f32[7]");
  CHECK(inferred(ChannelAffine{}, {{2, 8, 3, 3}, {8}, {8}}) == "f32[2, 8, 3, 3]");
  CHECK(inferred(ChannelAffine{}, {{2, 8, 3, 3}, {8}, {4}}) ==
        "operand 2 must be one value, or one for each of 8 channels, got f32[4]");
  CHECK(inferred(ChannelAffine{}, {{2, 8, 3, 3}, {1, 8, 1, 1}, {1}}) == "f32[2, 8, 3, 3]");
  CHECK(inferred(ChannelAffine{}, {{2, 8, 3, 3}, {1, 4, 2, 1}, {8}}) ==
        "operand 1 must be one value, or one for each of 8 channels, got f32[1, 4, 2, 1]");
  CHECK(inferred(FoldScale{}, {{8}, {8}}) == "f32[8]");
  CHECK(inferred(FoldScale{}, {{8}, {8}, {8, 4, 3, 3}}) == "f32[8, 4, 3, 3]");
  CHECK(inferred(FoldScale{}, {{8}, {8}, {4, 8, 3, 3}}) ==
        "the scaled weights must have 8 as their first dimension, got f32[4, 8, 3, 3]");
  CHECK(inferred(FoldShift{}, {{8}, {8}, {8}, {8}}) == "f32[8]");
  CHECK(inferred(FoldShift{}, {{8}, {8}, {8}, {8}, {9}}) ==
        "operand 4 must be [8], one value for each of 8 channels, got f32[9]");
  CHECK(inferred(FoldShift{}, {{8, 1}, {8}, {8}, {8}}) == "operand 0 must be [C], got f32[8, 1]");
  CHECK(inferred(FoldShift{}, {{8}}) == "fold_shift takes 4 to 5 operands, got 1");
}

TEST_CASE("shape: norms over channels, and channel_scale", "[shape]") {
  CHECK(inferred_written(LayerNorm{}, {{2, 8, 3, 3}}) == "f32[2, 8, 3, 3]");
  CHECK(inferred_written(LayerNorm{-1}, {{2, 8}}) == "eps must not be negative, got -1");
  CHECK(inferred(LayerNorm{}, {{2, 8}, {8}, {7}}) == "the shift must be [8], got f32[7]");
  CHECK(inferred(LocalResponseNorm{5}, {{2, 8, 3, 3}}) == "f32[2, 8, 3, 3]");
  CHECK(inferred(LocalResponseNorm{0}, {{2, 8, 3, 3}}) == "size must be from 1 to 1024, got 0");
  CHECK(inferred(LocalResponseNorm{5, 1, 1, 0}, {{2, 8, 3, 3}}) == "k must be above 0, got 0");
  CHECK(inferred(LocalResponseNorm{5, -1}, {{2, 8, 3, 3}}) == "alpha must not be negative, got -1");
  CHECK(inferred(LocalResponseNorm{5}, {{2, 8}}) ==
        "local_response_norm needs an input [N, C, H, W], got f32[2, 8]");
  CHECK(inferred_written(ChannelScale{}, {{2, 8, 3, 3}}) == "f32[2, 8, 3, 3]");
  CHECK(inferred(ChannelScale{}, {{2, 8, 3, 3}, {7}}) == "the scale must be [8], got f32[7]");
}

TEST_CASE("shape: add and mul broadcast along dimensions of 1", "[shape]") {
  CHECK(inferred(Add{}, {{1, 8, 4, 4}, {1, 8, 4, 4}}) == "f32[1, 8, 4, 4]");
  CHECK(inferred(Mul{}, {{1, 8, 4, 4}, {1, 8, 1, 1}}) == "f32[1, 8, 4, 4]");
  CHECK(inferred(Mul{}, {{1, 8, 1, 1}, {1, 8, 4, 4}}) == "f32[1, 8, 4, 4]");
  CHECK(inferred(Add{}, {{1, 8, 4, 4}, {1, 8, 4, 1}}) == "f32[1, 8, 4, 4]");
  CHECK(inferred(Add{}, {{2, 1, 4, 4}, {1, 8, 1, 4}}) == "f32[2, 8, 4, 4]");
  CHECK(inferred(Mul{}, {{2, 8}, {1, 8}}) == "f32[2, 8]");
  CHECK(inferred(Mul{}, {{1, 8, 4, 4}, {1, 4, 4, 4}}) ==
        "mul needs two tensors whose dimensions are equal, or 1 in one of them; got f32[1, 8, 4, 4] and "
        "f32[1, 4, 4, 4]");
  CHECK(inferred(Mul{}, {{1, 8, 1, 1}, {1, 8}}) ==
        "mul needs two tensors whose dimensions are equal, or 1 in one of them; got f32[1, 8, 1, 1] and "
        "f32[1, 8]");
}

TEST_CASE("shape: pad", "[shape]") {
  const auto pad = [](int64_t top, int64_t left, int64_t bottom, int64_t right) {
    return Pad{{Padding::Mode::explicit_, top, left, bottom, right}};
  };
  CHECK(inferred(pad(1, 0, 2, 3), {{2, 8, 4, 5}}) == "f32[2, 8, 7, 8]");
  CHECK(inferred(pad(-1, 0, -2, 0), {{2, 8, 4, 5}}) == "f32[2, 8, 1, 5]");
  CHECK(inferred(pad(-1, 0, -3, 0), {{2, 8, 4, 5}}) ==
        "the result's shape [2, 8, 0, 5] has a dimension of 0; every dimension must be at least 1");
  CHECK(inferred(pad(1, 1, 1, 1), {{2, 8}}) == "pad needs an input [N, C, H, W], got f32[2, 8]");
  CHECK(inferred(Pad{{}, 0, {1, 2}}, {{2, 8, 4, 5}}) == "f32[2, 11, 4, 5]");
  CHECK(inferred(Pad{{}, 0, {-3, -4}}, {{2, 8, 4, 5}}) == "f32[2, 1, 4, 5]");
  CHECK(inferred(Pad{{}, 0, {-3, -5}}, {{2, 8, 4, 5}}) == "channels=[-3, -5] leaves none of 8 channels");
  CHECK(inferred(Pad{Padding::same()}, {{2, 8, 4, 5}}) ==
        "pad has no window to go by; write the padding's size instead of same");
}

TEST_CASE("shape: activations with attributes, and prelu", "[shape]") {
  CHECK(inferred(Clip{-1, 1}, {{2, 8}}) == "f32[2, 8]");
  CHECK(inferred(Clip{1, -1}, {{2, 8}}) == "max=-1 is below min=1");
  CHECK(inferred(Celu{0}, {{2, 8}}) == "alpha must be above 0, got 0");
  CHECK(inferred_written(Prelu{}, {{2, 8, 3, 3}}) == "f32[2, 8, 3, 3]");
  CHECK(inferred(Prelu{}, {{2, 8, 3, 3}, {1}}) == "the slope must be [8], got f32[1]");
  CHECK(inferred(Prelu{true}, {{2, 8}, {8}}) == "the slope must be [1], got f32[8]");
}

TEST_CASE("shape: pooling", "[shape]") {
  CHECK(inferred(max_pool({3, 3}, {2, 2}, 1), {{1, 64, 112, 112}}) == "f32[1, 64, 56, 56]");
  CHECK(inferred(max_pool({2, 2}), {{1, 64, 7, 7}}) == "f32[1, 64, 3, 3]");
  CHECK(inferred(max_pool({2, 2}), {{1, 64}}) == "max_pool needs an input [N, C, H, W], got f32[1, 64]");
  CHECK(inferred(max_pool({2, 2}, {1, 1}, 2), {{1, 1, 4, 4}}) ==
        "the window at output row 0 covers only padding: padding [2, 2, 2, 2] is too much for a kernel of "
        "2x2 over an "
        "input of 4x4");
  CHECK(inferred(max_pool({2, 2}, {-1, 1}), {{1, 1, 4, 4}}) == "stride must be at least 1, got -1");
  MaxPool dilated = max_pool({2, 2}, {1, 1}, 1);
  dilated.dilation = {1, 2};
  CHECK(inferred(dilated, {{1, 1, 4, 1}}) ==
        "the window at output column 0 covers only padding: padding [1, 1, 1, 1] is too much for a kernel of "
        "2x2 over "
        "an input of 4x1");
  CHECK(inferred(GlobalAvgPool{}, {{2, 8, 7, 5}}) == "f32[2, 8, 1, 1]");
  CHECK(inferred(GlobalAvgPool{}, {{2, 8}}) == "global_avg_pool needs an input [N, C, H, W], got f32[2, 8]");
}

TEST_CASE("shape: adaptive pooling", "[shape]") {
  CHECK(inferred(AdaptiveAvgPool{{7, 5}}, {{2, 8, 3, 11}}) == "f32[2, 8, 7, 5]");
  CHECK(inferred(AdaptiveMaxPool{{1, 1}}, {{2, 8, 3, 11}}) == "f32[2, 8, 1, 1]");
  CHECK(inferred(AdaptiveMaxPool{{1, 0}}, {{2, 8, 3, 11}}) == "output must be at least 1, got [1, 0]");
  CHECK(inferred(AdaptiveAvgPool{}, {{2, 8}}) ==
        "adaptive_avg_pool needs an input [N, C, H, W], got f32[2, 8]");
}

TEST_CASE("shape: ops that move channels", "[shape]") {
  const Shape x{2, 20, 3, 4};
  CHECK(inferred(Slice{}, {x}) == "f32[2, 20, 3, 4]");
  CHECK(inferred(Slice{{4, 0}}, {x}) == "f32[2, 16, 3, 4]");
  CHECK(inferred(Slice{{4, 7}}, {{2, 20}}) == "f32[2, 3]");
  CHECK(inferred(Slice{{-3, -1}}, {x}) == "f32[2, 2, 3, 4]");
  CHECK(inferred(Slice{{0, 0, 3}, {1, -1}, {0, 3, 2}}, {x}) == "f32[2, 7, 1, 2]");
  CHECK(inferred(Slice{{20, 0}}, {x}) == "c=[20, 0]: it begins outside the 20 channels");
  CHECK(inferred(Slice{{-21, 0}}, {x}) == "c=[-21, 0]: it begins outside the 20 channels");
  CHECK(inferred(Slice{{4, 4}}, {x}) == "c=[4, 4]: it leaves none of the 20 channels");
  CHECK(inferred(Slice{{4, -30}}, {x}) == "c=[4, -30]: it leaves none of the 20 channels");
  CHECK(inferred(Slice{{4, 21}}, {x}) == "c=[4, 21]: it ends behind the 20 channels");
  CHECK(inferred(Slice{{}, {0, 4}}, {x}) == "h=[0, 4]: it ends behind the 3 rows");
  CHECK(inferred(Slice{{}, {}, {4, 0}}, {x}) == "w=[4, 0]: it begins outside the 4 columns");
  CHECK(inferred(Slice{{0, 0, 0}}, {x}) == "c=[0, 0, 0]: the step must be at least 1, got 0");
  CHECK(inferred(Slice{{}, {1, 0}}, {{2, 20}}) == "f32[2, 20] has no rows to slice");
  CHECK(inferred(Slice{}, {{20}}) == "slice needs an input [N, C, H, W] or [N, C], got f32[20]");
  CHECK(inferred(ChannelShuffle{5}, {x}) == "f32[2, 20, 3, 4]");
  CHECK(inferred(ChannelShuffle{3}, {x}) == "20 channels are not divisible by groups=3");
  CHECK(inferred(ChannelShuffle{0}, {x}) == "groups must be at least 1, got 0");
  CHECK(inferred(Shift{{3, 3}}, {x}) == "f32[2, 20, 3, 4]");
  CHECK(inferred(Shift{{7, 3}}, {x}) ==
        "a shift by 7x3 kernel taps needs as many channels or more; the input has 20");
  CHECK(inferred(Shift{{3, 0}}, {x}) == "kernel must be from 1 to 16777216, got [3, 0]");
  CHECK(inferred(Shift{{3, 3}, {0, 1}}, {x}) == "dilation must be from 1 to 16777216, got [0, 1]");
  CHECK(inferred(Shift{{3, 3}}, {{2, 20}}) == "shift needs an input [N, C, H, W], got f32[2, 20]");
}

TEST_CASE("shape: ops of training are probabilities", "[shape]") {
  CHECK(inferred(Dropout{0.2}, {{2, 20}}) == "f32[2, 20]");
  CHECK(inferred(Dropout{1.5}, {{2, 20}}) == "p is a probability, from 0 to 1; got 1.5");
  CHECK(inferred(StochasticDepth{-1}, {{2, 20}}) == "p is a probability, from 0 to 1; got -1");
}

TEST_CASE("shape: concat, flatten, softmax, activations", "[shape]") {
  CHECK(inferred(Concat{}, {{1, 8, 4, 4}, {1, 3, 4, 4}, {1, 1, 4, 4}}) == "f32[1, 12, 4, 4]");
  CHECK(inferred(Concat{}, {{2, 8}}) == "f32[2, 8]");
  CHECK(inferred(Concat{}, {{1, 8, 4, 4}, {1, 8, 4, 5}}) ==
        "concat along channels needs equal sizes elsewhere; the first operand is f32[1, 8, 4, 4], the second "
        "is "
        "f32[1, 8, 4, 5]");
  CHECK(inferred(Concat{}, {}) == "concat takes at least 1 operand, got 0");
  CHECK(inferred(Flatten{}, {{2, 3, 4, 5}}) == "f32[2, 60]");
  CHECK(inferred(Flatten{}, {{2, 3}}) == "flatten needs an input [N, C, H, W], got f32[2, 3]");
  CHECK(inferred(Flatten{}, {{1, 4096, 128, 128}}) ==
        "the result's shape [1, 67108864] has a dimension of 67108864; at most 16777216 is supported");
  CHECK(inferred(Softmax{}, {{2, 3}}) == "f32[2, 3]");
  CHECK(inferred(Softmax{}, {{3}}) == "softmax needs an input [N, C, H, W] or [N, C], got f32[3]");
  CHECK(inferred(Relu{}, {{2, 3}}) == "f32[2, 3]");
  CHECK(inferred(ChannelAvgPool{}, {{2, 3, 4, 5}}) == "f32[2, 1, 4, 5]");
  CHECK(inferred(ChannelMaxPool{}, {{2, 3}}) == "f32[2, 1]");
  CHECK(inferred(ChannelMaxPool{}, {{3}}) ==
        "channel_max_pool needs an input [N, C, H, W] or [N, C], got f32[3]");
  CHECK(inferred(Div{}, {{2, 3, 1, 1}, {2, 1, 4, 5}}) == "f32[2, 3, 4, 5]");
}

TEST_CASE("shape: resize", "[shape]") {
  const Shape x{2, 8, 5, 6};
  CHECK(inferred(Resize{{2, 2}}, {x}) == "f32[2, 8, 10, 12]");
  CHECK(inferred(Resize{{1.5, 0.5}}, {x}) == "f32[2, 8, 7, 3]");
  CHECK(inferred(Resize{{1, 1}, {7, 1}, ResizeMode::bilinear}, {x}) == "f32[2, 8, 7, 1]");
  CHECK(inferred(Resize{{2, 2}, {7, 7}}, {x}) == "resize takes a scale or a size, not both");
  CHECK(inferred(Resize{{0, 2}}, {x}) == "scale must be above 0 and at most 1024, got 0");
  CHECK(inferred(Resize{{1, 1}, {7, 0}}, {x}) == "size must be at least 1, got [7, 0]");
  CHECK(inferred(Resize{{0.1, 1}}, {x}) ==
        "the result's shape [2, 8, 0, 6] has a dimension of 0; every dimension must be at least 1");
  CHECK(inferred(Resize{{2, 2}}, {{2, 8}}) == "resize needs an input [N, C, H, W], got f32[2, 8]");
}

TEST_CASE("shape: space_to_depth and depth_to_space", "[shape]") {
  CHECK(inferred(SpaceToDepth{2}, {{2, 3, 6, 8}}) == "f32[2, 12, 3, 4]");
  CHECK(inferred(DepthToSpace{2}, {{2, 12, 3, 4}}) == "f32[2, 3, 6, 8]");
  CHECK(inferred(SpaceToDepth{4}, {{2, 3, 6, 8}}) == "6x8 pixels are not divisible into blocks of 4x4");
  CHECK(inferred(DepthToSpace{4}, {{2, 12, 3, 4}}) ==
        "12 channels are not divisible into blocks of 4x4 pixels");
  CHECK(inferred(SpaceToDepth{0}, {{2, 3, 6, 8}}) == "factor must be from 1 to 1024, got 0");
}

TEST_CASE("shape: norms and their weights", "[shape]") {
  const Shape x{2, 8, 3, 3};
  GroupNorm groups;
  groups.groups = 4;
  CHECK(inferred_written(groups, {x}) == "f32[2, 8, 3, 3]");
  groups.groups = 3;
  CHECK(inferred_written(groups, {x}) == "8 channels are not divisible by groups=3");
  groups.groups = 0;
  CHECK(inferred_written(groups, {x}) == "groups must be at least 1, got 0");
  CHECK(inferred_written(InstanceNorm{}, {x}) == "f32[2, 8, 3, 3]");
  CHECK(inferred_written(InstanceNorm{}, {{2, 8}}) ==
        "instance_norm needs an input [N, C, H, W], got f32[2, 8]");
  CHECK(parameters(BatchNorm{}, {DType::f32, x}).size() == 4);
  CHECK(parameters(BatchNorm{1e-5, false, true}, {DType::f32, x}).size() == 3);
  CHECK(parameters(BatchNorm{1e-5, false, false}, {DType::f32, x}).size() == 2);
  CHECK(parameters(InstanceNorm{}, {DType::f32, x}).empty());
  CHECK(parameters(LayerNorm{1e-5, true, false}, {DType::f32, x}).size() == 1);
}

TEST_CASE("shape: channel_conv", "[shape]") {
  CHECK(inferred_written(ChannelConv{5}, {{2, 8, 1, 1}}) == "f32[2, 8, 1, 1]");
  CHECK(inferred_written(ChannelConv{4}, {{2, 8}}) == "kernel must be odd and from 1 to 1023, got 4");
  CHECK(inferred(ChannelConv{3}, {{2, 8}, {1, 1, 5}}) == "the kernel must be [1, 1, 3], got f32[1, 1, 5]");
}
