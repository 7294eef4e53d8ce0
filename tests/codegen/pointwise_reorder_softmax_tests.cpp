// Pointwise, reorder and softmax kernels against their definitions, over layouts, shapes and ways to split
// the work.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/codegen/check_on_all_targets.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

std::vector<Layout> layouts_of(const Shape& shape) {
  if (shape.rank() == 2) return {Layout::nchw, Layout::nchw16c};
  return {Layout::nchw, Layout::nhwc, Layout::nchw16c};
}

int64_t pointwise_units(const Shape& shape) {
  return ceil_div(shape.c(), kChannelBlock) * shape.n() * shape.h();
}

View broadcast_over_pixels(View view) {
  view.stride_h = view.stride_w = 0;
  return view;
}

}  // namespace

TEST_CASE("reorder copies between all layouts") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout from : layouts_of(shape))
        for (Layout to : layouts_of(shape)) {
          Step step;
          step.inputs = {batch.place(shape, from)};
          step.output = batch.place(shape, to);
          const int64_t zero_lanes = step.output.padded ? round_up(shape.c(), kChannelBlock) - shape.c() : 0;
          step.kernel = ReorderKernel{zero_lanes};
          step.units = shape.c() * shape.n();
          const View in = step.inputs[0];
          batch.add(
              step, [&batch, in](auto n, auto c, auto h, auto w) { return batch.at(in, n, c, h, w); }, 0,
              zero_lanes);
        }
  });
}

namespace {

void add_flatten(StepBatch& batch, const Shape& shape, FlattenOrder order) {
  const Shape flat{shape.n(), shape.c() * shape.h() * shape.w()};
  for (Layout from : layouts_of(shape))
    for (Layout to : layouts_of(flat)) {
      Step step;
      step.inputs = {batch.place(shape, from)};
      step.output = batch.place(flat, to);
      const int64_t zero_lanes = step.output.padded ? round_up(flat.c(), kChannelBlock) - flat.c() : 0;
      step.kernel = ReorderKernel{zero_lanes, order};
      step.units = shape.c() * shape.n();
      const View in = step.inputs[0];
      batch.add(
          step,
          [&batch, in, order](auto n, auto i, auto, auto) {
            const Shape& s = in.shape;
            if (order == FlattenOrder::hwc)
              return batch.at(in, n, i % s.c(), i / s.c() / s.w(), i / s.c() % s.w());
            return batch.at(in, n, i / (s.h() * s.w()), i / s.w() % s.h(), i % s.w());
          },
          0, zero_lanes);
    }
}

}  // namespace

TEST_CASE("reorder flattens from any layout in both orders") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (FlattenOrder order : {FlattenOrder::chw, FlattenOrder::hwc})
        if (shape.rank() == 4) add_flatten(batch, shape, order);
  });
}

TEST_CASE("reorder writes some lanes of a shared block") {
  check_on_all_targets([](StepBatch& batch) {
    // Channels 5 to 12 of a block of 14 whose last two lanes are to be cleared.
    const Shape whole{2, 14, 3, 21}, part{2, 9, 3, 21};
    for (Layout from : layouts_of(part)) {
      Step step;
      step.inputs = {batch.place(part, from)};
      step.output = batch.place(whole, Layout::nchw16c);
      step.output.shape = part;
      step.output.padded = false;
      step.output.offset += 5;
      step.kernel = ReorderKernel{2};
      step.units = part.c() * part.n();
      const View in = step.inputs[0];
      batch.add(
          step, [&batch, in](auto n, auto c, auto h, auto w) { return batch.at(in, n, c, h, w); }, 0, 2);
    }
  });
}

TEST_CASE("pointwise ops of two tensors and copy with an epilogue in every layout") {
  check_on_all_targets([](StepBatch& batch) {
    using Base = PointwiseKernel::Base;
    using Kind = EpilogueStep::Kind;
    for (const Shape& shape : test_shapes())
      for (Layout layout : layouts_of(shape))
        for (Base base : {Base::copy, Base::add, Base::mul, Base::max, Base::min}) {
          Step step;
          PointwiseKernel kernel{
              base, {{Kind::activation, {Activation::Kind::leaky_relu, 0.5}}, {Kind::mul}, {Kind::add}}};
          const int operands = (base == Base::copy ? 1 : 2) + 2;
          for (int i = 0; i < operands; ++i) step.inputs.push_back(batch.place(shape, layout));
          step.output = batch.place(shape, layout);
          step.kernel = kernel;
          step.units = pointwise_units(shape);
          const std::vector<View> in = step.inputs;
          batch.add(
              step,
              [&batch, in, base](auto n, auto c, auto h, auto w) {
                const auto x = [&](size_t i) { return batch.at(in[i], n, c, h, w); };
                double value = base == Base::add   ? x(0) + x(1)
                               : base == Base::mul ? x(0) * x(1)
                               : base == Base::max ? std::max(x(0), x(1))
                               : base == Base::min ? std::min(x(0), x(1))
                                                   : x(0);
                value = value > 0 ? value : 0.5 * value;
                return value * x(in.size() - 2) + x(in.size() - 1);
              },
              1e-5);
        }
  });
}

TEST_CASE("pointwise between different layouts of vector channels, in place, and over a broadcast operand") {
  check_on_all_targets([](StepBatch& batch) {
    using Kind = EpilogueStep::Kind;
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() == 2) continue;
      const Shape channels{shape.n(), shape.c(), 1, 1};
      for (Layout layout : {Layout::nhwc, Layout::nchw16c}) {
        Step step;
        step.output = batch.place(shape, Layout::nchw16c);
        step.inputs = {step.output, batch.place(shape, layout),
                       broadcast_over_pixels(batch.place(channels, Layout::nchw16c))};
        step.kernel = PointwiseKernel{PointwiseKernel::Base::add,
                                      {{Kind::mul}, {Kind::activation, {Activation::Kind::relu}}}};
        step.units = pointwise_units(shape);
        const std::vector<View> in = step.inputs;
        batch.add(
            step,
            [&batch, in](auto n, auto c, auto h, auto w) {
              const double sum = batch.at(in[0], n, c, h, w) + batch.at(in[1], n, c, h, w);
              return std::max(0.0, sum * batch.at(in[2], n, c, 0, 0));
            },
            1e-5);
      }
    }
  });
}

TEST_CASE("pointwise over operands that are broadcast along any dimension") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() == 2) continue;
      for (int mask = 1; mask < 16; ++mask)
        for (Layout layout : {Layout::nhwc, Layout::nchw16c}) {
          Shape small = shape;
          for (int axis = 0; axis < 4; ++axis)
            if (mask >> axis & 1) small[axis] = 1;
          View operand = batch.place(small, layout);
          if (mask & 1) operand.stride_n = 0;
          if (mask & 2 && shape.c() > 1) operand.stride_block = operand.stride_c = 0;
          if (mask & 4) operand.stride_h = 0;
          if (mask & 8) operand.stride_w = 0;
          Step step;
          step.inputs = {batch.place(shape, layout), operand};
          step.output = batch.place(shape, Layout::nchw16c);
          step.kernel = PointwiseKernel{PointwiseKernel::Base::mul, {}};
          step.units = pointwise_units(shape);
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, operand, small](auto n, auto c, auto h, auto w) {
                return batch.at(in, n, c, h, w) * batch.at(operand, small.n() == 1 ? 0 : n,
                                                           small.c() == 1 ? 0 : c, small.h() == 1 ? 0 : h,
                                                           small.w() == 1 ? 0 : w);
              },
              1e-5);
        }
    }
  });
}

TEST_CASE("prelu has a slope for each channel") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : layouts_of(shape)) {
        std::vector<float> slope;
        for (int64_t c = 0; c < shape.c(); ++c) slope.push_back(0.5f - 0.25f * static_cast<float>(c % 7));
        Step step;
        step.inputs = {batch.place(shape, layout)};
        step.output = batch.place(shape, layout);
        step.weights = {batch.place_constants(slope)};
        step.kernel = PointwiseKernel{PointwiseKernel::Base::prelu, {}};
        step.units = pointwise_units(shape);
        const View in = step.inputs[0];
        batch.add(
            step,
            [&batch, in, slope](auto n, auto c, auto h, auto w) {
              const double x = batch.at(in, n, c, h, w);
              return x < 0 ? x * slope[static_cast<size_t>(c)] : x;
            },
            1e-5);
      }
  });
}

TEST_CASE("pointwise scales and shifts each channel") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : layouts_of(shape)) {
        std::vector<float> scale, shift;
        for (int64_t c = 0; c < shape.c(); ++c) {
          scale.push_back(0.5f + 0.25f * static_cast<float>(c % 7));
          shift.push_back(static_cast<float>(c % 5) - 2);
        }
        Step step;
        step.inputs = {batch.place(shape, layout)};
        step.output = batch.place(shape, layout);
        step.weights = {batch.place_constants(scale), batch.place_constants(shift)};
        step.kernel = PointwiseKernel{PointwiseKernel::Base::affine, {}};
        step.units = pointwise_units(shape);
        const View in = step.inputs[0];
        batch.add(
            step,
            [&batch, in, scale, shift](auto n, auto c, auto h, auto w) {
              return batch.at(in, n, c, h, w) * scale[static_cast<size_t>(c)] + shift[static_cast<size_t>(c)];
            },
            1e-5);
      }
  });
}

TEST_CASE("channel pools") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : layouts_of(shape)) {
        if (shape.rank() == 4 && layout == Layout::nchw && shape.h() * shape.w() > 1) continue;
        for (bool max : {false, true}) {
          Shape result = shape;
          result[1] = 1;
          Step step;
          step.inputs = {batch.place(shape, layout)};
          step.output = batch.place(result, layout);
          step.kernel = ChannelPoolKernel{max};
          step.units = shape.n() * shape.h() * shape.w();
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, max](auto n, auto, auto h, auto w) {
                double sum = 0, top = batch.at(in, n, 0, h, w);
                for (int64_t i = 0; i < in.shape.c(); ++i) {
                  sum += batch.at(in, n, i, h, w);
                  top = std::max(top, static_cast<double>(batch.at(in, n, i, h, w)));
                }
                return max ? top : sum / static_cast<double>(in.shape.c());
              },
              1e-5);
        }
      }
  });
}

// The divisor is made by a step that leaves 0 beside the channels in their blocks.
TEST_CASE("a quotient is finite where there are no channels") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : layouts_of(shape)) {
        const auto channels = static_cast<size_t>(shape.c());
        Step divisor;
        divisor.inputs = {batch.place(shape, layout)};
        divisor.output = batch.place(shape, layout);
        divisor.weights = {batch.place_constants(std::vector<float>(channels, 0.5f)),
                           batch.place_constants(std::vector<float>(channels, 3.0f))};
        divisor.kernel = PointwiseKernel{PointwiseKernel::Base::affine, {}};
        divisor.units = pointwise_units(shape);
        Step quotient;
        quotient.inputs = {batch.place(shape, layout), divisor.output};
        quotient.output = batch.place(shape, layout);
        quotient.kernel = PointwiseKernel{PointwiseKernel::Base::div, {}};
        quotient.units = divisor.units;
        const View x = quotient.inputs[0], y = divisor.inputs[0];
        batch.add_chain(
            {divisor, quotient},
            [&batch, x, y](auto n, auto c, auto h, auto w) {
              return batch.at(x, n, c, h, w) / (batch.at(y, n, c, h, w) * 0.5 + 3);
            },
            1e-6);
      }
  });
}

TEST_CASE("softmax and its logarithm over channels, also in place") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : layouts_of(shape)) {
        if (shape.rank() == 4 && layout == Layout::nchw && shape.h() * shape.w() > 1) continue;
        for (int variant = 0; variant < 4; ++variant) {
          const bool in_place = variant & 1, log = variant & 2;
          Step step;
          step.inputs = {batch.place(shape, layout)};
          step.output = in_place ? step.inputs[0] : batch.place(shape, layout);
          step.kernel = SoftmaxKernel{log};
          step.units = shape.n() * shape.h() * shape.w();
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, log](auto n, auto c, auto h, auto w) {
                double sum = 0;
                for (int64_t i = 0; i < in.shape.c(); ++i) sum += std::exp(batch.at(in, n, i, h, w));
                const double x = batch.at(in, n, c, h, w);
                return log ? x - std::log(sum) : std::exp(x) / sum;
              },
              log ? 1e-5 : 1e-6);
        }
      }
  });
}
