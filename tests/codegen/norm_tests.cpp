// Normalisation kernels against their definitions.
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/codegen/check_on_all_targets.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

std::vector<Layout> vector_layouts(const Shape& shape) {
  return shape.rank() == 2 ? std::vector{Layout::nchw, Layout::nchw16c}
                           : std::vector{Layout::nhwc, Layout::nchw16c};
}

}  // namespace

TEST_CASE("layer norm over the channels of each pixel, also in place") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : vector_layouts(shape))
        for (bool in_place : {false, true}) {
          std::vector<float> weight, bias;
          for (int64_t c = 0; c < shape.c(); ++c) {
            weight.push_back(0.5f + 0.25f * static_cast<float>(c % 7));
            bias.push_back(static_cast<float>(c % 5) - 2);
          }
          constexpr double kEps = 1e-2;
          Step step;
          step.inputs = {batch.place(shape, layout)};
          step.output = in_place ? step.inputs[0] : batch.place(shape, layout);
          step.weights = {batch.place_constants(weight), batch.place_constants(bias)};
          step.kernel = LayerNormKernel{kEps};
          step.units = shape.n() * shape.h() * shape.w();
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, weight, bias](auto n, auto c, auto h, auto w) {
                const auto count = static_cast<double>(in.shape.c());
                double mean = 0, variance = 0;
                for (int64_t i = 0; i < in.shape.c(); ++i) mean += batch.at(in, n, i, h, w) / count;
                for (int64_t i = 0; i < in.shape.c(); ++i)
                  variance += std::pow(batch.at(in, n, i, h, w) - mean, 2) / count;
                const auto at = static_cast<size_t>(c);
                return (batch.at(in, n, c, h, w) - mean) / std::sqrt(variance + kEps) * weight[at] + bias[at];
              },
              1e-5);
        }
  });
}

namespace {

// The steps of a group norm as the planner makes them.
std::vector<Step> group_norm_steps(StepBatch& batch, const View& x, const GroupFactorsKernel& kernel,
                                   const std::vector<PackedWeight>& weights) {
  const Shape& shape = x.shape;
  const Shape pairs{shape.n(), shape.c(), 1, 2};
  Step moments, factors, apply;
  moments.inputs = {x};
  moments.output = batch.place(pairs, Layout::nchw16c);
  moments.kernel = MomentsKernel{};
  moments.units = moments.output.blocks() * shape.n();
  factors.inputs = {moments.output};
  factors.output = batch.place(pairs, Layout::nchw16c);
  factors.weights = weights;
  factors.kernel = kernel;
  factors.units = shape.n() * kernel.groups;
  apply.inputs = {x};
  for (int64_t w : {0, 1}) {
    View& factor = apply.inputs.emplace_back(factors.output);
    factor.offset += w * factor.stride_w;
    factor.shape = {shape.n(), shape.c(), 1, 1};
    factor.stride_h = factor.stride_w = 0;
  }
  apply.output = batch.place(shape, Layout::nchw16c);
  apply.kernel = PointwiseKernel{PointwiseKernel::Base::mul, {{EpilogueStep::Kind::add, {}}}};
  apply.units = apply.output.blocks() * shape.n() * shape.h();
  return {moments, factors, apply};
}

Tensor group_norm(const StepBatch& batch, const View& x, const GroupFactorsKernel& kernel) {
  const int64_t width = x.shape.c() / kernel.groups;
  const auto count = static_cast<double>(width * x.shape.h() * x.shape.w());
  Tensor result({DType::f32, x.shape});
  for (int64_t n = 0; n < x.shape.n(); ++n)
    for (int64_t first = 0; first < x.shape.c(); first += width) {
      const auto each = [&](auto f) {
        for (int64_t c = first; c < first + width; ++c)
          for (int64_t h = 0; h < x.shape.h(); ++h)
            for (int64_t w = 0; w < x.shape.w(); ++w) f(batch.at(x, n, c, h, w), result.at(n, c, h, w));
      };
      double mean = 0, variance = 0;
      each([&](double v, double&) { mean += v / count; });
      each([&](double v, double&) { variance += (v - mean) * (v - mean) / count; });
      each([&](double v, double& out) { out = (v - mean) / std::sqrt(variance + kernel.eps); });
    }
  return result;
}

}  // namespace

TEST_CASE("group norm over groups of any width") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : vector_layouts(shape))
        for (int64_t groups : {int64_t{1}, int64_t{5}, int64_t{6}, shape.c()}) {
          if (shape.c() % groups != 0 || (shape.h() * shape.w() == 1 && groups == shape.c())) continue;
          std::vector<float> weight, bias;
          for (int64_t c = 0; c < shape.c(); ++c) {
            weight.push_back(0.5f + 0.25f * static_cast<float>(c % 7));
            bias.push_back(static_cast<float>(c % 5) - 2);
          }
          const GroupFactorsKernel kernel{groups, 1e-2};
          const View x = batch.place(shape, layout);
          const std::vector<Step> steps = group_norm_steps(
              batch, x, kernel, {batch.place_constants(weight), batch.place_constants(bias)});
          const auto expected = std::make_shared<Tensor>(group_norm(batch, x, kernel));
          batch.add_chain(
              steps,
              [expected, weight, bias](auto n, auto c, auto h, auto w) {
                const auto at = static_cast<size_t>(c);
                return expected->at(n, c, h, w) * weight[at] + bias[at];
              },
              1e-5);
        }
  });
}

TEST_CASE("channel conv with few, many and more taps than channels") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout to : vector_layouts(shape))
        for (int64_t size : {1, 3, 9, 33, 71}) {
          std::vector<float> taps;
          for (int64_t i = 0; i < size; ++i) taps.push_back(0.1f * static_cast<float>(i % 9) - 0.3f);
          Step step;
          step.inputs = {batch.place(shape, Layout::nchw16c)};
          step.output = batch.place(shape, to);
          step.weights = {batch.place_constants(taps)};
          step.kernel = ChannelConvKernel{size};
          step.units = step.output.blocks() * shape.n() * shape.h();
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, taps](auto n, auto c, auto h, auto w) {
                const auto reach = static_cast<int64_t>(taps.size() / 2);
                double sum = 0;
                for (int64_t i = c - reach; i <= c + reach; ++i)
                  if (i >= 0 && i < in.shape.c())
                    sum += taps[static_cast<size_t>(i - c + reach)] * batch.at(in, n, i, h, w);
                return sum;
              },
              1e-5);
        }
  });
}

TEST_CASE("local response norm over few, many and more channels than there are") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() != 4) continue;
      for (Layout to : vector_layouts(shape))
        for (int64_t size : {1, 4, 5, 33, 70}) {
          const ResponseNormKernel kernel{size, 0.5, 0.75, 0.25};
          Step step;
          step.inputs = {batch.place(shape, Layout::nchw16c)};
          step.output = batch.place(shape, to);
          step.kernel = kernel;
          step.units = step.output.blocks() * shape.n() * shape.h();
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, kernel](auto n, auto c, auto h, auto w) {
                double sum = 0;
                for (int64_t i = c - kernel.size / 2; i <= c + (kernel.size - 1) / 2; ++i)
                  if (i >= 0 && i < in.shape.c()) sum += std::pow(batch.at(in, n, i, h, w), 2);
                const double base = kernel.k + kernel.alpha / static_cast<double>(kernel.size) * sum;
                return batch.at(in, n, c, h, w) / std::pow(base, kernel.beta);
              },
              1e-5);
        }
    }
  });
}

TEST_CASE("pointwise scales each channel") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes())
      for (Layout layout : vector_layouts(shape)) {
        std::vector<float> scale;
        for (int64_t c = 0; c < shape.c(); ++c) scale.push_back(0.5f + 0.25f * static_cast<float>(c % 7));
        Step step;
        step.inputs = {batch.place(shape, layout), batch.place(shape, layout)};
        step.output = batch.place(shape, layout);
        step.weights = {batch.place_constants(scale)};
        step.kernel = PointwiseKernel{PointwiseKernel::Base::scale, {{EpilogueStep::Kind::add, {}}}};
        step.units = step.output.blocks() * shape.n() * shape.h();
        const std::vector<View> in = step.inputs;
        batch.add(
            step,
            [&batch, in, scale](auto n, auto c, auto h, auto w) {
              return batch.at(in[0], n, c, h, w) * scale[static_cast<size_t>(c)] +
                     batch.at(in[1], n, c, h, w);
            },
            1e-5);
      }
  });
}
