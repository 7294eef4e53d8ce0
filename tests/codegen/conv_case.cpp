#include "tests/codegen/conv_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <random>

#include "ir/ops/pool.h"
#include "ir/window.h"
#include "passes/tiling.h"
#include "tests/support/fast_kernels.h"
#include "tests/support/matrix.h"

namespace cardinal::testing {

namespace {

// Constants of the step, values in [-1, 1).
struct Weights {
  Tensor kernel, bias;
};

Weights random_weights(const ConvCase& c, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> values(-1, 1);
  Weights weights{Tensor({DType::f32, {c.op.channels, c.x.c() / c.op.groups, c.op.kernel.h, c.op.kernel.w}}),
                  Tensor({DType::f32, {c.op.channels}})};
  for (double& value : weights.kernel.data) value = values(random);
  for (double& value : weights.bias.data) value = values(random);
  return weights;
}

// ---- packing, from the description in plan.h

std::vector<float> pack_panels(const ConvKernel& kernel, const Tensor& weight) {
  const ConvShape& s = kernel.shape;
  int64_t icg = s.ic / s.groups, ocg = s.oc / s.groups, oc_blocks = ceil_div(s.oc, kChannelBlock);
  std::vector<float> packed;
  for (int64_t out = 0; out < oc_blocks; ++out) {
    auto p = static_cast<size_t>(out / kernel.panel);
    int64_t window = kernel.first_block.empty() ? 0 : kernel.first_block[p];
    for (int64_t block = window; block < window + kernel.reduce_blocks; ++block)
      for (int64_t tap = 0; tap < s.kh * s.kw; ++tap)
        for (int64_t ic = block * kChannelBlock; ic < std::min((block + 1) * kChannelBlock, s.ic); ++ic)
          for (int64_t oc = out * kChannelBlock; oc < (out + 1) * kChannelBlock; ++oc) {
            bool connected = oc < s.oc && oc / ocg == ic / icg;
            packed.push_back(
                connected ? static_cast<float>(
                                weight.data[static_cast<size_t>((oc * icg + ic % icg) * s.kh * s.kw + tap)])
                          : 0.0f);
          }
    packed.resize(static_cast<size_t>((out + 1) * weight_block_floats(kernel)));
  }
  return packed;
}

std::vector<float> pack_lanes(const ConvShape& s, const Tensor& weight) {
  int64_t width = s.ic / s.groups;
  std::vector<float> packed;
  for (int64_t block = 0; block < s.oc; block += kChannelBlock)
    for (int64_t r = 0; r < s.kh; ++r)
      for (int64_t k = 0; k < width; ++k)
        for (int64_t tap = r * s.kw; tap < (r + 1) * s.kw; ++tap)
          for (int64_t oc = block; oc < block + kChannelBlock; ++oc)
            packed.push_back(oc < s.oc
                                 ? static_cast<float>(
                                       weight.data[static_cast<size_t>((oc * width + k) * s.kh * s.kw + tap)])
                                 : 0.0f);
  return packed;
}

// ---- the steps

ConvShape conv_shape(const ConvCase& c, const Shape& out) {
  const Padding pad = resolve_padding(window_of(c.op), c.x.h(), c.x.w());
  ConvShape s;
  s.n = c.x.n(), s.ic = c.x.c(), s.ih = c.x.h(), s.iw = c.x.w();
  s.oc = out.c(), s.oh = out.h(), s.ow = out.w();
  s.kh = c.op.kernel.h, s.kw = c.op.kernel.w, s.stride_h = c.op.stride.h, s.stride_w = c.op.stride.w;
  s.dilation_h = c.op.dilation.h, s.dilation_w = c.op.dilation.w, s.pad_top = pad.top, s.pad_left = pad.left;
  s.groups = c.op.groups;
  return s;
}

ConvKernel conv_kernel(const ConvCase& c, const ConvShape& shape, ConvAlgorithm algorithm) {
  ConvKernel kernel;
  kernel.shape = shape;
  kernel.algorithm = algorithm;
  kernel.collapsed = collapses(kernel.shape);
  kernel.pixels = c.pixels, kernel.panel = c.panel, kernel.k_unroll = c.k_unroll;
  kernel.rows = std::min(c.rows, static_cast<int>(row_count(kernel.shape)));
  kernel.tiles = balanced_tiles(row_length(kernel.shape), c.pixels);
  kernel.last_tiles = last_band_tiles(kernel.shape, kernel.rows, c.pixels);
  InputWindows windows = input_windows(kernel.shape, c.panel);
  kernel.reduce_blocks = windows.reduce_blocks, kernel.first_block = windows.first_block;
  kernel.sum = c.sum;
  kernel.row_sums = c.row_sums != ConvCase::RowSums::none;
  if (c.pass_blocks < kernel.reduce_blocks) kernel.pass_blocks = c.pass_blocks;
  return kernel;
}

int64_t conv_units(const ConvKernel& kernel) {
  return ceil_div(ceil_div(kernel.shape.oc, kChannelBlock), kernel.panel) * kernel.shape.n *
         units_of_image(kernel);
}

View place(StepBatch& batch, const Shape& shape, Layout layout, int64_t misalignment) {
  View view = batch.place(shape, layout);
  view.offset += misalignment;
  return view;
}

Tensor evaluate(const Conv& op, const Epilogue& epilogue, const std::vector<Tensor>& inputs,
                const Weights& weights, const Shape& out_shape) {
  Tensor out({DType::f32, out_shape});
  op.evaluate(std::vector<const Tensor*>{&inputs[0], &weights.kernel, &weights.bias}, out);
  std::vector<const Tensor*> operands;
  for (size_t i = 1; i < inputs.size(); ++i) operands.push_back(&inputs[i]);
  evaluate_epilogue(epilogue, operands, out);
  return out;
}

Tensor mean_of_images(const Tensor& images) {
  const Shape& s = images.type.shape;
  Tensor mean({DType::f32, {s.n(), s.c(), 1, 1}});
  GlobalAvgPool{}.evaluate(std::vector<const Tensor*>{&images}, mean);
  return mean;
}

// Turns the step, complete but for its kernel, its kernel's weights and units, into those that compute it.
std::vector<Step> one_step(StepBatch& batch, const ConvCase& c, Step step, const Tensor& weight) {
  ConvKernel kernel = conv_kernel(c, conv_shape(c, step.output.shape), c.algorithm);
  kernel.has_bias = c.op.bias;
  kernel.epilogue = c.epilogue;
  const bool direct = c.algorithm == ConvAlgorithm::direct;
  step.weights.insert(step.weights.begin(), batch.place_constants(direct ? pack_panels(kernel, weight)
                                                                         : pack_lanes(kernel.shape, weight)));
  step.units = conv_units(kernel);
  step.kernel = kernel;
  step.strip = c.strip;
  const Shape& out = step.output.shape;
  if (kernel.row_sums) step.second_output = batch.place({out.n(), out.c(), out.h(), 1}, Layout::nchw16c);
  if (c.row_sums != ConvCase::RowSums::averaged) return {std::move(step)};

  PoolKernel pool;
  pool.mode = PoolKernel::Mode::global_average;
  pool.shape.n = out.n(), pool.shape.ic = pool.shape.oc = out.c();
  pool.shape.ih = pool.shape.kh = out.h(), pool.shape.iw = pool.shape.kw = out.w();
  Step average;
  average.kernel = pool;
  average.inputs = {*step.second_output};
  average.output = batch.place({out.n(), out.c(), 1, 1}, Layout::nchw16c);
  average.units = average.output.blocks() * out.n();
  return {std::move(step), std::move(average)};
}

std::vector<Step> winograd_steps(StepBatch& batch, const ConvCase& c, Step step, const Tensor& weight) {
  const int outputs = winograd_outputs(c.algorithm);
  const ConvShape shape = conv_shape(c, step.output.shape);
  auto units = [&](int64_t channels) {
    return ceil_div(channels, kChannelBlock) * shape.n * ceil_div(shape.oh, outputs);
  };
  Step input, products;
  input.inputs = {step.inputs[0]};
  input.output = batch.place(winograd_input(shape, outputs), Layout::nchw16c);
  input.units = units(shape.ic);
  input.kernel = WinogradKernel{WinogradKernel::Side::input, shape, outputs};

  const ConvKernel multiply = conv_kernel(c, winograd_product_shape(shape, outputs), ConvAlgorithm::direct);
  products.inputs = {input.output};
  products.output = batch.place(winograd_products(shape, outputs), Layout::nchw16c);
  products.weights = {batch.place_constants(pack_panels(multiply, winograd_kernel(weight, outputs)))};
  products.units = conv_units(multiply);
  products.kernel = multiply;
  products.strip = c.strip;

  step.inputs[0] = products.output;
  step.units = units(shape.oc);
  step.kernel = WinogradKernel{WinogradKernel::Side::output, shape, outputs, c.op.bias, c.epilogue};
  return {std::move(input), std::move(products), std::move(step)};
}

// How much larger Winograd's rounding errors are than the direct sum's. In one dimension an output i is the
// sum over e of A[i][e] (G g)[e] (B d)[e], whose independent roundings add up to at most
// sqrt(sum of A[i][e]^2 |G[e]|^2 |B[e]|^2) of |g| |d|; an image has two.
double winograd_amplification(int outputs) {
  const WinogradTransform& t = winograd_transform(outputs);
  auto square = [](const std::vector<double>& row) {
    return std::inner_product(row.begin(), row.end(), row.begin(), 0.0);
  };
  const Matrix input = product(t.input, t.input_parts), output = product(t.output, t.output_parts);
  double largest = 0;
  for (const std::vector<double>& row : output) {
    double sum = 0;
    for (size_t e = 0; e < row.size(); ++e) sum += row[e] * row[e] * square(t.kernel[e]) * square(input[e]);
    largest = std::max(largest, sum);
  }
  return largest;
}

// The largest sum of the sizes of all that is added up in an element. Activations are left out: none of them
// stretches differences by more than 1.5.
double largest_magnitude(const ConvCase& c, std::vector<Tensor> inputs, Weights weights, const Shape& out) {
  auto absolute = [](Tensor& tensor) {
    for (double& value : tensor.data) value = std::abs(value);
  };
  std::for_each(inputs.begin(), inputs.end(), absolute);
  absolute(weights.kernel), absolute(weights.bias);
  Epilogue linear;
  for (const EpilogueStep& step : c.epilogue)
    if (step.kind != EpilogueStep::Kind::activation) linear.push_back(step);
  Tensor sums = evaluate(c.op, linear, inputs, weights, out);
  return *std::max_element(sums.data.begin(), sums.data.end());
}

}  // namespace

std::string ConvCase::text() const {
  return fmt::format(
      "conv {} -> {} channels, kernel {}x{}, stride {}x{}, dilation {}x{}, padding {} {} {} {}, groups {}, "
      "{} "
      "{}x{} rows {} unroll {}, strips {}, passes {}, sums {} {}, row sums {}, layouts {} {}",
      to_string(x), op.channels, op.kernel.h, op.kernel.w, op.stride.h, op.stride.w, op.dilation.h,
      op.dilation.w, op.padding.top, op.padding.left, op.padding.bottom, op.padding.right, op.groups,
      to_string(algorithm), pixels, panel, rows, k_unroll, strip, pass_blocks, sum.blocks, sum.rows,
      static_cast<int>(row_sums), to_string(x_layout), to_string(out_layout));
}

void add_conv(StepBatch& batch, const ConvCase& c, uint32_t seed) {
  Weights weights = random_weights(c, seed);
  const std::vector<TensorType> types{{DType::f32, c.x}, weights.kernel.type, weights.bias.type};
  const Shape out = std::get<TensorType>(c.op.infer(types)).shape;

  Step step;
  step.inputs.push_back(place(batch, c.x, c.x_layout, c.misalignment));
  step.output = place(batch, out, c.out_layout, c.misalignment);
  for (int i = 0; i < epilogue_operands(c.epilogue); ++i) {
    if (i == 0 && c.in_place) {
      step.inputs.push_back(step.output);
    } else if (c.broadcast_operands) {
      step.inputs.push_back(batch.place({out.n(), out.c(), 1, 1}, Layout::nchw16c));
      step.inputs.back().stride_h = step.inputs.back().stride_w = 0;
    } else {
      step.inputs.push_back(batch.place(out, c.out_layout));
    }
  }
  if (c.op.bias)
    step.weights.push_back(
        batch.place_constants(std::vector<float>(weights.bias.data.begin(), weights.bias.data.end())));

  std::vector<Tensor> inputs;
  for (const View& view : step.inputs) inputs.push_back(batch.read(view));
  auto expected = std::make_shared<Tensor>(evaluate(c.op, c.epilogue, inputs, weights, out));
  double terms = static_cast<double>(c.x.c() / c.op.groups * c.op.kernel.h * c.op.kernel.w) +
                 static_cast<double>(c.epilogue.size());
  const int outputs = winograd_outputs(c.algorithm);
  double roundings = outputs ? winograd_amplification(outputs) : 4 + 1.5 * std::sqrt(terms);
  const bool averaged = c.row_sums == ConvCase::RowSums::averaged;
  if (averaged) roundings += static_cast<double>(out.h() + out.w());
  double tolerance = std::numeric_limits<float>::epsilon() * roundings *
                     std::max(1.0, largest_magnitude(c, inputs, weights, out));
  if (averaged) *expected = mean_of_images(*expected);
  auto make_steps = outputs ? winograd_steps : one_step;
  batch.add_chain(
      make_steps(batch, c, step, weights.kernel),
      [expected](auto n, auto oc, auto h, auto w) { return expected->at(n, oc, h, w); }, tolerance);
}

}  // namespace cardinal::testing
