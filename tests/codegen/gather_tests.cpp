// Gather, padding and adaptive pooling kernels against their definitions.
#include <catch2/catch.hpp>
#include <limits>

#include "ir/ops/pad.h"
#include "ir/ops/pool.h"
#include "tests/codegen/check_on_all_targets.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr Layout kVectorLayouts[] = {Layout::nhwc, Layout::nchw16c};

void add_gather(StepBatch& batch, const Shape& shape, Layout from, Layout to,
                const std::vector<ChannelSource>& sources) {
  Shape result = shape;
  result[1] = static_cast<int64_t>(sources.size());
  Step step;
  step.inputs = {batch.place(shape, from)};
  step.output = batch.place(result, to);
  step.kernel = GatherKernel{sources};
  step.units = step.output.blocks() * shape.n() * shape.h();
  const View in = step.inputs[0];
  batch.add(step, [&batch, in, sources](auto n, auto c, auto h, auto w) {
    const ChannelSource& source = sources[static_cast<size_t>(c)];
    const int64_t y = h + source.dh, x = w + source.dw;
    const bool inside = y >= 0 && y < in.shape.h() && x >= 0 && x < in.shape.w();
    return inside ? batch.at(in, n, source.channel, y, x) : 0.0;
  });
}

}  // namespace

TEST_CASE("gather takes channels from anywhere, shifted") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() != 4) continue;
      const int64_t c = shape.c();
      for (Layout from : kVectorLayouts)
        for (Layout to : kVectorLayouts) {
          std::vector<ChannelSource> reversed, shifted;
          for (int64_t i = 0; i < c; ++i) reversed.push_back({c - 1 - i});
          for (int64_t i = 0; i < 2 * c + 3; ++i)
            shifted.push_back({i * 7 % c, i / 5 % 5 - 2, i / 3 % 7 - 3});
          add_gather(batch, shape, from, to, reversed);
          add_gather(batch, shape, from, to, shifted);
        }
    }
  });
}

TEST_CASE("gather: the sources of slices, shuffles and shifts") {
  check_on_all_targets([](StepBatch& batch) {
    const Shape shape{2, 96, 5, 6};
    for (int64_t groups : {2, 3, 4, 6, 8})
      add_gather(batch, shape, Layout::nchw16c, Layout::nchw16c, ChannelShuffle{groups}.sources(96));
    for (int64_t begin : {1, 8, 16, 70})
      add_gather(batch, shape, Layout::nchw16c, Layout::nchw16c, Slice{begin}.sources(96));
    for (int64_t kernel : {2, 3, 5})
      add_gather(batch, shape, Layout::nchw16c, Layout::nchw16c, Shift{{kernel, kernel}}.sources(96));
  });
}

TEST_CASE("pad, with sides of any sign") {
  constexpr Padding kSides[] = {{Padding::Mode::explicit_, 1, 2, 3, 0},
                                {Padding::Mode::explicit_, 0, -1, 2, 1},
                                {Padding::Mode::explicit_, -2, 3, 2, -2},
                                {Padding::Mode::explicit_, -1, 0, 40, 0}};
  check_on_all_targets([&](StepBatch& batch) {
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() != 4) continue;
      for (const Padding& sides : kSides)
        for (Layout layout : kVectorLayouts) {
          const Pad pad{sides, 0.75};
          const TensorType type{DType::f32, shape};
          const Inferred result = pad.infer({&type, 1});
          if (!std::holds_alternative<TensorType>(result)) continue;
          const Shape& out = std::get<TensorType>(result).shape;
          Step step;
          step.inputs = {batch.place(shape, layout)};
          step.output = batch.place(out, Layout::nchw16c);
          step.kernel = PadKernel{sides.top, sides.left, pad.value};
          step.units = step.output.blocks() * out.n() * out.h();
          const View in = step.inputs[0];
          batch.add(step, [&batch, in, sides](auto n, auto c, auto h, auto w) {
            const int64_t y = h - sides.top, x = w - sides.left;
            const bool inside = y >= 0 && y < in.shape.h() && x >= 0 && x < in.shape.w();
            return inside ? batch.at(in, n, c, y, x) : 0.75;
          });
        }
    }
  });
}

TEST_CASE("adaptive pooling over bins of any size") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() != 4) continue;
      for (Layout layout : kVectorLayouts)
        for (bool max : {false, true}) {
          Step step;
          step.inputs = {batch.place(shape, layout)};
          step.output = batch.place({shape.n(), shape.c(), 3, 5}, layout);
          step.kernel = AdaptivePoolKernel{max};
          step.units = step.output.blocks() * shape.n() * 3;
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, max](auto n, auto c, auto h, auto w) {
                const Bin rows = adaptive_bin(h, 3, in.shape.h()), columns = adaptive_bin(w, 5, in.shape.w());
                double sum = 0, best = -std::numeric_limits<double>::infinity();
                for (int64_t y = rows.begin; y < rows.end; ++y)
                  for (int64_t x = columns.begin; x < columns.end; ++x) {
                    sum += batch.at(in, n, c, y, x);
                    best = std::max(best, batch.at(in, n, c, y, x));
                  }
                const int64_t pixels = (rows.end - rows.begin) * (columns.end - columns.begin);
                return max ? best : sum / static_cast<double>(pixels);
              },
              1e-5);
        }
    }
  });
}
