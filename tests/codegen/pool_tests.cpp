// Pooling kernels against the interpreter, for every target this CPU has.
#include <catch2/catch.hpp>
#include <limits>
#include <memory>
#include <random>

#include "ir/op.h"
#include "ir/window.h"
#include "passes/tiling.h"
#include "tests/codegen/check_on_all_targets.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

struct PoolCase {
  Shape x;
  OpAttrs op;
  PoolKernel kernel;
  Layout layout = Layout::nchw16c;
};

Shape result_shape(const PoolCase& c) {
  const TensorType type{DType::f32, c.x};
  return std::get<TensorType>(infer(c.op, {&type, 1})).shape;
}

PoolKernel window_kernel(const PoolCase& c, const PoolWindow& pool, PoolKernel::Mode mode) {
  const Window window = window_of(pool);
  const Padding pad = resolve_padding(window, c.x.h(), c.x.w());
  const Shape out = result_shape(c);
  PoolKernel kernel;
  kernel.mode = mode;
  ConvShape& s = kernel.shape;
  s.n = c.x.n(), s.ic = s.oc = c.x.c(), s.ih = c.x.h(), s.iw = c.x.w(), s.oh = out.h(), s.ow = out.w();
  s.kh = window.kernel.h, s.kw = window.kernel.w, s.stride_h = window.stride.h, s.stride_w = window.stride.w;
  s.dilation_h = window.dilation.h, s.dilation_w = window.dilation.w;
  s.pad_top = pad.top, s.pad_left = pad.left;
  kernel.pad_bottom = pad.bottom, kernel.pad_right = pad.right;
  return kernel;
}

void add_pool(StepBatch& batch, const PoolCase& c) {
  const Shape out = result_shape(c);
  Step step;
  step.inputs = {batch.place(c.x, c.layout)};
  step.output = batch.place(out, c.layout);
  step.kernel = c.kernel;
  const bool global = c.kernel.mode == PoolKernel::Mode::global_average;
  step.units = ceil_div(c.x.c(), kChannelBlock) * c.x.n();
  if (!global) step.units *= out.h() * static_cast<int64_t>(c.kernel.tiles.size());
  const Tensor x = batch.read(step.inputs[0]);
  auto expected = std::make_shared<Tensor>(TensorType{DType::f32, out});
  const Tensor* operand = &x;
  evaluate(c.op, {&operand, 1}, *expected);
  // A maximum is exact; a mean of values below 2 is off by at most a rounding of 2 for each term's addition.
  const int64_t terms = global ? c.x.h() * c.x.w() : c.kernel.shape.kh * c.kernel.shape.kw;
  const double tolerance = c.kernel.mode == PoolKernel::Mode::max
                               ? 0
                               : std::numeric_limits<float>::epsilon() * 2 * static_cast<double>(terms + 2);
  batch.add(
      step, [expected](auto n, auto ch, auto h, auto w) { return expected->at(n, ch, h, w); }, tolerance);
}

class Draw {
 public:
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % uint64_t(high - low + 1));
  }

 private:
  std::mt19937 random_{7};
};

template <class Op>
PoolCase draw_window(Draw& draw, PoolKernel::Mode mode) {
  while (true) {
    PoolCase c;
    c.x = {draw.between(1, 2), draw.between(1, 40), draw.between(1, 17), draw.between(1, 17)};
    Op op;
    op.kernel = {draw.between(1, 5), draw.between(1, 5)};
    op.stride = {draw.between(1, 3), draw.between(1, 3)};
    auto pad = [&](int64_t kernel) { return draw.between(0, kernel - 1); };
    op.padding = {Padding::Mode::explicit_, pad(op.kernel.h), pad(op.kernel.w), pad(op.kernel.h),
                  pad(op.kernel.w)};
    if (draw.between(0, 3) == 0) op.padding = {Padding::Mode::same_upper};
    op.ceil_mode = draw.between(0, 1) != 0;
    bool include_pad = draw.between(0, 1) != 0;
    op.dilation = {draw.between(1, 2), draw.between(1, 2)};
    if constexpr (std::is_same_v<Op, AvgPool>) op.count_include_pad = include_pad;
    c.op = op;
    const TensorType type{DType::f32, c.x};
    if (!std::holds_alternative<TensorType>(infer(c.op, {&type, 1}))) continue;
    c.kernel = window_kernel(c, op, mode);
    c.kernel.count_include_pad = include_pad;
    c.kernel.pixels = static_cast<int>(draw.between(1, 8));
    c.kernel.tiles = balanced_tiles(c.kernel.shape.ow, c.kernel.pixels);
    c.layout = draw.between(0, 2) == 0 ? Layout::nhwc : Layout::nchw16c;
    return c;
  }
}

}  // namespace

TEST_CASE("max pooling") {
  check_on_all_targets([](StepBatch& batch) {
    Draw draw;
    for (int i = 0; i < 40; ++i) add_pool(batch, draw_window<MaxPool>(draw, PoolKernel::Mode::max));
  });
}

TEST_CASE("average pooling divides by what PyTorch divides by") {
  check_on_all_targets([](StepBatch& batch) {
    Draw draw;
    for (int i = 0; i < 40; ++i) add_pool(batch, draw_window<AvgPool>(draw, PoolKernel::Mode::average));
  });
}

TEST_CASE("global average pooling") {
  check_on_all_targets([](StepBatch& batch) {
    for (Layout layout : {Layout::nchw16c, Layout::nhwc})
      for (const Shape& x :
           {Shape{1, 16, 1, 1}, Shape{2, 20, 7, 7}, Shape{3, 5, 3, 17}, Shape{1, 48, 2, 3}}) {
        PoolCase c{x, GlobalAvgPool{}, {}, layout};
        c.kernel.mode = PoolKernel::Mode::global_average;
        c.kernel.shape.n = x.n(), c.kernel.shape.ic = c.kernel.shape.oc = x.c();
        c.kernel.shape.ih = x.h(), c.kernel.shape.iw = x.w();
        add_pool(batch, c);
      }
  });
}
