#include "ir/ops/conv.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/window.h"

namespace cardinal {

Inferred Conv::infer(std::span<const TensorType> operands) const {
  const Shape& x = operands[0].shape;
  if (x.rank() != 4)
    return OpError{fmt::format("conv needs an input [N, C, H, W], got {}", to_string(operands[0])), {}, 0};
  if (channels < 1) return OpError{fmt::format("channels must be at least 1, got {}", channels), "channels"};
  if (groups < 1) return OpError{fmt::format("groups must be at least 1, got {}", groups), "groups"};
  if (x.c() % groups != 0)
    return OpError{fmt::format("{} input channels are not divisible by groups={}", x.c(), groups), "groups"};
  if (channels % groups != 0)
    return OpError{fmt::format("{} output channels are not divisible by groups={}", channels, groups),
                   "groups"};
  Window window = window_of(*this);
  if (auto error = check_window(window, x.h(), x.w())) return *error;
  Pair size = output_size(window, x.h(), x.w());
  Shape out{x.n(), channels, size.h, size.w};
  if (std::string problem = shape_problem(out); !problem.empty()) return OpError{"the result's " + problem};
  return TensorType{operands[0].dtype, out};
}

std::vector<Parameter> Conv::parameters(const TensorType& x) const {
  std::vector<Parameter> out{
      {Role::kernel, {channels, x.shape.c() / std::max<int64_t>(groups, 1), kernel.h, kernel.w}}};
  if (bias) out.push_back({Role::bias, {channels}});
  return out;
}

namespace {

// A convolution is computed as blocks of a matrix product: weights [OC / groups][taps] times columns
// [taps][pixels], where a tap is one (input channel, row, column) of the kernel. Block sizes keep the columns
// in a 256 KB cache.
constexpr int64_t kTapBlock = 64;
constexpr int64_t kPixelBlock = 256;

struct Geometry {
  const Tensor& x;
  Conv conv;
  Padding pad;
  int64_t out_h, out_w;
  int64_t group_in, group_out, taps;
};

// One tap's input value for each output pixel of [begin, end); zero where it falls into the padding.
void gather_tap(const Geometry& g, const double* plane, int64_t tap, int64_t begin, int64_t end,
                double* column) {
  int64_t kh = tap / g.conv.kernel.w % g.conv.kernel.h, kw = tap % g.conv.kernel.w;
  int64_t in_h = g.x.type.shape.h(), in_w = g.x.type.shape.w();
  for (int64_t pixel = begin; pixel < end;) {
    int64_t oh = pixel / g.out_w, ow = pixel % g.out_w;
    int64_t row_end = std::min(end, (oh + 1) * g.out_w);
    int64_t h = oh * g.conv.stride.h + kh * g.conv.dilation.h - g.pad.top;
    int64_t w = ow * g.conv.stride.w + kw * g.conv.dilation.w - g.pad.left;
    bool inside = h >= 0 && h < in_h;
    for (; pixel < row_end; ++pixel, w += g.conv.stride.w)
      *column++ = inside && w >= 0 && w < in_w ? plane[h * in_w + w] : 0.0;
  }
}

// out[p] += sum over t of weights[t] * columns[t][p].
void accumulate(double* __restrict out, const double* weights, const double* __restrict columns, int64_t taps,
                int64_t pixels) {
  int64_t t = 0;
  for (; t + 4 <= taps; t += 4, columns += 4 * kPixelBlock) {
    double w0 = weights[t], w1 = weights[t + 1], w2 = weights[t + 2], w3 = weights[t + 3];
    const double *c0 = columns, *c1 = c0 + kPixelBlock, *c2 = c1 + kPixelBlock, *c3 = c2 + kPixelBlock;
    for (int64_t p = 0; p < pixels; ++p) out[p] += w0 * c0[p] + w1 * c1[p] + w2 * c2[p] + w3 * c3[p];
  }
  for (; t < taps; ++t, columns += kPixelBlock)
    for (int64_t p = 0; p < pixels; ++p) out[p] += weights[t] * columns[p];
}

// The group's output channels, whose planes start at `out`, from its input channels, which start at `x`.
void convolve_group(const Geometry& g, const double* x, const double* weights, double* out) {
  int64_t in_plane = g.x.type.shape.h() * g.x.type.shape.w(), out_plane = g.out_h * g.out_w;
  int64_t kernel_area = g.conv.kernel.h * g.conv.kernel.w;
  std::vector<double> columns(kTapBlock * kPixelBlock);
  for (int64_t pixel = 0; pixel < out_plane; pixel += kPixelBlock) {
    int64_t pixels = std::min(kPixelBlock, out_plane - pixel);
    for (int64_t tap = 0; tap < g.taps; tap += kTapBlock) {
      int64_t taps = std::min(kTapBlock, g.taps - tap);
      for (int64_t t = 0; t < taps; ++t)
        gather_tap(g, x + (tap + t) / kernel_area * in_plane, tap + t, pixel, pixel + pixels,
                   &columns[t * kPixelBlock]);
      for (int64_t oc = 0; oc < g.group_out; ++oc)
        accumulate(out + oc * out_plane + pixel, weights + oc * g.taps + tap, columns.data(), taps, pixels);
    }
  }
}

}  // namespace

void Conv::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const Tensor &x = *operands[0], &weight = *operands[1];
  const Shape &in_shape = x.type.shape, &out_shape = out.type.shape;
  Geometry g{x, *this, resolve_padding(window_of(*this), in_shape.h(), in_shape.w()), out_shape.h(),
             out_shape.w()};
  g.group_in = in_shape.c() / groups;
  g.group_out = channels / groups;
  g.taps = g.group_in * kernel.h * kernel.w;
  int64_t in_plane = in_shape.h() * in_shape.w(), out_plane = g.out_h * g.out_w;
  for (int64_t n = 0; n < in_shape.n(); ++n) {
    for (int64_t oc = 0; oc < channels; ++oc)
      std::fill_n(&out.at(n, oc, 0, 0), out_plane, bias ? operands[2]->data[oc] : 0.0);
    for (int64_t group = 0; group < groups; ++group)
      convolve_group(g, x.data.data() + (n * in_shape.c() + group * g.group_in) * in_plane,
                     weight.data.data() + group * g.group_out * g.taps,
                     out.data.data() + (n * channels + group * g.group_out) * out_plane);
  }
}

double Conv::flops(std::span<const TensorType> operands, const TensorType& out) const {
  double taps = static_cast<double>(operands[0].shape.c() / groups * kernel.h * kernel.w);
  return static_cast<double>(out.shape.elements()) * (2 * taps + (bias ? 1 : 0));
}

}  // namespace cardinal
