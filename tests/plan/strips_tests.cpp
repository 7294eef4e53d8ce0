// How many parts of the images steps are done in.
#include <catch2/catch.hpp>

#include "passes/strips.h"
#include "passes/tiling.h"
#include "tests/plan/networks.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

View dense(int64_t n, int64_t c, int64_t h, int64_t w) {
  return make_view(Space::workspace, 0, 0, {n, c, h, w}, Layout::nchw16c);
}

int64_t bytes(const View& view) { return 4 * view.shape.elements(); }

// A 1x1 convolution, in tiles of 14 pixels x 2 blocks.
Step convolution(int64_t n, int64_t ic, int64_t oc, int64_t size) {
  ConvKernel kernel;
  kernel.shape = {.n = n, .ic = ic, .ih = size, .iw = size, .oc = oc, .oh = size, .ow = size};
  kernel.collapsed = true;
  kernel.pixels = 14, kernel.panel = 2;
  kernel.tiles = balanced_tiles(size * size, 14);
  kernel.reduce_blocks = ic / 16;
  Step step;
  step.inputs = {dense(n, ic, size, size)};
  step.output = dense(n, oc, size, size);
  step.weight_bytes = 4 * ic * oc;
  step.bytes = bytes(step.inputs[0]) + bytes(step.output) + step.weight_bytes;
  step.units = oc / 32 * n * static_cast<int64_t>(kernel.tiles.size());
  step.kernel = kernel;
  return step;
}

int64_t strips(const Step& step) {
  const int64_t strip = choose_strip(step, avx512_target()), parts = step.units / channel_parts(step);
  return strip ? ceil_div(parts, strip) : 1;
}

}  // namespace

TEST_CASE("a step is done in strips as long as reading the weights again costs less than the images") {
  CHECK(strips(convolution(1, 64, 256, 56)) == 4);   // 64 KB of weights, 4 MB of images
  CHECK(strips(convolution(1, 512, 128, 28)) == 4);  // 256 KB, 2 MB
  CHECK(strips(convolution(1, 512, 256, 14)) == 1);  // 512 KB, 600 KB
  CHECK(strips(convolution(1, 512, 2048, 7)) == 1);  // 4 MB, 500 KB
  CHECK(strips(convolution(1, 64, 64, 14)) == 1);    // 100 KB of images are not worth it
  CHECK(strips(convolution(8, 512, 2048, 7)) == 1);  // 4 MB, 4 MB
  CHECK(strips(convolution(8, 512, 512, 14)) == 4);  // 1 MB, 6.4 MB: two images each
  CHECK(strips(convolution(8, 64, 256, 56)) == 32);  // four of each image
}

TEST_CASE(
    "a range is worth its call from four microseconds on, and with the sums of a strip from a strip on") {
  Step step = convolution(1, 64, 256, 56);
  step.units = 100;
  step.predicted_us = 100;
  CHECK(choose_grain(step) == 4);
  step.predicted_us = 300;
  CHECK(choose_grain(step) == 2);
  for (double tiny : {0.0, 3.0}) {
    step.predicted_us = tiny;
    CHECK(choose_grain(step) == 100);
  }
  step.predicted_us = 1e6;
  CHECK(choose_grain(step) == 1);
  step.kernel = StrassenKernel{.panel = 2};
  CHECK(choose_grain(step) == 100);
  step.strip = 5;
  CHECK(choose_grain(step) == channel_parts(step) * 5);
}
