#include "ir/window.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/ops/conv.h"
#include "ir/ops/pool.h"

namespace cardinal {

namespace {

// One axis of a window.
struct Axis {
  int64_t kernel, stride, dilation, before, after, in;
  int64_t reach() const {
    return dilation * (kernel - 1) + 1;
  }  // elements from the first tap to the last, inclusive
  int64_t padded() const { return in + before + after; }
};

void resolve_axis(Padding::Mode mode, Axis& axis) {
  if (mode == Padding::Mode::explicit_) return;
  int64_t total = axis.reach() - 1;
  if (mode == Padding::Mode::same_upper)
    total = std::max<int64_t>(0, (ceil_div(axis.in, axis.stride) - 1) * axis.stride + axis.reach() - axis.in);
  axis.before = total / 2;
  axis.after = total - axis.before;
}

Axis axis_h(const Window& w, int64_t in_h) {
  Axis axis{w.kernel.h, w.stride.h, w.dilation.h, w.padding.top, w.padding.bottom, in_h};
  resolve_axis(w.padding.mode, axis);
  return axis;
}

Axis axis_w(const Window& w, int64_t in_w) {
  Axis axis{w.kernel.w, w.stride.w, w.dilation.w, w.padding.left, w.padding.right, in_w};
  resolve_axis(w.padding.mode, axis);
  return axis;
}

int64_t count_windows(const Axis& axis, bool ceil_mode) {
  int64_t room = axis.padded() - axis.reach();
  if (!ceil_mode) return room / axis.stride + 1;
  int64_t count = ceil_div(room, axis.stride) + 1;
  return (count - 1) * axis.stride >= axis.in + axis.before ? count - 1 : count;
}

std::optional<OpError> check_range(std::string_view field, int64_t value, int64_t least) {
  if (value >= least && value <= kMaxDim) return {};
  return OpError{value < least ? fmt::format("{} must be at least {}, got {}", field, least, value)
                               : fmt::format("{} must be at most {}, got {}", field, kMaxDim, value),
                 std::string(field)};
}

std::optional<OpError> check_pair(std::string_view field, Pair pair) {
  if (auto error = check_range(field, pair.h, 1)) return error;
  return check_range(field, pair.w, 1);
}

// The first window along the axis that holds no input element, or -1.
int64_t first_empty_window(const Axis& axis, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    int64_t start = i * axis.stride - axis.before;
    int64_t tap =
        start < 0 ? ceil_div(-start, axis.dilation) : 0;  // the first tap that is not left of the input
    if (tap >= axis.kernel || start + tap * axis.dilation >= axis.in) return i;
  }
  return -1;
}

}  // namespace

Window window_of(const Conv& conv) { return {conv.kernel, conv.stride, conv.dilation, conv.padding, false}; }

Window window_of(const PoolWindow& pool) {
  Pair stride{pool.stride.h == 0 ? pool.kernel.h : pool.stride.h,
              pool.stride.w == 0 ? pool.kernel.w : pool.stride.w};
  return {pool.kernel, stride, pool.dilation, pool.padding, pool.ceil_mode};
}

Padding resolve_padding(const Window& window, int64_t in_h, int64_t in_w) {
  Axis h = axis_h(window, in_h), w = axis_w(window, in_w);
  return {Padding::Mode::explicit_, h.before, w.before, h.after, w.after};
}

Pair output_size(const Window& window, int64_t in_h, int64_t in_w) {
  return {count_windows(axis_h(window, in_h), window.ceil_mode),
          count_windows(axis_w(window, in_w), window.ceil_mode)};
}

std::optional<OpError> check_window(const Window& window, int64_t in_h, int64_t in_w) {
  if (auto error = check_pair("kernel", window.kernel)) return error;
  if (auto error = check_pair("stride", window.stride)) return error;
  if (auto error = check_pair("dilation", window.dilation)) return error;
  for (int64_t side : {window.padding.top, window.padding.left, window.padding.bottom, window.padding.right})
    if (auto error = check_range("padding", side, 0)) return error;
  Axis h = axis_h(window, in_h), w = axis_w(window, in_w);
  if (h.reach() <= h.padded() && w.reach() <= w.padded()) return {};
  std::string kernel = fmt::format("kernel {}x{}", window.kernel.h, window.kernel.w);
  if (window.dilation != Pair{})
    kernel += fmt::format(" with dilation {}x{} reaches over {}x{}, which", window.dilation.h,
                          window.dilation.w, h.reach(), w.reach());
  return OpError{
      fmt::format("{} is larger than the padded input {}x{} (input {}x{} plus padding {}x{})", kernel,
                  h.padded(), w.padded(), in_h, in_w, h.before + h.after, w.before + w.after),
      "kernel"};
}

std::optional<OpError> check_coverage(const Window& window, int64_t in_h, int64_t in_w) {
  Pair out = output_size(window, in_h, in_w);
  Padding pad = resolve_padding(window, in_h, in_w);
  int64_t row = first_empty_window(axis_h(window, in_h), out.h),
          column = first_empty_window(axis_w(window, in_w), out.w);
  if (row < 0 && column < 0) return {};
  return OpError{
      fmt::format(
          "the window at output {} {} covers only padding: padding [{}, {}, {}, {}] is too much for a "
          "kernel of {}x{} over an input of {}x{}",
          row >= 0 ? "row" : "column", row >= 0 ? row : column, pad.top, pad.left, pad.bottom, pad.right,
          window.kernel.h, window.kernel.w, in_h, in_w),
      "padding"};
}

}  // namespace cardinal
