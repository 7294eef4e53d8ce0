#include "passes/cost_model.h"
#include "passes/tiling.h"

#include <catch2/catch.hpp>

#include "tests/plan/networks.h"

using namespace cardinal;
using cardinal::testing::avx2_target;
using cardinal::testing::avx512_target;

namespace {

ConvShape square(int64_t ic, int64_t image, int64_t oc, int64_t kernel, int64_t stride = 1,
                 int64_t groups = 1) {
  ConvShape s;
  s.ic = ic;
  s.ih = s.iw = image;
  s.oc = oc;
  s.oh = s.ow = ceil_div(image, stride);
  s.kh = s.kw = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_left = kernel / 2;
  s.groups = groups;
  return s;
}

ConvChoice best(const ConvShape& shape, const Target& target) {
  return conv_choices({shape, 0, 100 << 20}, target).at(0);
}

double peak_microseconds(const ConvShape& s, const Target& t) {
  const double macs = static_cast<double>(s.oc * s.oh * s.ow * s.ic / s.groups * s.kh * s.kw);
  return macs / (t.vector_lanes * t.fma_per_cycle * t.ghz * 1e3);
}

}  // namespace

TEST_CASE("ResNet shapes on AVX-512 get wide tiles that leave two registers free") {
  for (const ConvShape& s : {square(64, 56, 64, 3), square(64, 56, 256, 1), square(512, 28, 128, 1),
                             square(256, 14, 256, 3), square(1024, 14, 256, 1), square(3, 224, 64, 7, 2)}) {
    const ConvChoice choice = best(s, avx512_target());
    CHECK(choice.algorithm == ConvAlgorithm::direct);
    CHECK(choice.pixels * choice.panel >= 14);
    CHECK(conv_registers(s, avx512_target(), choice.algorithm, choice.pixels, choice.panel) <= 30);
    CHECK(choice.microseconds < 1.1 * peak_microseconds(s, avx512_target()));
  }
  const ConvChoice small = best(square(512, 7, 512, 3), avx512_target());
  CHECK(small.pixels == 7);
  CHECK(small.panel >= 2);
}

TEST_CASE("AVX2 gets 6x1") {
  for (const ConvShape& s : {square(64, 56, 256, 1), square(512, 28, 128, 1), square(256, 18, 256, 3)}) {
    const ConvChoice choice = best(s, avx2_target());
    CHECK(choice.pixels == 6);
    CHECK(choice.panel == 1);
  }
}

TEST_CASE("rows of 7 pixels are one tile on AVX2, which reads half of its weights again and again") {
  for (const ConvShape& s : {square(512, 14, 512, 3, 2), square(256, 7, 256, 3, 1, 16)}) {
    const ConvChoice choice = best(s, avx2_target());
    CHECK(choice.pixels == 7);
    CHECK(choice.panel == 1);
  }
  const ConvShape s = square(512, 7, 512, 1);
  CHECK(conv_registers(s, avx2_target(), ConvAlgorithm::direct, 7, 1) == 16);
  CHECK(conv_registers(s, avx2_target(), ConvAlgorithm::direct, 8, 1) == 18);
  StepOverride wanted;
  wanted.pixels = 7;
  CHECK(strassen_choices({s}, avx2_target(), 2, wanted).empty());  // only direct tiles do that
  CHECK(conv_registers(s, avx2_target(), ConvAlgorithm::strassen_1, 7, 1) == 17);
}

TEST_CASE("long sums over channels are unrolled by whole blocks where registers are loaded apart") {
  CHECK(best(square(1024, 14, 256, 1), avx2_target()).k_unroll == 16);
  CHECK(best(square(512, 28, 1024, 1, 2), avx2_target()).k_unroll == 16);
  CHECK(best(square(64, 56, 256, 1), avx2_target()).k_unroll == 8);
  CHECK(best(square(512, 14, 512, 3), avx2_target()).k_unroll == 8);
  CHECK(best(square(1024, 14, 256, 1), avx512_target()).k_unroll == 2);
}

TEST_CASE("a single pixel gets a wide panel") {
  ConvShape linear;
  linear.ic = 2048;
  linear.oc = 1000;
  CHECK(best(linear, avx512_target()).panel >= 4);
  CHECK(best(linear, avx2_target()).panel >= 2);
}

TEST_CASE("narrow groups share vectors, whole blocks do not") {
  for (const Target& target : {avx2_target(), avx512_target()}) {
    for (int64_t width : {1, 2, 4, 8, 24, 40, 56}) {
      const ConvShape s = square(16 * width, 28, 16 * width, 3, 1, 16);
      CHECK(best(s, target).algorithm == ConvAlgorithm::lanes);
    }
    for (int64_t width : {16, 32, 48}) {
      const ConvShape s = square(16 * width, 14, 16 * width, 3, 1, 16);
      CHECK(best(s, target).algorithm == ConvAlgorithm::direct);
    }
  }
  for (const ConvChoice& c : conv_choices({square(96, 14, 96, 3, 1, 2)}, avx512_target()))
    CHECK((c.panel == 1 || c.panel == 3));  // panels within a group of 3 blocks
}

TEST_CASE("narrow groups on AVX2 have accumulators enough to hide an FMA's latency") {
  const Target avx2 = avx2_target();
  for (int64_t width : {8, 24, 40, 56}) {
    const auto grouped = [&](int64_t image, int64_t stride) {
      return best(square(16 * width, image, 16 * width, 3, stride, 16), avx2);
    };
    const ConvChoice small = grouped(7, 1), strided = grouped(28, 2);
    CHECK(small.rows * small.pixels == 14);
    CHECK(small.rows == 2);
    CHECK(strided.rows * strided.pixels == 10);
    CHECK(strided.rows == 2);
    const ConvChoice small_strided = grouped(14, 2);
    CHECK(small_strided.rows == 3);
    CHECK(small_strided.pixels == 4);
    for (int64_t image : {14, 28, 56}) {
      const ConvChoice large = grouped(image, 1);
      CHECK(large.rows == 1);
      CHECK(large.pixels >= 10);
    }
  }
  CHECK(best(square(96, 7, 96, 3, 1, 96), avx2).rows == 1);  // sums too short for that to matter
  CHECK(best(square(96, 14, 96, 7, 1, 96), avx2).rows == 2);
}

TEST_CASE("lanes kernels hold the weights of the middle taps") {
  const ConvShape s = square(96, 14, 96, 7, 1, 96);
  const auto held = [&](const Target& t, int64_t pixels) {
    const HeldTaps taps = held_taps(s, t, pixels);
    return std::pair(taps.first, taps.end);
  };
  CHECK(held(avx2_target(), 8) == std::pair<int64_t, int64_t>(0, 7));
  CHECK(held(avx2_target(), 10) == std::pair<int64_t, int64_t>(1, 6));
  CHECK(held(avx2_target(), 14) == std::pair<int64_t, int64_t>(3, 4));
  CHECK(held(avx2_target(), 20) == std::pair<int64_t, int64_t>(3, 4));
  CHECK(held(avx512_target(), 14) == std::pair<int64_t, int64_t>(0, 7));
}

TEST_CASE("a last block with one vector of channels costs one, and makes room in the registers") {
  const ConvShape half = square(96, 56, 24, 1), whole = square(96, 56, 32, 1);
  const ConvChoice narrow = best(half, avx2_target());
  CHECK(narrow.panel == 2);
  CHECK(narrow.pixels == 4);  // by three vectors
  CHECK(conv_registers(half, avx2_target(), ConvAlgorithm::direct, 4, 2) == 16);
  CHECK(narrow.microseconds < 0.8 * best(whole, avx2_target()).microseconds);
  CHECK(best(half, avx512_target()).microseconds == best(whole, avx512_target()).microseconds);
}

TEST_CASE("weights are in memory long before they fill the L3") {
  const Target target = avx2_target();
  CHECK_FALSE(weights_in_memory(target.l3_bytes / 4, target));
  CHECK(weights_in_memory(target.l3_bytes * 3 / 4, target));
}

TEST_CASE("every choice fits the registers, best first") {
  for (const Target& target : {avx2_target(), avx512_target()})
    for (const ConvShape& s : {square(64, 56, 64, 3), square(3, 32, 20, 7, 2), square(32, 9, 32, 5, 2, 8)}) {
      const std::vector<ConvChoice> choices = conv_choices({s}, target);
      REQUIRE_FALSE(choices.empty());
      for (size_t i = 0; i < choices.size(); ++i) {
        const ConvChoice& c = choices[i];
        REQUIRE(conv_registers(s, target, c.algorithm, c.rows * c.pixels, c.panel) <=
                target.vector_registers);
        REQUIRE(c.k_unroll >= 1);
        REQUIRE(c.k_unroll <= 16);
        REQUIRE(c.microseconds > 0);
        if (i > 0) REQUIRE(choices[i - 1].microseconds <= c.microseconds);
      }
    }
}

TEST_CASE("predictions grow with the work") {
  for (const Target& target : {avx2_target(), avx512_target()}) {
    CHECK(best(square(64, 28, 128, 3), target).microseconds <
          best(square(64, 56, 128, 3), target).microseconds);
    CHECK(best(square(64, 28, 128, 1), target).microseconds <
          best(square(64, 28, 128, 3), target).microseconds);
    CHECK(best(square(64, 28, 128, 3, 2), target).microseconds <
          best(square(64, 28, 128, 3), target).microseconds);
    CHECK(best(square(128, 28, 128, 3, 1, 2), target).microseconds <
          best(square(128, 28, 128, 3), target).microseconds);
    CHECK(best(square(64, 28, 128, 3), target).microseconds >=
          0.9 * peak_microseconds(square(64, 26, 128, 3), target));
  }
}

TEST_CASE("cold weights bound a layer that uses each once") {
  ConvShape linear;
  linear.ic = 4096;
  linear.oc = 4096;
  const double cold = conv_choices({linear, 0, 100 << 20}, avx512_target())[0].microseconds;
  const double warm = conv_choices({linear, 0, 1 << 20}, avx512_target())[0].microseconds;
  CHECK(cold > 64.0 * (1 << 20) / 30e3);  // 64 MiB at the 30 GB/s of one core
  CHECK(warm < cold);
}

TEST_CASE("a depthwise convolution with a large kernel is possible everywhere") {
  const ConvShape s = square(32, 40, 32, 31, 1, 32);
  for (const Target& target : {avx2_target(), avx512_target()})
    CHECK(best(s, target).algorithm == ConvAlgorithm::lanes);
}

TEST_CASE("Winograd is left where its weights take longer to read than direct convolution takes") {
  // GoogLeNet's inception5a: four tiles of 4x4, and weights of 7 MB.
  const ConvShape s = square(160, 7, 320, 3);
  const auto predicted = [&](int64_t network_weights, ConvAlgorithm algorithm) {
    StepOverride wanted;
    wanted.algorithm = algorithm;
    return winograd_choices({s, 0, network_weights}, avx512_target(), wanted).at(0).microseconds;
  };
  const double direct = best(s, avx512_target()).microseconds;
  CHECK(predicted(100 << 20, ConvAlgorithm::winograd_f4) > direct);
  CHECK(predicted(100 << 20, ConvAlgorithm::winograd_f2) < direct);
  CHECK(predicted(10 << 20, ConvAlgorithm::winograd_f4) < direct);
}
