#include "tests/plan/plan_executor.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "passes/strassen.h"
#include "passes/tiling.h"
#include "tests/support/matrix.h"

namespace cardinal::testing {

namespace {

constexpr double kPadLane = 1e30;

class Executor {
 public:
  Executor(const Graph& graph, const Plan& plan, const WeightStore& store, const std::vector<Tensor>& inputs)
      : graph_(graph), plan_(plan), weights_(pack_weights(graph, std::span(&plan, 1), store)) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    workspace_.assign(static_cast<size_t>(plan.workspace_floats), nan);
    const std::vector<NodeId> ins = graph.inputs(), outs = graph.outputs();
    for (size_t i = 0; i < ins.size(); ++i) {
      const View& view = plan.views[index(ins[i])];
      inputs_.emplace_back(view_elements(view.shape, graph[ins[i]].as<Input>()->layout), nan);
      each(view.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        inputs_[i].at(address(view, n, c, h, w)) = inputs[i].data[flat(view.shape, n, c, h, w)];
      });
    }
    for (NodeId out : outs)
      outputs_.emplace_back(view_elements(graph[out].type.shape, graph[out].as<Output>()->layout), nan);
  }

  std::vector<Tensor> run() {
    const auto execute_step = [&](const Step& step) {
      std::visit([&](const auto& kernel) { execute(step, kernel); }, step.kernel);
    };
    const size_t repeated = repeated_steps(plan_);
    for (image_ = 0; repeated > 0 && image_ < plan_.steps[0].repeats; ++image_)
      for (size_t i = 0; i < repeated; ++i) execute_step(plan_.steps[i]);
    image_ = 0;
    for (size_t i = repeated; i < plan_.steps.size(); ++i) {
      REQUIRE(plan_.steps[i].repeats == 1);
      execute_step(plan_.steps[i]);
    }
    std::vector<Tensor> results;
    for (NodeId out : graph_.outputs()) {
      const View& view = plan_.views[index(out)];
      Tensor& result = results.emplace_back(graph_[out].type);
      each(view.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
        result.data[flat(view.shape, n, c, h, w)] = load(view, n, c, h, w);
      });
    }
    return results;
  }

 private:
  template <class F>
  static void each(const Shape& s, F f) {
    for (int64_t n = 0; n < s.n(); ++n)
      for (int64_t c = 0; c < s.c(); ++c)
        for (int64_t h = 0; h < s.h(); ++h)
          for (int64_t w = 0; w < s.w(); ++w) f(n, c, h, w);
  }
  static size_t flat(const Shape& s, int64_t n, int64_t c, int64_t h, int64_t w) {
    return static_cast<size_t>(((n * s.c() + c) * s.h() + h) * s.w() + w);
  }
  size_t address(const View& v, int64_t n, int64_t c, int64_t h, int64_t w) const {
    const int64_t lane = c + v.first_channel;
    return static_cast<size_t>(v.offset + image_ * v.stride_image + n * v.stride_n +
                               lane / 16 * v.stride_block + lane % 16 * v.stride_c + h * v.stride_h +
                               w * v.stride_w);
  }
  std::vector<double>& memory(const View& v) {
    if (v.space == Space::workspace) return workspace_;
    return v.space == Space::input ? inputs_.at(static_cast<size_t>(v.index))
                                   : outputs_.at(static_cast<size_t>(v.index));
  }
  double load(const View& v, int64_t n, int64_t c, int64_t h, int64_t w) {
    return memory(v).at(address(v, n, c, h, w));
  }
  // As kernels store blocks: with the last channel go the pad lanes, if there are any.
  void store(const View& v, int64_t n, int64_t c, int64_t h, int64_t w, double value) {
    if (v.space == Space::input) FAIL("a step writes an input");
    memory(v).at(address(v, n, c, h, w)) = value;
    if (v.padded && c + 1 == v.shape.c())
      for (int64_t lane = c + 1; (lane + v.first_channel) % 16 != 0; ++lane)
        memory(v).at(address(v, n, lane, h, w)) = kPadLane;
  }
  double weight(const PackedWeight& w, int64_t i) const {
    if (i >= w.floats) FAIL("weight " << i << " of a section of " << w.floats);
    return weights_.at(static_cast<size_t>(w.offset + i));
  }

  static double activate(const EpilogueStep& step, double x) { return evaluate(step.activation, x); }

  double finish(const Step& step, const Epilogue& epilogue, size_t operand, double x, int64_t n, int64_t c,
                int64_t h, int64_t w) {
    for (const EpilogueStep& e : epilogue) {
      if (e.kind == EpilogueStep::Kind::activation) {
        x = activate(e, x);
        continue;
      }
      const double y = load(step.inputs.at(operand++), n, c, h, w);
      x = e.kind == EpilogueStep::Kind::add ? x + y : x * y;
    }
    return x;
  }

  // ---- kernels

  double direct(const Step& step, const ConvKernel& k, int64_t n, int64_t oc, int64_t y, int64_t x) {
    const ConvShape& s = k.shape;
    const int64_t p = oc / 16 / k.panel;
    int64_t at = oc / 16 * weight_block_floats(k) + oc % 16;
    double sum = 0;
    const int64_t first = k.first_block.empty() ? 0 : k.first_block.at(static_cast<size_t>(p));
    for (int64_t b = first; b < first + k.reduce_blocks; ++b)
      for (int64_t ky = 0; ky < s.kh; ++ky)
        for (int64_t kx = 0; kx < s.kw; ++kx)
          for (int64_t c = b * 16; c < std::min(b * 16 + 16, s.ic); ++c, at += 16)
            if (const double w = weight(step.weights[0], at); w != 0)
              sum += w * tap(step, s, n, c, y * s.stride_h + ky * s.dilation_h - s.pad_top,
                             x * s.stride_w + kx * s.dilation_w - s.pad_left);
    return sum;
  }
  double lanes(const Step& step, const ConvKernel& k, int64_t n, int64_t oc, int64_t y, int64_t x) {
    const ConvShape& s = k.shape;
    const int64_t width = s.ic / s.groups, lane = oc % 16, first = oc / width * width;
    double sum = 0;
    for (int64_t ky = 0; ky < s.kh; ++ky)
      for (int64_t i = 0; i < width; ++i)
        for (int64_t kx = 0; kx < s.kw; ++kx)
          sum += weight(step.weights[0], (((oc / 16 * s.kh + ky) * width + i) * s.kw + kx) * 16 + lane) *
                 tap(step, s, n, first + i, y * s.stride_h + ky * s.dilation_h - s.pad_top,
                     x * s.stride_w + kx * s.dilation_w - s.pad_left);
    return sum;
  }
  double tap(const Step& step, const ConvShape& s, int64_t n, int64_t c, int64_t y, int64_t x) {
    return y < 0 || y >= s.ih || x < 0 || x >= s.iw ? 0 : load(step.inputs[0], n, c, y, x);
  }

  void execute(const Step& step, const ConvKernel& k) {
    ConvKernel joined = k;  // a collapsed image is one row in every view
    ConvShape& s = joined.shape;
    if (k.collapsed) {
      s.iw *= s.ih;
      s.ow *= s.oh;
      s.ih = s.oh = 1;
    }
    const int64_t panels = ceil_div(ceil_div(s.oc, 16), k.panel);
    const auto tiles = static_cast<int64_t>(k.tiles.size()), last = static_cast<int64_t>(k.last_tiles.size());
    REQUIRE((last > 0) == (s.oh % k.rows > 0));
    REQUIRE(step.units ==
            panels * s.n * (k.row_sums ? ceil_div(s.oh, k.rows) : s.oh / k.rows * tiles + last));
    // Stored at once: an output that lay over x would show.
    each({s.n, s.oc, s.oh, s.ow}, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      double value = k.has_bias ? weight(step.weights[1], c) : 0;
      value += k.algorithm == ConvAlgorithm::direct ? direct(step, joined, n, c, h, w)
                                                    : lanes(step, joined, n, c, h, w);
      store(step.output, n, c, h, w, finish(step, k.epilogue, 1, value, n, c, h, w));
    });
    REQUIRE(step.inputs.size() == 1 + static_cast<size_t>(epilogue_operands(k.epilogue)));
    REQUIRE(step.second_output.has_value() == k.row_sums);
    if (!k.row_sums) return;
    REQUIRE(k.pass_blocks == 0);
    each({s.n, s.oc, s.oh, 1}, [&](int64_t n, int64_t c, int64_t h, int64_t) {
      double sum = 0;
      for (int64_t w = 0; w < s.ow; ++w) sum += load(step.output, n, c, h, w);
      store(*step.second_output, n, c, h, 0, sum);
    });
  }

  // From the definition: every element of a transformed tile as a double sum.
  // Kernels of a GPU are run in the SIMT emulator; see tests/gpu.
  void execute(const Step&, const GpuConvKernel&) { FAIL("a kernel of a GPU"); }
  void execute(const Step&, const GpuConvPairKernel&) { FAIL("a kernel of a GPU"); }
  void execute(const Step&, const SplitSumKernel&) { FAIL("a kernel of a GPU"); }

  void execute(const Step& step, const WinogradKernel& k) {
    const WinogradTransform& t = winograd_transform(k.outputs);
    const bool input = k.side == WinogradKernel::Side::input;
    const auto alpha = static_cast<int64_t>(t.kernel.size()), m = static_cast<int64_t>(k.outputs);
    const ConvShape& s = k.shape;
    const int64_t channels = input ? s.ic : s.oc, lanes = round_up(channels, 16);
    REQUIRE(step.units == lanes / 16 * s.n * ceil_div(s.oh, m));
    REQUIRE(step.intermediate == input);
    const Matrix matrix = input ? product(t.input, t.input_parts) : product(t.output, t.output_parts);
    const auto rows = static_cast<int64_t>(matrix.size());
    auto in = [&](int64_t n, int64_t c, int64_t ty, int64_t tx, int64_t i, int64_t j) {
      if (!input) return load(step.inputs[0], n, (i * alpha + j) * lanes + c, ty, tx);
      return c < s.ic ? tap(step, s, n, c, ty * m + i - s.pad_top, tx * m + j - s.pad_left) : kPadLane;
    };
    each({s.n, input ? lanes : channels, ceil_div(s.oh, m), ceil_div(s.ow, m)},
         [&](auto n, auto c, auto ty, auto tx) {
           for (int64_t i = 0; i < rows; ++i)
             for (int64_t j = 0; j < rows; ++j) {
               double sum = !input && k.has_bias ? weight(step.weights[0], c) : 0;
               for (int64_t a = 0; a < alpha; ++a)
                 for (int64_t b = 0; b < alpha; ++b)
                   if (const double factor = at(matrix, i, a) * at(matrix, j, b); factor != 0)
                     sum += factor * in(n, c, ty, tx, a, b);
               const int64_t y = ty * m + i, x = tx * m + j;
               if (input)
                 store(step.output, n, (i * alpha + j) * lanes + c, ty, tx, sum);
               else if (y < s.oh && x < s.ow)
                 store(step.output, n, c, y, x, finish(step, k.epilogue, 1, sum, n, c, y, x));
             }
         });
  }
  static double at(const Matrix& matrix, int64_t i, int64_t j) {
    return matrix[static_cast<size_t>(i)][static_cast<size_t>(j)];
  }

  // Pixels beyond an image of odd size must not be read.
  double pair_row(const View& v, int64_t second, int64_t n, int64_t c, int64_t row, int64_t i) {
    return row == 1 && i >= second ? 0 : load(v, n, c, row, i);
  }

  struct PairOfPixels {
    int64_t second, n, i;
  };
  // S1 to S4 of input channels c and c + ic / 2.
  std::array<double, 4> pair_sums(const View& x, const PackedWeight& ratios, const PairOfPixels& at,
                                  int64_t c) {
    const auto in = [&](int64_t row, int64_t half) {
      return pair_row(x, at.second, at.n, half * x.shape.c() / 2 + c, row, at.i);
    };
    const double ratio = weight(ratios, c);
    const double s1 = in(1, 0) + ratio * in(1, 1), s2 = s1 - in(0, 0);
    return {s1, s2, in(0, 0) - in(1, 0), ratio * in(0, 1) - s2};
  }

  void execute(const Step& step, const StrassenSumsKernel& k) {
    const View& x = step.inputs[0];
    const int64_t half = x.shape.c() / 2, pairs = x.shape.w();
    REQUIRE(step.intermediate);
    REQUIRE(step.units == half / 16 * x.shape.n() * ceil_div(pairs, strassen_chunk(pairs)));
    each({x.shape.n(), half, 1, pairs}, [&](int64_t n, int64_t c, int64_t, int64_t i) {
      int64_t part = 0;
      for (double sum : pair_sums(x, step.weights[0], {k.second, n, i}, c))
        store(step.output, n, part++ * half + c, 0, i, sum);
    });
  }

  // The seven products for output channel c of the first half.
  std::array<double, 7> strassen_products(const Step& step, const PairOfPixels& at, int64_t c) {
    const View& x = step.inputs[0];
    const int64_t ic = x.shape.c() / 2;
    std::array<double, 7> products{};
    for (int64_t k = 0; k < ic; ++k) {
      const std::array<double, 4> s = pair_sums(x, step.weights[1], at, k);
      const double factors[] = {load(x, at.n, k, 0, at.i),
                                load(x, at.n, ic + k, 0, at.i),
                                s[1],
                                s[0],
                                s[3],
                                s[2],
                                pair_row(x, at.second, at.n, ic + k, 1, at.i)};
      for (size_t p = 0; p < products.size(); ++p) {
        const int64_t line = static_cast<int64_t>(p) * ic + k;
        products[p] +=
            factors[p] * weight(step.weights[0], c / 16 * strassen_block_floats(2 * ic) + line * 16 + c % 16);
      }
    }
    return products;
  }

  void execute(const Step& step, const StrassenKernel& k) {
    const Shape out = step.output.shape;
    const int64_t half = out.c() / 2;
    REQUIRE(step.units == ceil_div(half / 16, k.panel) * out.n() * static_cast<int64_t>(k.tiles.size()));
    REQUIRE(step.inputs.size() ==
            size_t{1} + k.carries + k.accumulates + static_cast<size_t>(epilogue_operands(k.epilogue)));
    REQUIRE(step.weights.size() == size_t{3} + k.outer_scale + k.has_bias);
    REQUIRE(step.scratch);
    each({out.n(), half, 1, out.w()}, [&](int64_t n, int64_t c, int64_t, int64_t i) {
      const std::array<double, 7> p = strassen_products(step, {k.second, n, i}, c);
      const double u = p[0] + p[2];
      const double y[2][2] = {{p[0] + p[1], u + p[3] + p[4]}, {u + p[5] + p[6], u + p[5] + p[3]}};
      for (int64_t row = 0; row < 2; ++row)
        for (int64_t right = 0; right < 2; ++right)
          if (row == 0 || i < k.second)
            finish_pair(step, k, y[row][right] * (right ? weight(step.weights[2], c) : 1), n,
                        right * half + c, row, i);
    });
  }

  void finish_pair(const Step& step, const StrassenKernel& k, double y, int64_t n, int64_t c, int64_t row,
                   int64_t i) {
    if (k.accumulates) {
      const View& sum = step.inputs.back();
      store(sum, n, c, row, i, load(sum, n, c, row, i) + y);
    }
    if (k.carries) y += load(step.inputs[1], n, c, row, i);
    if (k.outer_scale) y *= weight(step.weights[3], c);
    if (k.has_bias) y += weight(step.weights.back(), c);
    store(step.output, n, c, row, i, finish(step, k.epilogue, k.carries ? 2 : 1, y, n, c, row, i));
  }

  void average(const Step& step, const PoolKernel& k) {
    const Shape& x = step.inputs[0].shape;
    each(step.output.shape, [&](int64_t n, int64_t c, int64_t, int64_t) {
      double sum = 0;
      each({1, 1, x.h(), x.w()},
           [&](int64_t, int64_t, int64_t h, int64_t w) { sum += load(step.inputs[0], n, c, h, w); });
      store(step.output, n, c, 0, 0, sum / static_cast<double>(k.shape.ih * k.shape.iw));
    });
  }

  void execute(const Step& step, const PoolKernel& k) {
    if (k.mode == PoolKernel::Mode::global_average) return average(step, k);
    const ConvShape& s = k.shape;
    const bool max = k.mode == PoolKernel::Mode::max;
    each(step.output.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      double result = max ? -std::numeric_limits<double>::infinity() : 0;
      int64_t valid = 0, declared = 0;
      for (int64_t ky = 0; ky < s.kh; ++ky)
        for (int64_t kx = 0; kx < s.kw; ++kx) {
          const int64_t y = h * s.stride_h + ky * s.dilation_h - s.pad_top;
          const int64_t x = w * s.stride_w + kx * s.dilation_w - s.pad_left;
          declared += y < s.ih + k.pad_bottom && x < s.iw + k.pad_right;
          if (y < 0 || y >= s.ih || x < 0 || x >= s.iw) continue;
          valid++;
          const double value = load(step.inputs[0], n, c, y, x);
          result = max ? std::max(result, value) : result + value;
        }
      const int64_t divisor = max ? 1 : k.count_include_pad ? declared : valid;
      store(step.output, n, c, h, w, result / static_cast<double>(divisor));
    });
  }

  void execute(const Step& step, const PointwiseKernel& k) {
    using Base = PointwiseKernel::Base;
    const bool binary = k.has_two_operands();
    each(step.output.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      double value = load(step.inputs[0], n, c, h, w);
      if (k.base == Base::add) value += load(step.inputs[1], n, c, h, w);
      if (k.base == Base::mul) value *= load(step.inputs[1], n, c, h, w);
      if (k.base == Base::div) value /= load(step.inputs[1], n, c, h, w);
      if (k.base == Base::max) value = std::max(value, load(step.inputs[1], n, c, h, w));
      if (k.base == Base::min) value = std::min(value, load(step.inputs[1], n, c, h, w));
      if (k.base == Base::prelu && value < 0) value *= weight(step.weights[0], c);
      if (k.base == Base::scale) value *= weight(step.weights[0], c);
      if (k.base == Base::affine) value = value * weight(step.weights[0], c) + weight(step.weights[1], c);
      store(step.output, n, c, h, w, finish(step, k.epilogue, binary ? 2 : 1, value, n, c, h, w));
    });
  }

  void execute(const Step& step, const ReorderKernel& k) {
    const View &in = step.inputs[0], &out = step.output;
    std::vector<double> values;
    const bool hwc = k.flatten == FlattenOrder::hwc;
    const Shape& s = in.shape;
    each(hwc ? Shape{s.n(), s.h(), s.w(), s.c()} : s, [&](int64_t n, int64_t i, int64_t j, int64_t l) {
      values.push_back(hwc ? load(in, n, l, i, j) : load(in, n, i, j, l));
    });
    size_t i = 0;
    each(out.shape, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      memory(out).at(address(out, n, c, h, w)) = values.at(i++);
      if (c + 1 == out.shape.c())
        for (int64_t lane = 1; lane <= k.zero_lanes; ++lane)
          memory(out).at(address(out, n, c + lane, h, w)) = 0;
    });
    REQUIRE(i == values.size());
  }

  void execute(const Step& step, const GatherKernel& k) {
    const View& in = step.inputs[0];
    const Shape& s = step.output.shape;
    REQUIRE(k.gathering.sources.size() == static_cast<size_t>(s.c()));
    REQUIRE(step.units == step.output.blocks() * s.n() * s.h());
    each(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      const ChannelSource& source = k.gathering.sources[static_cast<size_t>(c)];
      const int64_t y = k.gathering.step.h * h + source.dh, x = k.gathering.step.w * w + source.dw;
      const bool inside =
          source.channel != kNoChannel && y >= 0 && y < in.shape.h() && x >= 0 && x < in.shape.w();
      store(step.output, n, c, h, w, inside ? load(in, n, source.channel, y, x) : k.gathering.fill);
    });
  }

  void execute(const Step& step, const ResizeKernel& k) {
    const Shape& s = step.output.shape;
    REQUIRE(step.units == step.output.blocks() * s.n() * s.h());
    each(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      const ResizeTap &row = k.taps.rows.at(static_cast<size_t>(h)),
                      &column = k.taps.columns.at(static_cast<size_t>(w));
      const auto along = [&](int64_t y) {
        return load(step.inputs[0], n, c, y, column.first) * (1 - column.weight) +
               load(step.inputs[0], n, c, y, column.second) * column.weight;
      };
      store(step.output, n, c, h, w, along(row.first) * (1 - row.weight) + along(row.second) * row.weight);
    });
  }

  void execute(const Step& step, const MomentsKernel&) {
    const Shape& s = step.inputs[0].shape;
    const auto count = static_cast<double>(s.h() * s.w());
    REQUIRE(step.units == step.output.blocks() * s.n());
    each({s.n(), s.c(), 1, 1}, [&](int64_t n, int64_t c, int64_t, int64_t) {
      double mean = 0, variance = 0;
      each({1, 1, s.h(), s.w()},
           [&](auto, auto, int64_t h, int64_t w) { mean += load(step.inputs[0], n, c, h, w) / count; });
      each({1, 1, s.h(), s.w()}, [&](auto, auto, int64_t h, int64_t w) {
        variance += std::pow(load(step.inputs[0], n, c, h, w) - mean, 2) / count;
      });
      store(step.output, n, c, 0, 0, mean);
      store(step.output, n, c, 0, 1, variance);
    });
  }

  void execute(const Step& step, const GroupFactorsKernel& k) {
    const Shape& s = step.output.shape;
    const int64_t width = s.c() / k.groups;
    const auto count = static_cast<double>(width);
    REQUIRE(step.units == s.n() * k.groups);
    each(s, [&](int64_t n, int64_t c, int64_t, int64_t w) {
      const int64_t first = c / width * width;
      double mean = 0, variance = 0;
      for (int64_t i = first; i < first + width; ++i) mean += load(step.inputs[0], n, i, 0, 0) / count;
      for (int64_t i = first; i < first + width; ++i)
        variance +=
            (load(step.inputs[0], n, i, 0, 1) + std::pow(load(step.inputs[0], n, i, 0, 0) - mean, 2)) / count;
      const double factor = weight(step.weights[0], c) / std::sqrt(variance + k.eps);
      store(step.output, n, c, 0, w, w == 0 ? factor : weight(step.weights[1], c) - mean * factor);
    });
  }

  void execute(const Step& step, const ChannelConvKernel& k) {
    const Shape& s = step.output.shape;
    REQUIRE((step.inputs[0].padded || s.c() % 16 == 0));
    each(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      double sum = 0;
      for (int64_t i = 0; i < k.size; ++i)
        if (const int64_t from = c + i - k.size / 2; from >= 0 && from < s.c())
          sum += weight(step.weights[0], i) * load(step.inputs[0], n, from, h, w);
      store(step.output, n, c, h, w, sum);
    });
  }

  void execute(const Step& step, const AdaptivePoolKernel& k) {
    const Shape &from = step.inputs[0].shape, &s = step.output.shape;
    REQUIRE(step.units == step.output.blocks() * s.n() * s.h());
    each(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      const Bin rows = adaptive_bin(h, s.h(), from.h()), columns = adaptive_bin(w, s.w(), from.w());
      double result = k.max ? -std::numeric_limits<double>::infinity() : 0;
      for (int64_t y = rows.begin; y < rows.end; ++y)
        for (int64_t x = columns.begin; x < columns.end; ++x) {
          const double value = load(step.inputs[0], n, c, y, x);
          result = k.max ? std::max(result, value) : result + value;
        }
      const int64_t pixels = (rows.end - rows.begin) * (columns.end - columns.begin);
      store(step.output, n, c, h, w, k.max ? result : result / static_cast<double>(pixels));
    });
  }

  void execute(const Step& step, const PadKernel& k) {
    const Shape &from = step.inputs[0].shape, &s = step.output.shape;
    REQUIRE(step.units == step.output.blocks() * s.n() * s.h());
    each(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      const int64_t y = h - k.top, x = w - k.left;
      const bool inside = y >= 0 && y < from.h() && x >= 0 && x < from.w();
      store(step.output, n, c, h, w, inside ? load(step.inputs[0], n, c, y, x) : k.value);
    });
  }

  void execute(const Step& step, const SoftmaxKernel& k) {
    const Shape& s = step.output.shape;
    each({s.n(), 1, s.h(), s.w()}, [&](int64_t n, int64_t, int64_t h, int64_t w) {
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t c = 0; c < s.c(); ++c) top = std::max(top, load(step.inputs[0], n, c, h, w));
      for (int64_t c = 0; c < s.c(); ++c) sum += std::exp(load(step.inputs[0], n, c, h, w) - top);
      for (int64_t c = 0; c < s.c(); ++c) {
        const double x = load(step.inputs[0], n, c, h, w) - top;
        store(step.output, n, c, h, w, k.log ? x - std::log(sum) : std::exp(x) / sum);
      }
    });
  }

  void execute(const Step& step, const ChannelPoolKernel& k) {
    const Shape &from = step.inputs[0].shape, &s = step.output.shape;
    each(s, [&](int64_t n, int64_t, int64_t h, int64_t w) {
      double top = -std::numeric_limits<double>::infinity(), sum = 0;
      for (int64_t c = 0; c < from.c(); ++c) {
        const double x = load(step.inputs[0], n, c, h, w);
        top = std::max(top, x);
        sum += x;
      }
      store(step.output, n, 0, h, w, k.max ? top : sum / static_cast<double>(from.c()));
    });
  }

  void execute(const Step& step, const LayerNormKernel& k) {
    const Shape& s = step.output.shape;
    const auto count = static_cast<double>(s.c());
    REQUIRE(step.weights.size() == 2);
    each({s.n(), 1, s.h(), s.w()}, [&](int64_t n, int64_t, int64_t h, int64_t w) {
      double mean = 0, variance = 0;
      for (int64_t c = 0; c < s.c(); ++c) mean += load(step.inputs[0], n, c, h, w) / count;
      for (int64_t c = 0; c < s.c(); ++c)
        variance += std::pow(load(step.inputs[0], n, c, h, w) - mean, 2) / count;
      for (int64_t c = 0; c < s.c(); ++c) {
        const double normal = (load(step.inputs[0], n, c, h, w) - mean) / std::sqrt(variance + k.eps);
        store(step.output, n, c, h, w, normal * weight(step.weights[0], c) + weight(step.weights[1], c));
      }
    });
  }

  void execute(const Step& step, const ResponseNormKernel& k) {
    const Shape& s = step.output.shape;
    REQUIRE((step.inputs[0].padded || s.c() % 16 == 0));
    each(s, [&](int64_t n, int64_t c, int64_t h, int64_t w) {
      double sum = 0;
      for (int64_t i = std::max<int64_t>(c - k.size / 2, 0); i < std::min(c + (k.size + 1) / 2, s.c()); ++i)
        sum += std::pow(load(step.inputs[0], n, i, h, w), 2);
      const double base = k.k + k.alpha / static_cast<double>(k.size) * sum;
      store(step.output, n, c, h, w, load(step.inputs[0], n, c, h, w) / std::pow(base, k.beta));
    });
  }

  const Graph& graph_;
  const Plan& plan_;
  int64_t image_ = 0;  // of a step that is repeated
  std::vector<float> weights_;
  std::vector<double> workspace_;
  std::vector<std::vector<double>> inputs_, outputs_;
};

}  // namespace

std::vector<Tensor> execute_plan(const Graph& graph, const Plan& plan, const WeightStore& store,
                                 const std::vector<Tensor>& inputs) {
  return Executor(graph, plan, store, inputs).run();
}

}  // namespace cardinal::testing
