// What each framework's networks and weight files take for granted. A network's source names its convention;
// in the graph all of it is spelled out, in attributes and in the names of weights.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "ir/op.h"

namespace cardinal {

// The name of a layer's weight is collection + layer + "." + own.
struct WeightName {
  std::string_view collection;  // "params.", or none
  std::string_view own;         // "kernel"
};

struct Convention {
  std::string_view name;
  std::array<WeightName, kRoles> weight_names;  // by Role
  bool output_channels_last;                    // how kernels are stored
  Layout layout;                                // of inputs and outputs that state none
  FlattenOrder flatten;
  Padding::Mode same;  // what `padding=same` says
  bool count_include_pad;
  double batch_norm_eps;
  double layer_norm_eps;       // group_norm's and instance_norm's too
  bool instance_norm_weights;  // whether it has scale and shift
  DepthOrder depth_order;      // of space_to_depth and depth_to_space
  double leaky_relu_slope;
  bool approximate_gelu;
};

std::span<const Convention> conventions();                 // the first is the default
const Convention* find_convention(std::string_view name);  // nullptr if there is none

std::string weight_name(const Convention&, const std::string& layer, const Parameter&);
// The layer whose weight of this role has this name, if the convention makes such names.
std::optional<std::string> layer_of_weight(const Convention&, std::string_view name, Role);
StoredOrder stored_order(const Convention&, Role, const Shape&);
Weight weight_of(const Convention&, const Parameter&);

// Sets the attributes whose defaults differ between conventions.
void set_defaults(const Convention&, OpAttrs&);
// Replaces `padding=same` by what it says.
void resolve_same_padding(const Convention&, OpAttrs&);

}  // namespace cardinal
