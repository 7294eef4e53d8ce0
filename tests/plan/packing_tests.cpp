#include <cardinal/packaging.h>
#include <cardinal/weight_forms.h>

#include <catch2/catch.hpp>
#include <chrono>

#include "ir/interpreter.h"
#include "tests/plan/networks.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

struct Packed {
  Plan plan;
  std::vector<float> floats;
  Tensor weight;
};

// One convolution, called "conv", forced to the given kernel.
Packed pack_conv(int64_t ic, const Conv& conv, const StepOverride& wanted) {
  NetworkBuilder net("conv");
  net.output(net.conv(net.input({1, ic, 9, 9}), conv, "conv"));
  Packed packed;
  packed.plan = plan_of(net.graph, avx512_target(), {{{"conv", wanted}}});
  const std::unique_ptr<WeightStore> store = random_weights(net.graph, 3);
  packed.floats = pack_weights(net.graph, std::span(&packed.plan, 1), *store);
  packed.weight = evaluate_constant(net.graph, step_called(packed.plan, "conv").weights[0].constant, *store);
  return packed;
}

}  // namespace

TEST_CASE("panels of an ungrouped convolution, of any width") {
  const int64_t ic = 21, oc = 50, panel = GENERATE(1, 3);
  StepOverride wanted;
  wanted.panel = panel;
  const Packed p = pack_conv(ic, Conv{oc, {3, 2}}, wanted);
  const PackedWeight& section = step_called(p.plan, "conv").weights[0];
  REQUIRE(section.packing == Packing::conv_panels);
  CHECK(section.offset % 16 == 0);
  const int64_t block_floats = (ic * 6 + 1) * 16;  // an odd number of cache lines
  CHECK(section.floats == 4 * block_floats);
  for (int64_t o = 0; o < 64; ++o)
    for (int64_t i = 0; i < ic; ++i)
      for (int64_t ky = 0; ky < 3; ++ky)
        for (int64_t kx = 0; kx < 2; ++kx) {
          const int64_t channels = i < 16 ? 16 : ic - 16, block = i / 16 * 16 * 6 * 16;
          const int64_t at =
              o / 16 * block_floats + block + ((ky * 2 + kx) * channels + i % 16) * 16 + o % 16;
          const float expected = o < oc ? static_cast<float>(p.weight.at(o, i, ky, kx)) : 0.0f;
          REQUIRE(p.floats[static_cast<size_t>(section.offset + at)] == expected);
        }
}

TEST_CASE("panels of a grouped convolution whose groups straddle blocks") {
  const int64_t groups = 5, width = 12;
  Conv conv{groups * width, {1, 1}};
  conv.groups = groups;
  StepOverride wanted;
  wanted.panel = 1;
  const Packed p = pack_conv(groups * width, conv, wanted);
  const Step& step = step_called(p.plan, "conv");
  const ConvKernel& kernel = std::get<ConvKernel>(step.kernel);
  const int64_t block_floats = step.weights[0].floats / 4;
  CHECK(block_floats == (kernel.reduce_blocks * 16 + 1) * 16);
  for (int64_t block = 0; block < 4; ++block) {
    int64_t at = step.weights[0].offset + block * block_floats;
    for (int64_t j = 0; j < kernel.reduce_blocks; ++j) {
      const int64_t input_block = kernel.first_block[static_cast<size_t>(block)] + j;
      for (int64_t i = input_block * 16; i < std::min<int64_t>(input_block * 16 + 16, 60); ++i)
        for (int64_t o = block * 16; o < block * 16 + 16; ++o) {
          const bool same_group = o < 60 && o / width == i / width;
          const float expected = same_group ? static_cast<float>(p.weight.at(o, i % width, 0, 0)) : 0.0f;
          REQUIRE(p.floats[static_cast<size_t>(at++)] == expected);
        }
    }
  }
}

TEST_CASE("lanes") {
  const int64_t width = 4, channels = 24;
  Conv conv{channels, {3, 2}};
  conv.groups = channels / width;
  StepOverride wanted;
  wanted.algorithm = ConvAlgorithm::lanes;
  const Packed p = pack_conv(channels, conv, wanted);
  const PackedWeight& section = step_called(p.plan, "conv").weights[0];
  REQUIRE(section.packing == Packing::conv_lanes);
  CHECK(section.floats == 2 * 3 * 4 * 2 * 16);
  for (int64_t o = 0; o < 32; ++o)
    for (int64_t ky = 0; ky < 3; ++ky)
      for (int64_t k = 0; k < width; ++k)
        for (int64_t kx = 0; kx < 2; ++kx) {
          const int64_t at = (((o / 16 * 3 + ky) * width + k) * 2 + kx) * 16 + o % 16;
          const float expected = o < channels ? static_cast<float>(p.weight.at(o, k, ky, kx)) : 0.0f;
          REQUIRE(p.floats[static_cast<size_t>(section.offset + at)] == expected);
        }
}

TEST_CASE("a bias is padded with zeros, and a constant packed twice is there once") {
  NetworkBuilder net("shared");
  const NodeId x = net.input({1, 16, 4, 4}, Layout::nhwc);
  const NodeId weight = net.graph.add(Weight{{20, 16, 1, 1}, Role::kernel}, {}, "w");
  const NodeId bias = net.graph.add(Weight{{20}, Role::bias}, {}, "b");
  Conv conv{20, {1, 1}};
  conv.bias = true;
  const NodeId first = net.graph.add(conv, {x, weight, bias}, "first");
  const NodeId second = net.graph.add(conv, {net.layer(Relu{}, {x}), weight, bias}, "second");
  net.output(net.layer(Add{}, {first, second}));
  const Plan plan = plan_of(net.graph, avx2_target());
  const std::unique_ptr<WeightStore> store = random_weights(net.graph, 1);
  const std::vector<float> packed = pack_weights(net.graph, std::span(&plan, 1), *store);
  CHECK(step_called(plan, "first").weights[0].offset == step_called(plan, "second").weights[0].offset);
  CHECK(step_called(plan, "first").weights[1].offset == step_called(plan, "second").weights[1].offset);
  CHECK(plan.weights_floats == 17 * 32 + 32);
  REQUIRE(static_cast<int64_t>(packed.size()) == plan.weights_floats);
  const std::vector<float> expected = to_floats(*store->find("b"));
  const PackedWeight& section = step_called(plan, "first").weights[1];
  for (int64_t c = 0; c < 32; ++c)
    CHECK(packed[static_cast<size_t>(section.offset + c)] == (c < 20 ? expected[static_cast<size_t>(c)] : 0));
}

TEST_CASE("a compact weight file forms the packed weights, to the last bit") {
  NetworkBuilder net("fast");
  Conv grouped{128, {3, 3}};
  grouped.groups = 2;
  NodeId x = net.conv(net.input({1, 5, 14, 14}), Conv{40, {3, 3}}, "first");
  x = net.conv(x, Conv{128, {3, 3}}, "f2");
  x = net.conv(x, grouped, "f4");
  x = net.conv(x, Conv{192, {1, 1}}, "one");
  net.output(net.conv(x, Conv{128, {1, 1}}, "two"));
  const auto with = [](ConvAlgorithm algorithm) {
    StepOverride wanted;
    wanted.algorithm = algorithm;
    return wanted;
  };
  const Plan plan = plan_of(net.graph, avx2_target(),
                            {{{"f2", with(ConvAlgorithm::winograd_f2)},
                              {"f4", with(ConvAlgorithm::winograd_f4)},
                              {"one", with(ConvAlgorithm::strassen_1)},
                              {"two", with(ConvAlgorithm::strassen_2)}}});
  const std::unique_ptr<WeightStore> store = random_weights(net.graph, 1);
  CompactWeights compact;
  const std::vector<float> packed = pack_weights(net.graph, std::span(&plan, 1), *store, &compact);
  CHECK(packed == pack_weights(net.graph, std::span(&plan, 1), *store));
  CHECK(compact.stored.size() < packed.size() / 2);
  std::vector<float> formed(packed.size());
  int kinds[3] = {};
  for (const cardinal_weight_form& form : compact.forms) {
    REQUIRE(find_malformed(form, compact.stored.size(), formed.size()) == "");
    form_weights(form, compact.stored.data() + form.source, compact.stored.data() + form.factors,
                 formed.data() + form.packed);
    ++kinds[form.kind];
  }
  CHECK(formed == packed);
  CHECK(kinds[CARDINAL_FORM_WINOGRAD] == 2);
  CHECK(kinds[CARDINAL_FORM_STRASSEN] == 1 + 7);
}

TEST_CASE("ResNet-50's weights fill the packed weights in execution order") {
  const Graph graph = resnet50(1, 64);
  const Plan plan = plan_of(graph, avx2_target());
  int64_t end = 0;
  for (const Step& step : plan.steps)
    for (const PackedWeight& weight : step.weights) {
      if (weight.offset < end) continue;  // there already, of another step of the layer
      CHECK(weight.offset == end);
      CHECK(weight.offset % 16 == 0);
      end += weight.floats;
    }
  CHECK(end == plan.weights_floats);
}
