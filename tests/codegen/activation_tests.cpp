// Activations as emitted against their definitions in double, from tiny to huge arguments.
#include <catch2/catch.hpp>
#include <cmath>

#include "ir/attr.h"
#include "tests/codegen/check_on_all_targets.h"

using namespace cardinal;
using namespace cardinal::testing;

TEST_CASE("activations are accurate to about 1e-7") {
  using Kind = Activation::Kind;
  const Activation activations[] = {{Kind::relu},
                                    {Kind::relu6},
                                    {Kind::leaky_relu, 0.1},
                                    {Kind::sigmoid},
                                    {Kind::tanh},
                                    {Kind::silu},
                                    {Kind::hardswish},
                                    {Kind::leaky_relu, -2},
                                    {Kind::hardsigmoid, 1.0 / 6, 0.5},
                                    {Kind::gelu},
                                    {Kind::gelu_tanh},
                                    {Kind::affine, -0.5, 0},
                                    {Kind::clip, -0.5, 0.75},
                                    {Kind::elu, 1.5},
                                    {Kind::selu},
                                    {Kind::celu, 1.5},
                                    {Kind::softplus},
                                    {Kind::softsign},
                                    {Kind::mish},
                                    {Kind::exp},
                                    {Kind::sqrt},
                                    {Kind::abs}};
  // Not 0 at 0, so rounded as numbers around 1 are.
  const auto is_offset = [](Kind kind) {
    return kind == Kind::sigmoid || kind == Kind::hardsigmoid || kind == Kind::softplus ||
           kind == Kind::exp || kind == Kind::sqrt;
  };
  check_on_all_targets([&](StepBatch& batch) {
    for (const Activation& activation : activations)
      for (float scale : {1e-4f, 1.0f, 4.0f, 60.0f, 1e4f}) {
        const Shape shape{1, 16, 8, 32};
        Step step;
        step.inputs = {batch.place(shape, Layout::nchw16c)};
        step.output = batch.place(shape, Layout::nchw16c);
        step.weights = {batch.place_constants(std::vector<float>(16, scale)),
                        batch.place_constants(std::vector<float>(16, 0.0f))};
        step.kernel =
            PointwiseKernel{PointwiseKernel::Base::affine, {{EpilogueStep::Kind::activation, activation}}};
        step.units = shape.h();
        const View in = step.inputs[0];
        // Inputs are below 2; near 0 the functions are about linear, far out the identity or a constant.
        const double tolerance = 3e-7 * std::min(2.0 * scale * 2, std::max(1.0, 2.0 * scale));
        batch.add(
            step,
            [&batch, in, scale, activation](auto n, auto c, auto h, auto w) {
              return evaluate(activation, static_cast<float>(batch.at(in, n, c, h, w)) * scale);
            },
            std::max(tolerance, is_offset(activation.kind) ? 3e-7 : 0.0) *
                (activation.kind == Kind::exp ? std::exp(std::min(2.0 * scale, kLargestExponent)) : 1));
      }
  });
}
