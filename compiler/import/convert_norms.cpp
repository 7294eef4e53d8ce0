// Normalisations.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/attributes.h"
#include "compiler/import/converter.h"
#include "compiler/import/fold_constants.h"

namespace cardinal::onnx_import {

namespace {

void convert_batch_norm(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  bool old_training =
      c.graph().opset < 7 && int_attribute(node, "is_test", 0) == 0 && node.outputs.size() > 1;
  if (int_attribute(node, "training_mode", 0) != 0 || old_training)
    return void(c.refuse(node,
                         "it computes the statistics of its batch (training mode); export the model for "
                         "inference"));
  if (int_attribute(node, "spatial", 1) == 0) return void(c.refuse(node, "spatial=0"));
  auto layer = c.image(node, *x);
  if (!layer) return;
  LayerRequest request{"batch_norm", {{"eps", {float_attribute(node, "epsilon", 1e-5)}}}, {*layer}, {}};
  const char* suffixes[] = {"weight", "bias", "running_mean", "running_var"};
  for (size_t i = 0; i < 4; ++i) {
    ConstantPtr weight = c.constant(node, i + 1);
    if (!weight) return void(c.refuse(node, fmt::format("its {} is computed by the network", suffixes[i])));
    request.weights.push_back({suffixes[i], weight, node.input(i + 1)});
  }
  if (auto made = c.add_layer(node, request)) c.set_layer(node, *made, x->view.dims.size());
}

void convert_layer_norm(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  const Shape& shape = c.layer(x->layer).type.shape;
  auto axes = axes_of(x->view, shape);
  auto rank = static_cast<int64_t>(x->view.dims.size());
  int64_t axis = int_attribute(node, "axis", -1);
  bool over_channels = axes && !axes->empty() && axes->back() == 1 && (axis == -1 || axis == rank - 1);
  if (!over_channels)
    return void(c.refuse(node, "it normalises over something else than the channels of a pixel"));
  ConstantPtr weight = c.constant(node, 1), bias = c.constant(node, 2);
  if (!weight || (!bias && !node.input(2).empty()))
    return void(c.refuse(node, "its weights are computed by the network"));
  LayerRequest request{"layer_norm",
                       {{"eps", {float_attribute(node, "epsilon", 1e-5)}}, {"shift", {bias != nullptr}}},
                       {x->layer},
                       {{"weight", weight, node.input(1)}}};
  if (bias) request.weights.push_back({"bias", bias, node.input(2)});
  auto made = c.add_layer(node, request);
  if (made) c.set(node, 0, TensorRef{*made, x->view, {}});
}

bool all_are(const Constant& constant, float value) {
  return std::all_of(constant.floats.begin(), constant.floats.end(), [&](float v) { return v == value; });
}

// One value a group as one a channel.
ConstantPtr repeated(const ConstantPtr& x, int64_t channels) {
  const auto count = x->elements();
  if (count == channels || count == 0 || channels % count != 0 || !x->is_float) return x;
  std::vector<float> values;
  for (int64_t c = 0; c < channels; ++c)
    values.push_back(x->floats[static_cast<size_t>(c / (channels / count))]);
  return float_vector(std::move(values));
}

// A group norm over the layer's channels whose weights have a value for each group or channel; where they do
// nothing the layer has none.
std::optional<size_t> group_norm(Converter& c, const OnnxNode& node, size_t layer, int64_t groups) {
  ConstantPtr scale = c.constant(node, 1), shift = c.constant(node, 2);
  if (!scale || !shift) return c.refuse(node, "its weights are computed by the network");
  const int64_t channels = c.layer(layer).type.shape.c();
  const bool plain = all_are(*scale, 1) && all_are(*shift, 0);
  LayerRequest request{
      groups == channels ? "instance_norm" : "group_norm",
      {{"eps", {float_attribute(node, "epsilon", 1e-5)}}, {"scale", {!plain}}, {"shift", {!plain}}},
      {layer},
      {}};
  if (groups != channels) request.attributes.push_back({"groups", {groups}});
  if (!plain)
    request.weights = {{"weight", repeated(scale, channels), node.input(1)},
                       {"bias", repeated(shift, channels), node.input(2)}};
  return c.add_layer(node, request);
}

void convert_group_norm(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  auto layer = c.image(node, *x);
  if (!layer) return;
  if (auto made = group_norm(c, node, *layer, int_attribute(node, "num_groups", 1)))
    c.set_layer(node, *made, x->view.dims.size());
}

// How many groups the operand's channels are cut into, [N, groups, the rest]: what PyTorch exports of a group
// norm.
std::optional<int64_t> groups_of(const Converter& c, const TensorRef& x) {
  const Shape& shape = c.layer(x.layer).type.shape;
  if (x.view.dims.size() != 3 || shape.rank() != 4) return std::nullopt;
  const std::vector<Atom> groups = joined(x.view.dims[1]);
  if (groups.size() > 1) return std::nullopt;
  const int64_t count = groups.empty() ? 1 : groups[0].size;
  View whole;
  whole.dims = {View::whole(shape).order()};
  const bool in_order = x.view.order() == whole.order();
  if (!in_order || shape.c() % count != 0) return std::nullopt;
  const bool of_channels = groups.empty() || (groups[0].axis == 1 && groups[0].stride == shape.c() / count);
  return of_channels && x.view.sizes()[0] == shape.n() ? std::optional(count) : std::nullopt;
}

void convert_instance_norm(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  if (auto groups = groups_of(c, *x)) {
    if (auto made = group_norm(c, node, x->layer, *groups)) c.set(node, 0, TensorRef{*made, x->view, {}});
    return;
  }
  auto layer = c.image(node, *x);
  if (!layer) return;
  if (auto made = group_norm(c, node, *layer, c.layer(*layer).type.shape.c()))
    c.set_layer(node, *made, x->view.dims.size());
}

void convert_response_norm(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  int64_t size = int_attribute(node, "size", 0);
  if (size % 2 == 0)
    return void(
        c.refuse(node, fmt::format("its size is {}: an even one reaches further to the other side than "
                                   "local_response_norm",
                                   size)));
  auto layer = c.image(node, *x);
  if (!layer) return;
  auto made = c.add_layer(node, {"local_response_norm",
                                 {{"size", {size}},
                                  {"alpha", {float_attribute(node, "alpha", 1e-4)}},
                                  {"beta", {float_attribute(node, "beta", 0.75)}},
                                  {"k", {float_attribute(node, "bias", 1)}}},
                                 {*layer},
                                 {}});
  if (made) c.set_layer(node, *made, x->view.dims.size());
}

}  // namespace

void add_norm_handlers(Handlers& handlers) {
  handlers["BatchNormalization"] = convert_batch_norm;
  handlers["LayerNormalization"] = convert_layer_norm;
  handlers["GroupNormalization"] = convert_group_norm;
  handlers["InstanceNormalization"] = convert_instance_norm;
  handlers["LRN"] = convert_response_norm;
}

}  // namespace cardinal::onnx_import
