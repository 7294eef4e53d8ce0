// Convolutions and pools.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/attributes.h"
#include "compiler/import/converter.h"
#include "compiler/import/fold_constants.h"
#include "ir/window.h"

namespace cardinal::onnx_import {

namespace {

AttrValue int_list(std::initializer_list<int64_t> values) {
  AttrValue::List list;
  for (int64_t value : values) list.push_back({value});
  return {std::move(list)};
}

// An attribute with a number for each axis of the image, as [h, w]. An image of one axis lies along W.
std::optional<Pair> pair_attribute(Converter& c, const OnnxNode& node, std::string_view name, size_t axes,
                                   int64_t along_h) {
  std::vector<int64_t> list = ints_attribute(node, name);
  if (list.empty()) return Pair{1, 1};
  if (list.size() != axes)
    return c.refuse(node, fmt::format("{} has {} numbers for {} axes", name, list.size(), axes));
  return axes == 1 ? Pair{along_h, list[0]} : Pair{list[0], list[1]};
}

// What a window reads, apart from its padding, which depends on the operand's size.
struct WindowRequest {
  Window window;
  bool same_upper = false;  // the model says so; the padding is then left to the language
};

std::optional<WindowRequest> read_window(Converter& c, const OnnxNode& node, size_t axes, const Shape& x,
                                         Pair kernel) {
  auto stride = pair_attribute(c, node, "strides", axes, 1);
  auto dilation = pair_attribute(c, node, "dilations", axes, 1);
  if (!stride || !dilation) return std::nullopt;
  WindowRequest out{{kernel, *stride, *dilation, {}, int_attribute(node, "ceil_mode", 0) != 0}};
  // Checked before anything is computed from it.
  Window unpadded = out.window;
  unpadded.padding.mode = Padding::Mode::same;
  if (auto error = check_window(unpadded, x.h(), x.w())) return c.refuse(node, error->message);
  std::string mode = string_attribute(node, "auto_pad", "NOTSET");
  if (mode == "SAME_UPPER" || mode == "SAME_LOWER") {
    unpadded.padding.mode = Padding::Mode::same_upper;
    Padding pad = resolve_padding(unpadded, x.h(), x.w());
    if (mode == "SAME_LOWER") std::swap(pad.top, pad.bottom), std::swap(pad.left, pad.right);
    out.window.padding = pad;
    out.same_upper = mode == "SAME_UPPER";
  } else if (mode == "NOTSET") {
    std::vector<int64_t> pads = ints_attribute(node, "pads");
    if (pads.empty()) pads.assign(2 * axes, 0);
    if (pads.size() != 2 * axes)
      return c.refuse(node, fmt::format("pads has {} numbers for {} axes", pads.size(), axes));
    out.window.padding = axes == 1 ? Padding{Padding::Mode::explicit_, 0, pads[0], 0, pads[1]}
                                   : Padding{Padding::Mode::explicit_, pads[0], pads[1], pads[2], pads[3]};
  } else if (mode != "VALID") {
    return c.refuse(node, fmt::format("its auto_pad is '{}'", mode));
  }
  return out;
}

void add_pad(Padding& to, const Padding& pad) {
  to.top += pad.top, to.left += pad.left, to.bottom += pad.bottom, to.right += pad.right;
}

// The shortest way to write it.
AttrValue padding_value(const WindowRequest& request, const Shape& x, bool same_is_default) {
  const Padding& pad = request.window.padding;
  Window same = request.window;
  same.padding = Padding::same();
  if (same_is_default && resolve_padding(same, x.h(), x.w()) == pad) return {std::string("same")};
  if (request.same_upper) return {std::string("same_upper")};
  if (pad.top == pad.bottom && pad.left == pad.right) {
    if (pad.top == pad.left) return {pad.top};
    return int_list({pad.top, pad.left});
  }
  return int_list({pad.top, pad.left, pad.bottom, pad.right});
}

AttrValue pair_value(Pair pair) { return pair.h == pair.w ? AttrValue{pair.h} : int_list({pair.h, pair.w}); }

// The operand as an image with one or two axes; refuses others.
struct ImageOperand {
  size_t layer = 0;
  size_t axes = 2;
  Padding pad;  // waiting
};
std::optional<ImageOperand> image_operand(Converter& c, const OnnxNode& node, bool takes_padding) {
  auto x = takes_padding ? c.padded_tensor(node, 0) : c.tensor(node, 0);
  if (!x) return std::nullopt;
  size_t rank = x->view.dims.size();
  if (rank != 3 && rank != 4)
    return c.refuse(node, fmt::format("its operand has {} dimensions, expected 4: [N, C, H, W]", rank));
  auto layer = c.image(node, *x);
  if (!layer) return std::nullopt;
  bool lies_along_w = rank == 4 || c.layer(*layer).type.shape.h() == 1;
  if (!lies_along_w) return c.refuse(node, "its operand has 3 dimensions that are not those of a row");
  return ImageOperand{*layer, rank - 2, x->pad};
}

// A convolution of one row whose pixels are the channels of a layer, [N, 1, C]: over channels, as ECA-Net has
// it. Whether it is one.
bool convert_channel_conv(Converter& c, const OnnxNode& node) {
  const auto* x = std::get_if<TensorRef>(&c.value(node.input(0)));
  ConstantPtr weight = c.constant(node, 1);
  if (!x || !weight || weight->dims.size() != 3 || x->view.dims.size() != 3) return false;
  const Shape& shape = c.layer(x->layer).type.shape;
  const int64_t kernel = weight->dims[2], reach = kernel / 2;
  const auto is = [&](std::string_view name, const std::vector<int64_t>& expected) {
    const std::vector<int64_t> given = ints_attribute(node, name);
    return given == expected || (given.empty() && expected.back() == (name == "pads" ? 0 : 1));
  };
  const bool over_channels = x->view.dims[1].empty() && shape.h() * shape.w() == 1 &&
                             joined(x->view.dims[2]) == std::vector{Atom{1, shape.c(), 1}};
  const bool plain = weight->dims[0] == 1 && weight->dims[1] == 1 && kernel % 2 == 1 && is("strides", {1}) &&
                     is("dilations", {1}) && is("pads", {reach, reach}) && node.input(2).empty() &&
                     string_attribute(node, "auto_pad", "NOTSET") == "NOTSET";
  if (!over_channels || !plain) return false;
  const View view = x->view;
  auto made = c.add_layer(
      node, {"channel_conv", {{"kernel", {kernel}}}, {x->layer}, {{"weight", weight, node.input(1)}}});
  if (made) c.set(node, 0, TensorRef{*made, view, {}});
  return true;
}

void convert_conv(Converter& c, const OnnxNode& node) {
  if (convert_channel_conv(c, node)) return;
  auto x = image_operand(c, node, true);
  if (!x) return;
  ConstantPtr weight = c.constant(node, 1), bias = c.constant(node, 2);
  bool has_bias = !node.input(2).empty();
  if (!weight || (has_bias && !bias)) {
    bool is_known = std::holds_alternative<std::monostate>(c.value(node.input(weight ? 2 : 1)));
    if (!is_known) c.refuse(node, "its weights are computed by the network");
    return;
  }
  const Shape& shape = c.layer(x->layer).type.shape;
  if (weight->dims.size() != x->axes + 2 || weight->elements() == 0)
    return void(c.refuse(node, fmt::format("its weight is [{}], expected {} dimensions",
                                           fmt::join(weight->dims, ", "), x->axes + 2)));
  Pair kernel = x->axes == 1 ? Pair{1, weight->dims[2]} : Pair{weight->dims[2], weight->dims[3]};
  auto said = pair_attribute(c, node, "kernel_shape", x->axes, 1);
  if (!said) return;
  if (has_attribute(node, "kernel_shape") && *said != kernel)
    return void(c.refuse(node, fmt::format("kernel_shape is {}x{}, but its weight is [{}]", said->h, said->w,
                                           fmt::join(weight->dims, ", "))));
  auto request = read_window(c, node, x->axes, shape, kernel);
  if (!request) return;
  if (x->pad != Padding{}) {
    add_pad(request->window.padding, x->pad);
    request->same_upper = false;
  }
  int64_t groups = int_attribute(node, "group", 1);
  if (groups < 1 || shape.c() != weight->dims[1] * groups)
    return void(c.refuse(
        node,
        fmt::format("its operand has {} channels, its weight [{}] with group={} takes {}", shape.c(),
                    fmt::join(weight->dims, ", "), groups, weight->dims[1] * std::max<int64_t>(groups, 1))));
  LayerRequest layer{"conv",
                     {{"channels", {weight->dims[0]}},
                      {"kernel", pair_value(kernel)},
                      {"stride", pair_value(request->window.stride)},
                      {"padding", padding_value(*request, shape, true)},
                      {"dilation", pair_value(request->window.dilation)},
                      {"groups", {groups}},
                      {"bias", {has_bias}}},
                     {x->layer},
                     {{"weight", weight, node.input(1)}}};
  if (has_bias) layer.weights.push_back({"bias", bias, node.input(2)});
  if (auto made = c.add_layer(node, layer)) c.set_layer(node, *made, x->axes + 2);
}

// Zeros around what is never negative do not show in a maximum.
bool is_never_negative(const Layer& layer) {
  std::string_view op = op_info(layer.op).name;
  return op == "relu" || op == "relu6" || op == "sigmoid" || op == "hardsigmoid" || op == "softmax";
}

void convert_pool(Converter& c, const OnnxNode& node) {
  bool is_max = node.op_type == "MaxPool";
  auto peeked = c.padded_tensor(node, 0);
  if (!peeked) return;
  bool counts_pad = int_attribute(node, "count_include_pad", 0) != 0;
  std::vector<int64_t> pads = ints_attribute(node, "pads");
  bool is_unpadded = std::all_of(pads.begin(), pads.end(), [](int64_t pad) { return pad == 0; }) &&
                     string_attribute(node, "auto_pad", "NOTSET") == "NOTSET";
  bool takes_padding = is_max ? is_never_negative(c.layer(peeked->layer)) : counts_pad || is_unpadded;
  counts_pad = counts_pad || (takes_padding && peeked->pad != Padding{});
  auto x = image_operand(c, node, takes_padding);
  if (!x) return;
  if (node.outputs.size() > 1 && (!c.users(node.outputs[1]).empty() || c.is_output(node.outputs[1])))
    return void(c.refuse(node, "its indices are used"));
  const Shape& shape = c.layer(x->layer).type.shape;
  auto kernel = pair_attribute(c, node, "kernel_shape", x->axes, 1);
  if (!kernel) return;
  auto request = read_window(c, node, x->axes, shape, *kernel);
  if (!request) return;
  if (x->pad != Padding{}) {
    add_pad(request->window.padding, x->pad);
    request->same_upper = false;
  }
  const Window& window = request->window;
  bool is_padded = window.padding != Padding{};
  LayerRequest layer{is_max ? "max_pool" : "avg_pool",
                     {{"kernel", pair_value(*kernel)},
                      {"padding", padding_value(*request, shape, false)},
                      {"ceil_mode", {window.ceil_mode}}},
                     {x->layer},
                     {}};
  if (window.stride != window.kernel) layer.attributes.push_back({"stride", pair_value(window.stride)});
  if (is_max || window.dilation != Pair{})
    layer.attributes.push_back({"dilation", pair_value(window.dilation)});
  if (!is_max && is_padded && !counts_pad) layer.attributes.push_back({"count_include_pad", {false}});
  if (auto made = c.add_layer(node, layer)) c.set_layer(node, *made, x->axes + 2);
}

void global_pool(Converter& c, const OnnxNode& node, std::string_view op) {
  auto x = image_operand(c, node, false);
  if (!x) return;
  LayerRequest layer{op, {}, {x->layer}, {}};
  if (!find_op(op)) layer = {"adaptive_max_pool", {{"output", {int64_t{1}}}}, {x->layer}, {}};
  if (auto made = c.add_layer(node, layer)) c.set_layer(node, *made, x->axes + 2);
}

void convert_global_average(Converter& c, const OnnxNode& node) { global_pool(c, node, "global_avg_pool"); }
void convert_global_max(Converter& c, const OnnxNode& node) { global_pool(c, node, "global_max_pool"); }

// The mean or the maximum over the whole image, or over the channels, is a pool, wherever its axes lie.
void convert_reduction(Converter& c, const OnnxNode& node) {
  const bool is_max = node.op_type == "ReduceMax";
  auto x = c.tensor(node, 0);
  if (!x) return;
  auto reduced = c.ints(node, 1, "axes");
  if (!reduced) return;
  const Shape& shape = c.layer(x->layer).type.shape;
  auto axes = axes_of(x->view, shape);
  std::vector<bool> is_reduced(x->view.dims.size(), false);
  for (int64_t axis : *reduced) {
    if (axis < 0) axis += static_cast<int64_t>(is_reduced.size());
    if (axis < 0 || axis >= static_cast<int64_t>(is_reduced.size()))
      return void(c.refuse(node, fmt::format("it has no axis {}", axis)));
    is_reduced[static_cast<size_t>(axis)] = true;
  }
  bool over_image = axes && shape.rank() == 4, over_channels = axes.has_value();
  View view;
  for (size_t i = 0; axes && i < is_reduced.size(); ++i) {
    const bool any = x->view.dims[i].empty();
    over_image &= is_reduced[i] == ((*axes)[i] >= 2) || any;
    over_channels &= is_reduced[i] == ((*axes)[i] == 1) || any;
    if (!is_reduced[i])
      view.dims.push_back(x->view.dims[i]);
    else if (int_attribute(node, "keepdims", 1) != 0)
      view.dims.emplace_back();
  }
  if (!over_image && !over_channels)
    return void(c.refuse(node, "it reduces something else than the whole image, H and W, or the channels"));
  const std::string_view op = over_image ? (is_max ? "global_max_pool" : "global_avg_pool")
                                         : (is_max ? "channel_max_pool" : "channel_avg_pool");
  if (auto made = c.add_layer(node, {op, {}, {x->layer}, {}}))
    c.set(node, 0, TensorRef{*made, std::move(view), {}});
}

}  // namespace

void add_window_handlers(Handlers& handlers) {
  handlers["Conv"] = convert_conv;
  handlers["MaxPool"] = convert_pool;
  handlers["AveragePool"] = convert_pool;
  handlers["GlobalAveragePool"] = convert_global_average;
  handlers["GlobalMaxPool"] = convert_global_max;
  handlers["ReduceMean"] = convert_reduction;
  handlers["ReduceMax"] = convert_reduction;
}

}  // namespace cardinal::onnx_import
