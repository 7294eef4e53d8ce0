#include "passes/packing.h"

#include <cardinal/packaging.h>
#include <cardinal/weight_forms.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <tuple>

#include "ir/interpreter.h"
#include "passes/gpu_packing.h"
#include "passes/planner.h"
#include "passes/strassen.h"
#include "passes/tiling.h"
#include "passes/weight_former.h"

namespace cardinal {

namespace {

// Input channels [begin, end) that panel p reduces over.
std::pair<int64_t, int64_t> panel_channels(const ConvKernel& kernel, int64_t p) {
  const int64_t first = kernel.first_block.empty() ? 0 : kernel.first_block[static_cast<size_t>(p)];
  return {first * kChannelBlock, std::min((first + kernel.reduce_blocks) * kChannelBlock, kernel.shape.ic)};
}

const GpuConvKernel& gpu_conv(const Step& step, const PackedWeight& weight) {
  const auto* pair = std::get_if<GpuConvPairKernel>(&step.kernel);
  if (!pair) return std::get<GpuConvKernel>(step.kernel);
  return weight.second ? pair->second : pair->first;
}

int64_t packed_floats(const Step& step, const PackedWeight& weight) {
  const Packing packing = weight.packing;
  const View& output = weight.second ? *step.second_output : step.output;
  const int64_t blocks = output.blocks(), ic = step.inputs[0].shape.c();
  if (packing == Packing::strassen_products) return blocks / 2 * strassen_block_floats(ic);
  if (packing == Packing::strassen_ratios) return ic / 2;
  if (packing == Packing::strassen_scales) {
    const bool outer = weight.product < 0 && std::get<StrassenKernel>(step.kernel).outer_scale;
    return (outer ? blocks : blocks / 2) * kChannelBlock;
  }
  if (packing == Packing::channel_vector) return blocks * kChannelBlock;
  if (packing == Packing::taps) return round_up(std::get<ChannelConvKernel>(step.kernel).size, kChannelBlock);
  if (packing == Packing::gpu_conv) return gpu_packed_floats(gpu_conv(step, weight));
  const ConvKernel& kernel = std::get<ConvKernel>(step.kernel);
  const ConvShape& s = kernel.shape;
  if (packing != Packing::conv_lanes) return ceil_div(s.oc, kChannelBlock) * weight_block_floats(kernel);
  return blocks * s.kh * s.kw * (s.ic / s.groups) * kChannelBlock;
}

// The weights of one output channel: of a tensor [OC, IC / groups, KH, KW], or [OC, IC] of a linear layer.
struct OutputChannel {
  const double* first = nullptr;  // of input channel `begin`
  int64_t begin = 0, end = 0;     // input channels of its group; none beyond the last output channel
  int64_t taps = 1;
  float at(int64_t ic, int64_t tap) const {
    return ic >= begin && ic < end ? static_cast<float>(first[(ic - begin) * taps + tap]) : 0.0f;
  }
};

OutputChannel output_channel(const ConvShape& s, const Tensor& weight, int64_t oc) {
  if (oc >= s.oc) return {};
  const int64_t icg = s.ic / s.groups, group = oc / (s.oc / s.groups), taps = s.kh * s.kw;
  return {weight.data.data() + oc * icg * taps, group * icg, (group + 1) * icg, taps};
}

void pack_panels(const ConvKernel& kernel, const Tensor& weight, std::span<float> out) {
  const ConvShape& s = kernel.shape;
  const auto block_floats = static_cast<size_t>(weight_block_floats(kernel));
  for (int64_t oc = 0; oc < s.oc; oc += kChannelBlock) {
    const auto [begin, end] = panel_channels(kernel, oc / kChannelBlock / kernel.panel);
    std::array<OutputChannel, kChannelBlock> lanes;
    for (int64_t lane = 0; lane < kChannelBlock; ++lane)
      lanes[static_cast<size_t>(lane)] = output_channel(s, weight, oc + lane);
    float* to = out.subspan(static_cast<size_t>(oc / kChannelBlock) * block_floats, block_floats).data();
    for (int64_t block = begin; block < end; block += kChannelBlock)
      for (int64_t tap = 0; tap < s.kh * s.kw; ++tap)
        for (int64_t ic = block; ic < std::min(block + kChannelBlock, end); ++ic)
          for (const OutputChannel& lane : lanes) *to++ = lane.at(ic, tap);
  }
}

void pack_lanes(const ConvKernel& kernel, const Tensor& weight, std::span<float> out) {
  const ConvShape& s = kernel.shape;
  const int64_t width = s.ic / s.groups;
  float* to = out.data();
  for (int64_t oc = 0; oc < s.oc; oc += kChannelBlock)
    for (int64_t ky = 0; ky < s.kh; ++ky)
      for (int64_t k = 0; k < width; ++k)
        for (int64_t kx = 0; kx < s.kw; ++kx)
          for (int64_t lane = oc; lane < oc + kChannelBlock; ++lane)
            *to++ = output_channel(s, weight, lane).at(lane / width * width + k, ky * s.kw + kx);
}

void to_floats(std::span<const double> values, std::span<float> out) {
  std::transform(values.begin(), values.end(), out.begin(), [](double x) { return static_cast<float>(x); });
}

void copy(std::span<const float> values, std::span<float> out) { std::ranges::copy(values, out.begin()); }

void pack_channels(const PackedWeight& weight, const Tensor& constant, std::span<float> out) {
  if (constant.data.size() == 1)
    return std::fill(out.begin(), out.end(), static_cast<float>(constant.data[0]));
  const std::span<const double> values =
      std::span(constant.data).subspan(static_cast<size_t>(weight.first_channel));
  to_floats(values.first(std::min(values.size(), out.size())), out);
}

void pack(const Step& step, const PackedWeight& weight, const Tensor& constant, WeightFormer& former,
          std::span<float> out) {
  switch (weight.packing) {
    case Packing::channel_vector:
      return pack_channels(weight, constant, out);
    case Packing::taps:
      return to_floats(constant.data, out);
    case Packing::strassen_ratios:
      return copy(former.factors(weight, constant).ratios, out);
    case Packing::strassen_scales:
      return copy(former.factors(weight, constant).scales, out);
    case Packing::gpu_conv:
      return pack_gpu_conv(gpu_conv(step, weight), constant, out);
    case Packing::conv_lanes:
      return pack_lanes(std::get<ConvKernel>(step.kernel), constant, out);
    default:
      return pack_panels(std::get<ConvKernel>(step.kernel), constant, out);
  }
}

// Collects what a compact weight file holds, if there is to be one.
class Compacting {
 public:
  explicit Compacting(CompactWeights* to) : to_(to) {}

  void add(const PackedWeight& weight, std::span<const float> packed) {
    if (!to_) return;
    cardinal_weight_form form{};
    form.kind = CARDINAL_FORM_COPY;
    form.source = store(packed);
    form.packed = static_cast<uint64_t>(weight.offset);
    form.rows = packed.size();
    form.columns = 1;
    to_->forms.push_back(form);
  }

  void add(const PackedWeight& weight, const FormedWeight& formed) {
    if (!to_) return;
    if (kernel_ != weight.constant) place_ = store(formed.kernel);
    kernel_ = weight.constant;
    cardinal_weight_form form = formed.form;
    form.source = place_;
    form.factors = store(formed.factors);
    form.packed = static_cast<uint64_t>(weight.offset);
    to_->forms.push_back(form);
  }

 private:
  uint64_t store(std::span<const float> floats) {
    to_->stored.insert(to_->stored.end(), floats.begin(), floats.end());
    return to_->stored.size() - floats.size();
  }

  CompactWeights* to_;
  std::optional<NodeId> kernel_;  // the last one stored
  uint64_t place_ = 0;
};

// What the packed bytes depend on. Weights of one constant differ with the input blocks that each output
// block reduces over.
using PackingKey = std::tuple<NodeId, Packing, int64_t, std::vector<int64_t>, int64_t>;

bool depends_on_kernel(Packing packing) {
  return packing == Packing::conv_panels || packing == Packing::conv_lanes ||
         packing == Packing::winograd_f2 || packing == Packing::winograd_f4;
}

PackingKey packing_key(const Step& step, const PackedWeight& weight) {
  if (weight.packing == Packing::gpu_conv)
    return {weight.constant, weight.packing, weight.floats, gpu_packing_key(gpu_conv(step, weight)), 1};
  if (!depends_on_kernel(weight.packing))
    return {weight.constant, weight.packing, weight.floats, {weight.first_channel}, weight.product};
  const ConvKernel& kernel = std::get<ConvKernel>(step.kernel);
  std::vector<int64_t> first_block;
  for (int64_t block = 0; block < ceil_div(kernel.shape.oc, kChannelBlock); ++block)
    first_block.push_back(panel_channels(kernel, block / kernel.panel).first);
  return {weight.constant, weight.packing, kernel.reduce_blocks, std::move(first_block), kernel.shape.groups};
}

}  // namespace

void lay_out_weights(std::span<Plan> plans) {
  std::map<PackingKey, int64_t> places;
  int64_t end = 0;
  for (Plan& plan : plans)
    for (Step& step : plan.steps)
      for (PackedWeight& weight : step.weights) {
        weight.floats = packed_floats(step, weight);
        const auto [place, is_new] = places.try_emplace(packing_key(step, weight), end);
        weight.offset = place->second;
        if (is_new) end += weight.floats;
      }
  for (Plan& plan : plans) plan.weights_floats = end;
}

int64_t weights_read(const Plan& plan) {
  std::set<int64_t> counted;
  int64_t floats = 0;
  for (const Step& step : plan.steps)
    for (const PackedWeight& weight : step.weights)
      if (counted.insert(weight.offset).second) floats += weight.floats;
  return floats;
}

std::vector<float> pack_weights(const Graph& graph, std::span<const Plan> plans, const WeightStore& store,
                                CompactWeights* compact) {
  std::vector<float> packed(static_cast<size_t>(plans.front().weights_floats));
  std::optional<NodeId> evaluated;
  Tensor constant;
  WeightFormer former;
  Compacting compacting(compact);
  int64_t done = 0;  // offsets grow with the steps, except where a section is shared
  for (const Plan& plan : plans)
    for (const Step& step : plan.steps)
      for (const PackedWeight& weight : step.weights) {
        if (weight.offset < done) continue;
        done = weight.offset + weight.floats;
        if (evaluated != weight.constant) constant = evaluate_constant(graph, weight.constant, store);
        evaluated = weight.constant;
        const std::span<float> out =
            std::span(packed).subspan(static_cast<size_t>(weight.offset), static_cast<size_t>(weight.floats));
        if (is_formed(weight.packing)) {
          const FormedWeight formed = former.form(weight, constant);
          form_weights(formed.form, formed.kernel.data(), formed.factors.data(), out.data());
          compacting.add(weight, formed);
        } else {
          pack(step, weight, constant, former, out);
          compacting.add(weight, out);
        }
      }
  return packed;
}

}  // namespace cardinal
