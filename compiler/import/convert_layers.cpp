// Fully connected layers and softmax.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/import/attributes.h"
#include "compiler/import/converter.h"
#include "compiler/import/fold_constants.h"

namespace cardinal::onnx_import {

namespace {

ConstantPtr scaled(const ConstantPtr& x, double factor) {
  if (factor == 1) return x;
  auto out = std::make_shared<Constant>(*x);
  for (float& value : out->floats) value = static_cast<float>(value * factor);
  return out;
}

// A weight [OC, IC] whose input channels are put where `order` says that each lies.
ConstantPtr reordered(const ConstantPtr& weight, const std::vector<int64_t>& order) {
  if (order.empty()) return weight;
  auto out = std::make_shared<Constant>(*weight);
  size_t columns = order.size();
  for (size_t row = 0; row < static_cast<size_t>(weight->dims[0]); ++row)
    for (size_t i = 0; i < columns; ++i)
      out->floats[row * columns + static_cast<size_t>(order[i])] = weight->floats[row * columns + i];
  return out;
}

// A fully connected layer over x: `linear` over [N, features], a 1x1 convolution over the channels of pixels.
void connect(Converter& c, const OnnxNode& node, const TensorRef& x, ConstantPtr weight, ConstantPtr bias) {
  const Shape& shape = c.layer(x.layer).type.shape;
  size_t rank = x.view.dims.size();
  auto axes = axes_of(x.view, shape);
  bool over_pixels = rank > 2 && axes && shape.rank() == 4 && axes->back() == 1;
  int64_t inputs = x.view.sizes().back();
  if (!weight->is_float || weight->dims[1] != inputs || weight->dims[0] == 0)
    return void(c.refuse(
        node, fmt::format("its operand has {} features, its weight takes {}", inputs, weight->dims[1])));
  LayerRequest request{"linear", {{"channels", {weight->dims[0]}}}, {}, {}};
  if (over_pixels) {
    request.op = "conv";
    request.attributes.push_back({"kernel", {int64_t{1}}});
    request.operands = {x.layer};
  } else {
    if (rank != 2)
      return void(c.refuse(
          node, fmt::format("its operand has {} dimensions, and the last is not the channels", rank)));
    std::vector<int64_t> order;
    auto flat = c.features(node, x, order);
    if (!flat) return;
    weight = reordered(weight, order);
    request.operands = {*flat};
  }
  request.attributes.push_back({"bias", {bias != nullptr}});
  request.weights = {{"weight", weight, node.input(1)}};
  if (bias) request.weights.push_back({"bias", bias, node.input(2)});
  auto made = c.add_layer(node, request);
  if (!made) return;
  View whole = View::whole(c.layer(*made).type.shape);
  if (!over_pixels) return c.set(node, 0, TensorRef{*made, std::move(whole), {}});
  View view;
  for (int axis : *axes) view.dims.push_back(whole.dims[static_cast<size_t>(axis)]);
  c.set(node, 0, TensorRef{*made, std::move(view), {}});
}

void convert_gemm(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  ConstantPtr weight = c.constant(node, 1), bias = c.constant(node, 2);
  if (!weight || (!node.input(2).empty() && !bias))
    return void(c.refuse(node, "its weights are computed by the network"));
  if (weight->dims.size() != 2 || x->view.dims.size() != 2)
    return void(c.refuse(node, "its operands are not matrices"));
  if (int_attribute(node, "transA", 0) != 0) return void(c.refuse(node, "transA=1"));
  if (int_attribute(node, "transB", 0) == 0) weight = transposed_matrix(*weight);
  if (bias) {
    int64_t channels = weight->dims[0];
    bool fits = bias->is_float &&
                (bias->elements() == 1 ||
                 (bias->elements() == channels && !bias->dims.empty() && bias->dims.back() == channels));
    if (!fits)
      return void(
          c.refuse(node, fmt::format("its C is [{}], expected [{}]", fmt::join(bias->dims, ", "), channels)));
    if (bias->elements() != channels)
      bias = float_vector(std::vector<float>(static_cast<size_t>(channels), bias->floats[0]));
    bias = scaled(bias, float_attribute(node, "beta", 1));
  }
  connect(c, node, *x, scaled(weight, float_attribute(node, "alpha", 1)), bias);
}

void convert_matmul(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  ConstantPtr weight = c.constant(node, 1);
  if (!weight) {
    if (!std::holds_alternative<std::monostate>(c.value(node.input(1))))
      c.refuse(node, "it multiplies two tensors that the network computes");
    return;
  }
  if (weight->dims.size() != 2 || x->view.dims.size() < 2)
    return void(c.refuse(
        node, fmt::format("its second operand is [{}], expected a matrix", fmt::join(weight->dims, ", "))));
  connect(c, node, *x, transposed_matrix(*weight), nullptr);
}

void convert_softmax(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  const Shape& shape = c.layer(x->layer).type.shape;
  auto rank = static_cast<int64_t>(x->view.dims.size());
  constexpr int64_t kFirstOfOneAxis = 13;  // before, an operand was taken as a matrix, cut at the axis
  bool is_matrix = c.graph().opset < kFirstOfOneAxis;
  int64_t axis = int_attribute(node, "axis", is_matrix ? 1 : -1);
  if (axis < 0) axis += rank;
  auto axes = axes_of(x->view, shape);
  bool over_channels = axes && axis >= 0 && axis < rank && (*axes)[static_cast<size_t>(axis)] == 1;
  for (int64_t i = axis + 1; is_matrix && over_channels && i < rank; ++i)
    over_channels = x->view.dims[static_cast<size_t>(i)].empty();
  if (!over_channels) return void(c.refuse(node, "it is taken over something else than the channels"));
  std::string_view op = node.op_type == "Softmax" ? "softmax" : "log_softmax";
  if (auto made = c.add_plain(node, *x, op)) c.set(node, 0, *made);
}

}  // namespace

void add_window_handlers(Handlers& handlers);
void add_norm_handlers(Handlers& handlers);

void add_layer_handlers(Handlers& handlers) {
  add_window_handlers(handlers);
  add_norm_handlers(handlers);
  handlers["Gemm"] = convert_gemm;
  handlers["MatMul"] = convert_matmul;
  handlers["Softmax"] = convert_softmax;
  handlers["LogSoftmax"] = convert_softmax;
}

}  // namespace cardinal::onnx_import
