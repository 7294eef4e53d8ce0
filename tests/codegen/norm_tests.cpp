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
