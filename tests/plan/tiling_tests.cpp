#include "passes/tiling.h"

#include <catch2/catch.hpp>

#include "passes/cost_model.h"
#include "tests/plan/networks.h"

using namespace cardinal;
using cardinal::testing::avx2_target;
using cardinal::testing::avx512_target;

TEST_CASE("views have their layout's dense strides") {
  const Shape shape{2, 20, 3, 5};
  const View nchw = make_view(Space::input, 1, 0, shape, Layout::nchw);
  CHECK(nchw.stride_n == 300);
  CHECK(nchw.stride_block == 240);
  CHECK(nchw.stride_c == 15);
  CHECK(nchw.stride_h == 5);
  CHECK(nchw.stride_w == 1);
  CHECK_FALSE(nchw.padded);
  const View nhwc = make_view(Space::output, 0, 0, shape, Layout::nhwc);
  CHECK(nhwc.stride_n == 300);
  CHECK(nhwc.stride_block == 16);
  CHECK(nhwc.stride_c == 1);
  CHECK(nhwc.stride_h == 100);
  CHECK(nhwc.stride_w == 20);
  const View blocked = make_view(Space::workspace, 0, 64, shape, Layout::nchw16c);
  CHECK(blocked.stride_n == 480);
  CHECK(blocked.stride_block == 240);
  CHECK(blocked.stride_h == 80);
  CHECK(blocked.stride_w == 16);
  CHECK(blocked.padded);
  CHECK(view_elements(shape, Layout::nchw) == 600);
  CHECK(view_elements(shape, Layout::nchw16c) == 960);
  const View rows = make_view(Space::input, 0, 0, {4, 10}, Layout::nchw);
  CHECK(rows.vector_channels());
  CHECK(rows.stride_n == 10);
}

TEST_CASE("narrow tiles work in passes, wide ones and what fits the caches do not") {
  const auto passes = [](int64_t ic, int64_t image, int pixels, int panel, const Target& target,
                         int64_t kernel_size = 1) {
    ConvKernel kernel;
    kernel.shape.kh = kernel.shape.kw = kernel_size;
    kernel.shape.ic = ic;
    kernel.shape.oc = 256;
    kernel.shape.ih = kernel.shape.iw = kernel.shape.oh = kernel.shape.ow = image;
    kernel.pixels = pixels;
    kernel.panel = panel;
    kernel.tiles = balanced_tiles(image * image, pixels);
    kernel.reduce_blocks = ic / 16;
    return choose_passes(kernel, target);
  };
  Target avx2 = avx2_target();
  avx2.l2_bytes = 512 << 10;
  const Passes deep = passes(1024, 14, 6, 1, avx2);  // 64 KB of weights a panel: four passes of 16 KB
  CHECK(deep.blocks == 16);
  CHECK(deep.tiles == 0);
  const Passes large = passes(256, 56, 6, 1, avx2);  // 3.2 MB of x: strips of 256 KB
  CHECK(large.blocks == 0);
  CHECK(large.tiles * 6 * 256 * 4 <= 256 << 10);
  CHECK(large.tiles * 6 * 256 * 4 > 200 << 10);
  const Passes square = passes(256, 28, 6, 1, avx2, 3);  // 9 KB for each input block of a panel
  CHECK(square.blocks == 1);
  CHECK(square.tiles == 0);
  for (const Passes& none : {passes(256, 28, 14, 2, avx512_target(), 3), passes(64, 14, 6, 1, avx2),
                             passes(1024, 1, 1, 1, avx2), passes(1024, 14, 14, 2, avx512_target())}) {
    CHECK(none.blocks == 0);
    CHECK(none.tiles == 0);
  }
}

TEST_CASE("balanced tiles cover every row exactly, with at most two widths") {
  for (int64_t length = 1; length <= 130; ++length)
    for (int64_t widest = 1; widest <= 32; ++widest) {
      const std::vector<RowTile> tiles = balanced_tiles(length, widest);
      int64_t x = 0;
      for (const RowTile& tile : tiles) {
        REQUIRE(tile.x == x);
        REQUIRE(tile.pixels >= 1);
        REQUIRE(tile.pixels <= widest);
        REQUIRE(tile.pixels <= tiles.front().pixels);
        REQUIRE(tile.pixels >= tiles.front().pixels - 1);
        x += tile.pixels;
      }
      REQUIRE(x == length);
      REQUIRE(static_cast<int64_t>(tiles.size()) == ceil_div(length, widest));
    }
}

TEST_CASE("tiles of a plan cover rows of every length on every target") {
  for (const Target& target : {avx2_target(), avx512_target()})
    for (int64_t width = 1; width <= 130; ++width) {
      testing::NetworkBuilder net("rows");
      Conv grouped{32, {3, 3}};
      grouped.groups = 8;
      NodeId x = net.conv(net.input({1, 32, 2, width}), Conv{32, {1, 1}});
      net.output(net.conv(net.conv(x, Conv{32, {3, 3}}), grouped));
      const Plan plan = testing::plan_of(net.graph, target);
      int convolutions = 0;
      for (const Step& step : plan.steps) {
        const ConvKernel* kernel = std::get_if<ConvKernel>(&step.kernel);
        if (!kernel) continue;
        convolutions++;
        int64_t end = 0;
        for (const RowTile& tile : kernel->tiles) {
          REQUIRE(tile.x == end);
          REQUIRE(tile.pixels <= kernel->pixels);
          end += tile.pixels;
        }
        REQUIRE(end == (kernel->collapsed ? 2 * width : width));
        REQUIRE(conv_registers(kernel->shape, target, kernel->algorithm, kernel->rows * kernel->pixels,
                               kernel->panel) <= target.vector_registers);
      }
      REQUIRE(convolutions == 3);
    }
}

TEST_CASE("valid ranges agree with counting") {
  for (int64_t stride : {1, 2, 3})
    for (int64_t dilation : {1, 2})
      for (int64_t pad : {0, 1, 4})
        for (int64_t in : {1, 2, 7}) {
          ConvShape s;
          s.iw = in;
          s.kw = 4;
          s.stride_w = stride;
          s.dilation_w = dilation;
          s.pad_left = pad;
          s.ow = 6;
          for (int64_t kx = 0; kx < s.kw; ++kx) {
            const OutputRange range = valid_columns(s, kx);
            for (int64_t x = 0; x < s.ow; ++x) {
              const int64_t position = x * stride + kx * dilation - pad;
              REQUIRE((x >= range.begin && x < range.end) == (position >= 0 && position < in));
            }
          }
        }
}

TEST_CASE("input windows cover the groups of every panel and stay inside the input") {
  for (int64_t groups : {1, 2, 3, 5, 7, 32})
    for (int64_t icg : {1, 3, 8, 16, 24, 40})
      for (int64_t ocg : {1, 4, 16, 20, 32})
        for (int64_t panel : {1, 2, 3}) {
          ConvShape s;
          s.groups = groups;
          s.ic = groups * icg;
          s.oc = groups * ocg;
          const InputWindows windows = input_windows(s, panel);
          const int64_t ic_blocks = ceil_div(s.ic, 16);
          for (int64_t oc = 0; oc < s.oc; ++oc) {
            const size_t p = static_cast<size_t>(oc / 16 / panel);
            const int64_t first = windows.first_block.empty() ? 0 : windows.first_block.at(p);
            const int64_t ic = oc / ocg * icg;
            REQUIRE(first >= 0);
            REQUIRE(first + windows.reduce_blocks <= ic_blocks);
            REQUIRE(ic / 16 >= first);
            REQUIRE((ic + icg - 1) / 16 < first + windows.reduce_blocks);
          }
        }
}
