#include "ir/convention.h"

#include <algorithm>

namespace cardinal {

namespace {

constexpr Convention kConventions[] = {
    {.name = "pytorch",
     .weight_names = {{{"", "weight"},        // kernel
                       {"", "bias"},          // bias
                       {"", "weight"},        // scale
                       {"", "bias"},          // shift
                       {"", "running_mean"},  // mean
                       {"", "running_var"},   // variance
                       {"", "weight"}}},      // slope
     .output_channels_last = false,
     .layout = Layout::nchw,
     .flatten = FlattenOrder::chw,
     .same = Padding::Mode::same,
     .count_include_pad = true,
     .batch_norm_eps = 1e-5,
     .layer_norm_eps = 1e-5,
     .instance_norm_weights = false,
     .depth_order = DepthOrder::crd,
     .leaky_relu_slope = 0.01,
     .approximate_gelu = false},
    {.name = "mxnet",
     .weight_names = {{{"", "weight"},
                       {"", "bias"},
                       {"", "gamma"},
                       {"", "beta"},
                       {"", "running_mean"},
                       {"", "running_var"},
                       {"", "alpha"}}},
     .output_channels_last = false,
     .layout = Layout::nchw,
     .flatten = FlattenOrder::chw,
     .same = Padding::Mode::same,
     .count_include_pad = true,
     .batch_norm_eps = 1e-5,
     .layer_norm_eps = 1e-5,
     .instance_norm_weights = true,
     .depth_order = DepthOrder::dcr,
     .leaky_relu_slope = 0.01,
     .approximate_gelu = false},
    {.name = "keras",
     .weight_names = {{{"", "kernel"},
                       {"", "bias"},
                       {"", "gamma"},
                       {"", "beta"},
                       {"", "moving_mean"},
                       {"", "moving_variance"},
                       {"", "alpha"}}},
     .output_channels_last = true,
     .layout = Layout::nhwc,
     .flatten = FlattenOrder::hwc,
     .same = Padding::Mode::same_upper,
     .count_include_pad = false,
     .batch_norm_eps = 1e-3,
     .layer_norm_eps = 1e-3,
     .instance_norm_weights = true,
     .depth_order = DepthOrder::dcr,
     .leaky_relu_slope = 0.3,
     .approximate_gelu = false},
    {.name = "flax",
     .weight_names = {{{"params.", "kernel"},
                       {"params.", "bias"},
                       {"params.", "scale"},
                       {"params.", "bias"},
                       {"batch_stats.", "mean"},
                       {"batch_stats.", "var"},
                       {"params.", "negative_slope"}}},
     .output_channels_last = true,
     .layout = Layout::nhwc,
     .flatten = FlattenOrder::hwc,
     .same = Padding::Mode::same_upper,
     .count_include_pad = true,
     .batch_norm_eps = 1e-5,
     .layer_norm_eps = 1e-6,
     .instance_norm_weights = true,
     .depth_order = DepthOrder::dcr,
     .leaky_relu_slope = 0.01,
     .approximate_gelu = true},
};

const WeightName& name_of(const Convention& convention, Role role) {
  return convention.weight_names[static_cast<size_t>(role)];
}

}  // namespace

std::span<const Convention> conventions() { return kConventions; }

const Convention* find_convention(std::string_view name) {
  auto found = std::find_if(std::begin(kConventions), std::end(kConventions),
                            [&](const Convention& convention) { return convention.name == name; });
  return found == std::end(kConventions) ? nullptr : found;
}

std::string weight_name(const Convention& convention, const std::string& layer, const Parameter& parameter) {
  const WeightName& name = name_of(convention, parameter.role);
  std::string text = std::string(name.collection) + layer;
  if (!parameter.named_as_layer) text.append(".").append(name.own);
  return text;
}

std::optional<std::string> layer_of_weight(const Convention& convention, std::string_view name, Role role) {
  const auto& [collection, own] = name_of(convention, role);
  if (!name.starts_with(collection) || !name.ends_with(own)) return {};
  if (name.size() < collection.size() + 2 + own.size() || name[name.size() - own.size() - 1] != '.')
    return {};
  name.remove_prefix(collection.size());
  name.remove_suffix(own.size() + 1);
  return std::string(name);
}

StoredOrder stored_order(const Convention& convention, Role role, const Shape& shape) {
  if (role != Role::kernel || !convention.output_channels_last) return StoredOrder::as_written;
  return shape.rank() == 2 ? StoredOrder::io : shape.rank() == 3 ? StoredOrder::wio : StoredOrder::hwio;
}

Weight weight_of(const Convention& convention, const Parameter& parameter) {
  return {parameter.shape, parameter.role, stored_order(convention, parameter.role, parameter.shape)};
}

void set_defaults(const Convention& convention, OpAttrs& op) {
  if (auto* norm = std::get_if<BatchNorm>(&op)) norm->eps = convention.batch_norm_eps;
  if (auto* norm = std::get_if<LayerNorm>(&op)) norm->eps = convention.layer_norm_eps;
  if (auto* norm = std::get_if<GroupNorm>(&op)) norm->eps = convention.layer_norm_eps;
  if (auto* norm = std::get_if<InstanceNorm>(&op)) {
    norm->eps = convention.layer_norm_eps;
    norm->scale = norm->shift = convention.instance_norm_weights;
  }
  if (auto* depth = std::get_if<SpaceToDepth>(&op)) depth->order = convention.depth_order;
  if (auto* depth = std::get_if<DepthToSpace>(&op)) depth->order = convention.depth_order;
  if (auto* relu = std::get_if<LeakyRelu>(&op)) relu->negative_slope = convention.leaky_relu_slope;
  if (auto* gelu = std::get_if<Gelu>(&op)) gelu->approximate = convention.approximate_gelu;
  if (auto* pool = std::get_if<AvgPool>(&op)) pool->count_include_pad = convention.count_include_pad;
  if (auto* flatten = std::get_if<Flatten>(&op)) flatten->order = convention.flatten;
}

void resolve_same_padding(const Convention& convention, OpAttrs& op) {
  Padding* padding = nullptr;
  if (auto* conv = std::get_if<Conv>(&op)) padding = &conv->padding;
  if (auto* pool = std::get_if<MaxPool>(&op)) padding = &pool->padding;
  if (auto* pool = std::get_if<AvgPool>(&op)) padding = &pool->padding;
  if (padding && padding->mode == Padding::Mode::same) padding->mode = convention.same;
}

}  // namespace cardinal
