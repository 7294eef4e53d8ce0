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
  for (int64_t side : {channels.before, channels.after})
    if (side < -kMaxDim || side > kMaxDim)
      return OpError{fmt::format("channels must be from {} to {}, got {}", -kMaxDim, kMaxDim, side),
                     "channels"};
  if (channels.before <= -x.shape.c() || channels.after <= -x.shape.c() ||
      channels.before + channels.after <= -x.shape.c())
    return OpError{
        fmt::format("channels={} leaves none of {} channels", to_string(to_attr(channels)), x.shape.c()),
        "channels"};
  TensorType out = x;
  out.shape[1] += channels.before + channels.after;
  out.shape[2] += padding.top + padding.bottom;
  out.shape[3] += padding.left + padding.right;
  if (std::string problem = shape_problem(out.shape); !problem.empty())
    return OpError{"the result's " + problem, "padding"};
  return out;
}

Gathering Pad::gathering(const Shape& x) const {
  Gathering out{{}, {}, value};
  for (int64_t c = -channels.before; c < x.c() + channels.after; ++c)
    out.sources.push_back({c >= 0 && c < x.c() ? c : kNoChannel, -padding.top, -padding.left});
  return out;
}

void Pad::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_gathering(gathering(operands[0]->type.shape), *operands[0], out);
}

}  // namespace cardinal
