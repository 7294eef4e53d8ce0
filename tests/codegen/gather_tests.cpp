// Gather, resize, padding and adaptive pooling kernels against their definitions.
#include <catch2/catch.hpp>
#include <limits>
#include <optional>

#include "ir/ops/pad.h"
#include "ir/ops/pool.h"
#include "ir/ops/resize.h"
#include "tests/codegen/check_on_all_targets.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr Layout kVectorLayouts[] = {Layout::nhwc, Layout::nchw16c};

void add_gather(StepBatch& batch, const Shape& shape, Layout from, Layout to, const Gathering& gathering,
                std::optional<Shape> image = {}) {
  Shape result = image.value_or(shape);
  result[1] = static_cast<int64_t>(gathering.sources.size());
  Step step;
  step.inputs = {batch.place(shape, from)};
  step.output = batch.place(result, to);
  step.kernel = GatherKernel{gathering};
  step.units = step.output.blocks() * result.n() * result.h();
  const View in = step.inputs[0];
  batch.add(step, [&batch, in, gathering](auto n, auto c, auto h, auto w) {
    const ChannelSource& source = gathering.sources[static_cast<size_t>(c)];
    const int64_t y = gathering.step.h * h + source.dh, x = gathering.step.w * w + source.dw;
    const bool inside =
        source.channel != kNoChannel && y >= 0 && y < in.shape.h() && x >= 0 && x < in.shape.w();
    return inside ? batch.at(in, n, source.channel, y, x) : gathering.fill;
  });
}

// The steps of an op, if it takes the shape.
template <class Op>
void add_gather_op(StepBatch& batch, const Shape& shape, const Op& op) {
  const TensorType type{DType::f32, shape};
  const Inferred result = op.infer({&type, 1});
  if (const auto* out = std::get_if<TensorType>(&result))
    for (Layout from : kVectorLayouts)
      for (Layout to : kVectorLayouts) add_gather(batch, shape, from, to, op.gathering(shape), out->shape);
}

}  // namespace

TEST_CASE("gather takes channels from anywhere, shifted") {
  check_on_all_targets([](StepBatch& batch) {
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() != 4) continue;
      const int64_t c = shape.c();
      for (Layout from : kVectorLayouts)
        for (Layout to : kVectorLayouts) {
          Gathering reversed, shifted{{}, {1, 1}, -1.5};
          for (int64_t i = 0; i < c; ++i) reversed.sources.push_back({c - 1 - i});
          for (int64_t i = 0; i < 2 * c + 3; ++i)
            shifted.sources.push_back({i % 11 == 3 ? kNoChannel : i * 7 % c, i / 5 % 5 - 2, i / 3 % 7 - 3});
          add_gather(batch, shape, from, to, reversed);
          add_gather(batch, shape, from, to, shifted);
        }
    }
  });
}

TEST_CASE("gather: slices, shuffles, shifts, padded channels and blocks of pixels") {
  check_on_all_targets([](StepBatch& batch) {
    const Shape shape{2, 96, 5, 6};
    for (int64_t groups : {2, 3, 4, 6, 8}) add_gather_op(batch, shape, ChannelShuffle{groups});
    for (int64_t begin : {1, 8, 16, 70}) add_gather_op(batch, shape, Slice{{begin, 0}});
    for (int64_t kernel : {2, 3, 5}) add_gather_op(batch, shape, Shift{{kernel, kernel}});
    for (const Shape& odd : test_shapes()) {
      if (odd.rank() != 4) continue;
      add_gather_op(batch, odd, Slice{{}, {1, 0}, {0, 0, 2}});
      add_gather_op(batch, odd, Slice{{0, 0, 3}, {0, -1}, {1, -1, 3}});
      add_gather_op(batch, odd, Pad{{Padding::Mode::explicit_, 1, -1, 0, 2}, 0.75, {3, 20}});
      add_gather_op(batch, odd, Pad{{}, 0, {16, -2}});
      for (int64_t block : {2, 3})
        for (DepthOrder order : {DepthOrder::crd, DepthOrder::dcr})
          add_gather_op(batch, odd, SpaceToDepth{block, order});
    }
  });
}

TEST_CASE("resize, to more and fewer pixels") {
  const Resize kResizes[] = {{{2, 2}},
                             {{2, 2}, {0, 0}, ResizeMode::bilinear},
                             {{1.5, 0.6}, {0, 0}, ResizeMode::bilinear},
                             {{1, 1}, {7, 3}},
                             {{1, 1}, {1, 9}, ResizeMode::bilinear_corners},
                             {{1, 3}, {0, 0}, ResizeMode::bilinear}};
  check_on_all_targets([&](StepBatch& batch) {
    for (const Shape& shape : test_shapes()) {
      if (shape.rank() != 4) continue;
      for (const Resize& resize : kResizes)
        for (Layout layout : kVectorLayouts) {
          const TensorType type{DType::f32, shape};
          const Inferred result = resize.infer({&type, 1});
          if (!std::holds_alternative<TensorType>(result)) continue;
          const Shape& out = std::get<TensorType>(result).shape;
          const ResizeTaps taps = resize_taps(resize, shape, out);
          Step step;
          step.inputs = {batch.place(shape, layout)};
          step.output = batch.place(out, layout);
          step.kernel = ResizeKernel{taps};
          step.units = step.output.blocks() * out.n() * out.h();
          const View in = step.inputs[0];
          batch.add(
              step,
              [&batch, in, taps](auto n, auto c, auto h, auto w) {
                const ResizeTap &row = taps.rows[static_cast<size_t>(h)],
                                &column = taps.columns[static_cast<size_t>(w)];
                const auto along = [&](int64_t y) {
                  return batch.at(in, n, c, y, column.first) * (1 - column.weight) +
                         batch.at(in, n, c, y, column.second) * column.weight;
                };
                return along(row.first) * (1 - row.weight) + along(row.second) * row.weight;
              },
              1e-6);
        }
    }
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
