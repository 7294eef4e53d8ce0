#include "ir/ops/channels.h"

#include <fmt/format.h>

namespace cardinal {

std::optional<int64_t> range_start(std::span<const ChannelSource> sources) {
  if (sources.empty()) return {};
  const int64_t first = sources[0].channel;
  for (size_t i = 0; i < sources.size(); ++i)
    if (sources[i] != ChannelSource{first + static_cast<int64_t>(i)}) return {};
  return first;
}

void evaluate_sources(std::span<const ChannelSource> sources, const Tensor& x, Tensor& out) {
  const Shape& shape = out.type.shape;
  const int64_t height = shape.h(), width = shape.w();
  auto to = out.data.begin();
  for (int64_t n = 0; n < shape.n(); ++n)
    for (const ChannelSource& source : sources)
      for (int64_t h = source.dh; h < height + source.dh; ++h)
        for (int64_t w = source.dw; w < width + source.dw; ++w)
          *to++ = h >= 0 && h < height && w >= 0 && w < width ? x.at(n, source.channel, h, w) : 0.0;
}

Inferred Slice::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() != 4 && x.shape.rank() != 2)
    return OpError{fmt::format("slice needs an input [N, C, H, W] or [N, C], got {}", to_string(x)), {}, 0};
  const int64_t last = end == 0 ? x.shape.c() : end;
  if (begin < 0 || begin >= x.shape.c())
    return OpError{fmt::format("begin must be one of the {} channels, from 0; got {}", x.shape.c(), begin),
                   "begin"};
  if (last <= begin || last > x.shape.c())
    return OpError{fmt::format("end must be above begin={} and at most the {} channels; got {}", begin,
                               x.shape.c(), end),
                   "end"};
  TensorType out = x;
  out.shape[1] = last - begin;
  return out;
}

std::vector<ChannelSource> Slice::sources(int64_t channels) const {
  std::vector<ChannelSource> out;
  for (int64_t c = begin; c < (end == 0 ? channels : end); ++c) out.push_back({c});
  return out;
}

void Slice::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_sources(sources(operands[0]->type.shape.c()), *operands[0], out);
}

Inferred ChannelShuffle::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() != 4 && x.shape.rank() != 2)
    return OpError{
        fmt::format("channel_shuffle needs an input [N, C, H, W] or [N, C], got {}", to_string(x)), {}, 0};
  if (groups < 1) return OpError{fmt::format("groups must be at least 1, got {}", groups), "groups"};
  if (x.shape.c() % groups != 0)
    return OpError{fmt::format("{} channels are not divisible by groups={}", x.shape.c(), groups), "groups"};
  return x;
}

std::vector<ChannelSource> ChannelShuffle::sources(int64_t channels) const {
  std::vector<ChannelSource> out;
  for (int64_t c = 0; c < channels; ++c) out.push_back({c % groups * (channels / groups) + c / groups});
  return out;
}

void ChannelShuffle::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_sources(sources(operands[0]->type.shape.c()), *operands[0], out);
}

Inferred Shift::infer(std::span<const TensorType> operands) const {
  const TensorType& x = operands[0];
  if (x.shape.rank() != 4)
    return OpError{fmt::format("shift needs an input [N, C, H, W], got {}", to_string(x)), {}, 0};
  for (const auto& [pair, field] : {std::pair{kernel, "kernel"}, std::pair{dilation, "dilation"}})
    if (pair.h < 1 || pair.w < 1 || pair.h > kMaxDim || pair.w > kMaxDim)
      return OpError{fmt::format("{} must be from 1 to {}, got [{}, {}]", field, kMaxDim, pair.h, pair.w),
                     field};
  if (kernel.h * kernel.w > x.shape.c())
    return OpError{
        fmt::format("a shift by {}x{} kernel taps needs as many channels or more; the input has {}", kernel.h,
                    kernel.w, x.shape.c()),
        "kernel"};
  return x;
}

std::vector<ChannelSource> Shift::sources(int64_t channels) const {
  const int64_t taps = kernel.h * kernel.w, width = channels / taps;
  std::vector<ChannelSource> out;
  for (int64_t c = 0; c < channels; ++c) {
    const int64_t tap = c / width;
    out.push_back({c});
    if (tap >= taps) continue;
    out.back().dh = dilation.h * (tap / kernel.w - kernel.h / 2);
    out.back().dw = dilation.w * (tap % kernel.w - kernel.w / 2);
  }
  return out;
}

void Shift::evaluate(std::span<const Tensor* const> operands, Tensor& out) const {
  evaluate_sources(sources(operands[0]->type.shape.c()), *operands[0], out);
}

}  // namespace cardinal
