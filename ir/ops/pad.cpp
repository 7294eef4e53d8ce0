#include "ir/ops/pad.h"

#include <fmt/format.h>

namespace cardinal {

Inferred Pad::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() != 4)
    return OpError{fmt::format("pad needs an input [N, C, H, W], got {}", to_string(x)), {}, 0};
  if (padding.mode != Padding::Mode::explicit_)
    return OpError{fmt::format("pad has no window to go by; write the padding's size instead of {}",
                               to_string(to_attr(padding))),
                   "padding"};
  for (int64_t side : {padding.top, padding.left, padding.bottom, padding.right})
    if (side < -kMaxDim || side > kMaxDim)
      return OpError{fmt::format("padding must be from {} to {}, got {}", -kMaxDim, kMaxDim, side),
                     "padding"};
  TensorType out = x;
  out.shape[2] += padding.top + padding.bottom;
  out.shape[3] += padding.left + padding.right;
  if (std::string problem = shape_problem(out.shape); !problem.empty())
    return OpError{"the result's " + problem, "padding"};
  return out;
}

void Pad::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  const Tensor& x = *operands[0];
  const Shape &in = x.type.shape, &shape = out.type.shape;
  auto to = out.data.begin();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < shape.c(); ++c)
      for (int64_t h = -padding.top; h < shape.h() - padding.top; ++h)
        for (int64_t w = -padding.left; w < shape.w() - padding.left; ++w)
          *to++ = h >= 0 && h < in.h() && w >= 0 && w < in.w() ? x.at(n, c, h, w) : value;
}

}  // namespace cardinal
