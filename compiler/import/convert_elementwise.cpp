// Activations and arithmetic.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/import/attributes.h"
#include "compiler/import/converter.h"
#include "compiler/import/fold_constants.h"

namespace cardinal::onnx_import {

namespace {

void plain(Converter& c, const OnnxNode& node, std::string_view op, std::vector<NamedAttr> attributes = {}) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  if (auto made = c.add_plain(node, *x, op, std::move(attributes))) c.set(node, 0, *made);
}

template <const char* op>
void simple(Converter& c, const OnnxNode& node) {
  plain(c, node, op);
}

bool has_field(std::string_view op, std::string_view field) {
  const OpInfo* info = find_op(op);
  return info && std::any_of(info->fields.begin(), info->fields.end(),
                             [&](const FieldInfo& f) { return f.name == field; });
}

bool is_near(double a, double b) { return std::abs(a - b) <= 1e-6 * std::max(1.0, std::abs(b)); }

TensorRef affine(Converter& c, const OnnxNode& node, const TensorRef& x, double scale, double shift) {
  if (scale == 1 && shift == 0) return x;
  return c.add_plain(node, x, "affine", {{"scale", {scale}}, {"shift", {shift}}}).value_or(x);
}

// max(x, least) and min(x, most) through relu, where there is one bound only.
void clip(Converter& c, const OnnxNode& node, double least, double most) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  constexpr double kNone = std::numeric_limits<float>::max();
  bool is_below = least > -kNone, is_above = most < kNone;
  auto done = [&](std::optional<TensorRef> made) {
    if (made) c.set(node, 0, *made);
  };
  if (!is_below && !is_above) return done(*x);
  if (least == 0 && most == 6) return done(c.add_plain(node, *x, "relu6"));
  if (is_below && is_above) return done(c.add_plain(node, *x, "clip", {{"min", {least}}, {"max", {most}}}));
  double sign = is_below ? 1 : -1, bound = is_below ? least : most;
  auto made = c.add_plain(node, affine(c, node, *x, sign, -sign * bound), "relu");
  if (made) done(affine(c, node, *made, sign, bound));
}

// A bound that is an operand, an attribute, or left out.
std::optional<double> bound(Converter& c, const OnnxNode& node, size_t input, std::string_view name,
                            double none) {
  if (node.input(input).empty()) return float_attribute(node, name, none);
  ConstantPtr known = c.constant(node, input);
  std::optional<double> value = known ? uniform_value(*known) : std::nullopt;
  if (!value) return c.refuse(node, fmt::format("its {} is not a number that is known before it runs", name));
  return value;
}

void convert_clip(Converter& c, const OnnxNode& node) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  auto least = bound(c, node, 1, "min", -kInfinity), most = bound(c, node, 2, "max", kInfinity);
  if (least && most) clip(c, node, *least, *most);
}

void convert_leaky_relu(Converter& c, const OnnxNode& node) {
  plain(c, node, "leaky_relu", {{"negative_slope", {float_attribute(node, "alpha", 0.01)}}});
}

void convert_elu(Converter& c, const OnnxNode& node) {
  plain(c, node, "elu", {{"alpha", {float_attribute(node, "alpha", 1)}}});
}

void convert_celu(Converter& c, const OnnxNode& node) {
  plain(c, node, "celu", {{"alpha", {float_attribute(node, "alpha", 1)}}});
}

void convert_selu(Converter& c, const OnnxNode& node) {
  constexpr double kAlpha = 1.67326319217681884765625, kGamma = 1.05070102214813232421875;
  bool is_usual = is_near(float_attribute(node, "alpha", kAlpha), kAlpha) &&
                  is_near(float_attribute(node, "gamma", kGamma), kGamma);
  if (is_usual) return plain(c, node, "selu");
  auto x = c.tensor(node, 0);
  if (!x) return;
  auto made = c.add_plain(node, *x, "elu", {{"alpha", {float_attribute(node, "alpha", kAlpha)}}});
  if (made) c.set(node, 0, affine(c, node, *made, float_attribute(node, "gamma", kGamma), 0));
}

// max(0, min(1, alpha * x + beta)), which is relu6 of six times that, over six.
void convert_hard_sigmoid(Converter& c, const OnnxNode& node) {
  double alpha = float_attribute(node, "alpha", 0.2), beta = float_attribute(node, "beta", 0.5);
  if (is_near(alpha, 1.0 / 6) && beta == 0.5) return plain(c, node, "hardsigmoid");
  if (has_field("hardsigmoid", "alpha"))
    return plain(c, node, "hardsigmoid", {{"alpha", {alpha}}, {"beta", {beta}}});
  auto x = c.tensor(node, 0);
  if (!x) return;
  auto made = c.add_plain(node, affine(c, node, *x, 6 * alpha, 6 * beta), "relu6");
  if (made) c.set(node, 0, affine(c, node, *made, 1.0 / 6, 0));
}

void convert_gelu(Converter& c, const OnnxNode& node) {
  std::string form = string_attribute(node, "approximate", "none");
  if (form == "none") return plain(c, node, "gelu");
  if (!has_field("gelu", "approximate"))
    return void(c.refuse(node, fmt::format("approximate={}: gelu has its exact form only", form)));
  plain(c, node, "gelu", {{"approximate", {true}}});
}

void convert_thresholded_relu(Converter& c, const OnnxNode& node) {
  if (float_attribute(node, "alpha", 1) == 0) return plain(c, node, "relu");
  c.refuse(node, "alpha is not 0");
}

// One number for each channel of x, from a constant that broadcasts to it; null if it is anything else.
ConstantPtr per_channel(const Converter& c, const TensorRef& x, const Constant& constant) {
  if (!constant.is_float || constant.dims.size() > x.view.dims.size()) return nullptr;
  size_t skipped = x.view.dims.size() - constant.dims.size();
  std::vector<Atom> varying;
  std::vector<int64_t> sizes = x.view.sizes();
  for (size_t i = 0; i < constant.dims.size(); ++i) {
    if (constant.dims[i] == 1) continue;
    if (constant.dims[i] != sizes[i + skipped]) return nullptr;
    const std::vector<Atom>& dim = x.view.dims[i + skipped];
    varying.insert(varying.end(), dim.begin(), dim.end());
  }
  int64_t channels = c.layer(x.layer).type.shape.c();
  if (joined(varying) != std::vector<Atom>{{1, channels, 1}}) return nullptr;
  return std::make_shared<Constant>(constant);
}

// Whether broadcasting leaves x's own shape.
bool broadcasts_to(const Constant& constant, const TensorRef& x) {
  std::vector<int64_t> sizes = x.view.sizes();
  if (constant.dims.size() > sizes.size()) return false;
  for (size_t i = 0; i < constant.dims.size(); ++i)
    if (constant.dims[i] != 1 && constant.dims[i] != sizes[i + sizes.size() - constant.dims.size()])
      return false;
  return true;
}

ConstantPtr mapped(const ConstantPtr& x, float (*change)(float)) {
  auto out = std::make_shared<Constant>(*x);
  for (float& value : out->floats) value = change(value);
  return out;
}

ConstantPtr filled(int64_t size, float value) {
  return float_vector(std::vector<float>(static_cast<size_t>(size), value));
}

// A batch norm whose statistics do nothing is a factor and a summand for each channel.
void as_batch_norm(Layer& scale, const ConstantPtr& bias) {
  Shape channels{scale.type.shape.c()};
  scale.op = make_op(*find_op("batch_norm"));
  set_field(scale.op, "eps", {0.0});
  scale.weights = {{"weight", channels, scale.weights[0].data},
                   {"bias", channels, bias},
                   {"running_mean", channels, filled(channels[0], 0)},
                   {"running_var", channels, filled(channels[0], 1)}};
}

// x + bias, one for each channel: into the layer before it if that has room, else a batch norm that does
// nothing else.
void add_bias(Converter& c, const OnnxNode& node, size_t operand, const TensorRef& x,
              const ConstantPtr& bias) {
  const std::string& value = node.input(1 - operand);
  Layer& before = c.change_layer(x.layer);
  std::string_view op = op_info(before.op).name;
  bool takes_bias = (op == "conv" || op == "linear") && before.weights.size() == 1;
  Shape channels{before.type.shape.c()};
  if (takes_bias && c.is_only_use(x, node.input(operand))) {
    set_field(before.op, "bias", {true});
    before.weights.push_back({"bias", channels, bias});
    return c.set(node, 0, x);
  }
  if (op == "channel_scale" && c.is_only_use(x, node.input(operand))) {
    as_batch_norm(before, bias);
    return c.set(node, 0, x);
  }
  LayerRequest request{"batch_norm",
                       {{"eps", {0.0}}},
                       {x.layer},
                       {{"weight", filled(channels[0], 1), value},
                        {"bias", bias, value},
                        {"running_mean", filled(channels[0], 0), value},
                        {"running_var", filled(channels[0], 1), value}}};
  if (auto made = c.add_layer(node, request)) c.set(node, 0, TensorRef{*made, x.view, {}});
}

// The view of two tensors' combination: their dimensions lie alike, or one has a dimension of 1 there.
std::optional<View> combined_view(const View& a, const View& b) {
  const View &longer = a.dims.size() >= b.dims.size() ? a : b, &shorter = &longer == &a ? b : a;
  size_t skipped = longer.dims.size() - shorter.dims.size();
  View out = longer;
  for (size_t i = 0; i < shorter.dims.size(); ++i) {
    std::vector<Atom> mine = joined(longer.dims[i + skipped]), other = joined(shorter.dims[i]);
    if (mine == other || other.empty()) continue;
    if (!mine.empty()) return std::nullopt;
    out.dims[i + skipped] = other;
  }
  return out;
}

// A pooled [N, C, 1, 1] beside a fully connected layer's [N, C].
std::optional<TensorRef> flattened(Converter& c, const OnnxNode& node, const TensorRef& x) {
  const Shape& shape = c.layer(x.layer).type.shape;
  if (shape.rank() != 4 || shape.h() * shape.w() != 1 || x.view.dims.size() != 2) return x;
  std::vector<int64_t> order;
  auto flat = c.features(node, x, order);
  if (!flat) return std::nullopt;
  return TensorRef{*flat, View::whole(c.layer(*flat).type.shape), {}};
}

// One op on two tensors of the network.
std::optional<TensorRef> combine(Converter& c, const OnnxNode& node, std::string_view op, TensorRef a,
                                 TensorRef b) {
  if (c.layer(a.layer).type.shape.rank() != c.layer(b.layer).type.shape.rank()) {
    auto flat_a = flattened(c, node, a), flat_b = flattened(c, node, b);
    if (!flat_a || !flat_b) return std::nullopt;
    a = *flat_a, b = *flat_b;
  }
  bool a_is_image = c.layer(a.layer).type.shape.rank() == 4,
       b_is_image = c.layer(b.layer).type.shape.rank() == 4;
  if (a_is_image != b_is_image) {
    TensorRef& gate = a_is_image ? b : a;
    gate.layer = c.as_pixels(gate.layer).value_or(gate.layer);
  }
  std::optional<View> view = combined_view(a.view, b.view);
  if (!view || c.layer(a.layer).type.shape.rank() != c.layer(b.layer).type.shape.rank())
    return c.refuse(node, fmt::format("its operands [{}] and [{}] lie differently",
                                      fmt::join(a.view.sizes(), ", "), fmt::join(b.view.sizes(), ", ")));
  auto made = c.add_layer(node, {op, {}, {a.layer, b.layer}, {}});
  if (!made) return std::nullopt;
  return TensorRef{*made, std::move(*view), {}};
}

// x op constant, or constant op x where `reversed`.
void with_constant(Converter& c, const OnnxNode& node, const TensorRef& x, const ConstantPtr& k,
                   bool reversed) {
  const std::string& op = node.op_type;
  if (!broadcasts_to(*k, x))
    return void(c.refuse(node, fmt::format("its constant [{}] makes the result larger than its operand",
                                           fmt::join(k->dims, ", "))));
  size_t operand = reversed ? 1 : 0;
  // One number for each channel stays a weight even where all are equal, as they are before training.
  ConstantPtr channels = k->elements() > 1 ? per_channel(c, x, *k) : nullptr;
  auto number = channels ? std::nullopt : uniform_value(*k);
  if (number) {
    double v = *number;
    if (op == "Div" && v == 0 && !reversed) return void(c.refuse(node, "it divides by 0"));
    if (op == "Div" && reversed) {
      if (auto made = combine(c, node, "div", affine(c, node, x, 0, v), x)) c.set(node, 0, *made);
      return;
    }
    TensorRef made = op == "Add"   ? affine(c, node, x, 1, v)
                     : op == "Mul" ? affine(c, node, x, v, 0)
                     : op == "Div" ? affine(c, node, x, 1 / v, 0)
                     : reversed    ? affine(c, node, x, -1, v)
                                   : affine(c, node, x, 1, -v);
    return c.set(node, 0, made);
  }
  if (!channels)
    return void(c.refuse(node, fmt::format("its constant [{}] is neither one number nor one for each channel",
                                           fmt::join(k->dims, ", "))));
  if (op == "Div" && reversed)
    return void(c.refuse(node, "it divides one number for each channel by what the network computes"));
  if (op == "Add") return add_bias(c, node, operand, x, channels);
  if (op == "Sub") {
    TensorRef from = reversed ? affine(c, node, x, -1, 0) : x;
    return add_bias(c, node, operand, from,
                    reversed ? channels : mapped(channels, [](float v) { return -v; }));
  }
  if (op == "Div") channels = mapped(channels, [](float v) { return 1 / v; });
  if (auto made =
          c.add_layer(node, {"channel_scale", {}, {x.layer}, {{"", channels, node.input(1 - operand)}}}))
    c.set(node, 0, TensorRef{*made, x.view, {}});
}

// Before opset 7 the second operand's axes began at `axis`.
bool has_old_axis(Converter& c, const OnnxNode& node) {
  return c.graph().opset < 7 && has_attribute(node, "axis");
}

ConstantPtr with_old_axis(Converter& c, const OnnxNode& node, ConstantPtr k, size_t rank) {
  if (!has_old_axis(c, node)) return k;
  int64_t axis = int_attribute(node, "axis", 0);
  auto out = std::make_shared<Constant>(*k);
  while (axis >= 0 && static_cast<size_t>(axis) + out->dims.size() < rank) out->dims.push_back(1);
  return out;
}

void convert_arithmetic(Converter& c, const OnnxNode& node) {
  ConstantPtr left = c.constant(node, 0), right = c.constant(node, 1);
  auto a = left ? std::nullopt : c.tensor(node, 0);
  auto b = right ? std::nullopt : c.tensor(node, 1);
  if (right && a)
    return with_constant(c, node, *a, with_old_axis(c, node, right, a->view.dims.size()), false);
  if (left && b) return with_constant(c, node, *b, left, true);
  if (!a || !b) return;
  const std::string& op = node.op_type;
  if (has_old_axis(c, node))
    return void(c.refuse(node, "axis, between two tensors that the network computes"));
  if (op == "Sub") b = affine(c, node, *b, -1, 0);
  if (auto made = combine(c, node, op == "Mul" ? "mul" : op == "Div" ? "div" : "add", *a, *b))
    c.set(node, 0, *made);
}

// One op on two tensors, over all operands.
void combine_all(Converter& c, const OnnxNode& node, std::string_view op) {
  auto result = c.tensor(node, 0);
  for (size_t i = 1; result && i < node.inputs.size(); ++i) {
    auto next = c.tensor(node, i);
    if (!next) return;
    result = combine(c, node, op, *result, *next);
  }
  if (result) c.set(node, 0, *result);
}

void convert_sum(Converter& c, const OnnxNode& node) { combine_all(c, node, "add"); }

void convert_extreme(Converter& c, const OnnxNode& node) {
  bool is_max = node.op_type == "Max";
  const bool has_constants = std::any_of(
      node.inputs.begin(), node.inputs.end(),
      [&](const std::string& name) { return std::holds_alternative<ConstantPtr>(c.value(name)); });
  if (!has_constants) return combine_all(c, node, is_max ? "max" : "min");
  bool left = c.constant(node, 0) != nullptr;
  ConstantPtr k = c.constant(node, left ? 0 : 1);
  auto number = k ? uniform_value(*k) : std::nullopt;
  if (node.inputs.size() != 2 || !number)
    return void(c.refuse(node, "it compares with a constant that is not one number"));
  OnnxNode turned = node;
  if (left) std::swap(turned.inputs[0], turned.inputs[1]);
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  clip(c, turned, is_max ? *number : -kInfinity, is_max ? kInfinity : *number);
}

void convert_prelu(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  if (!x) return;
  ConstantPtr slope = c.constant(node, 1);
  if (!slope) return void(c.refuse(node, "its slope is computed by the network"));
  if (auto number = uniform_value(*slope); number && slope->elements() == 1)
    return plain(c, node, "leaky_relu", {{"negative_slope", {*number}}});
  // The slope's axes begin at the channels, as older exporters wrote it, or end with the image's.
  ConstantPtr channels = per_channel(c, *x, *slope);
  if (!channels && slope->elements() == c.layer(x->layer).type.shape.c() && slope->dims.size() == 1)
    channels = slope;
  if (!channels)
    return void(c.refuse(node, fmt::format("its slope [{}] is not one number for each channel",
                                           fmt::join(slope->dims, ", "))));
  if (auto made = c.add_layer(node, {"prelu", {}, {x->layer}, {{"weight", channels, node.input(1)}}}))
    c.set(node, 0, TensorRef{*made, x->view, {}});
}

void convert_negation(Converter& c, const OnnxNode& node) {
  if (auto x = c.tensor(node, 0)) c.set(node, 0, affine(c, node, *x, -1, 0));
}

void convert_power(Converter& c, const OnnxNode& node) {
  auto x = c.tensor(node, 0);
  ConstantPtr exponent = c.constant(node, 1);
  if (!x) return;
  auto number = exponent ? uniform_value(*exponent) : std::nullopt;
  if (number == 1.0) return c.set(node, 0, *x);
  if (number == 0.5) return plain(c, node, "sqrt");
  if (number != 2.0) return void(c.refuse(node, "its exponent is not 0.5, 1 or 2"));
  if (auto made = combine(c, node, "mul", *x, *x)) c.set(node, 0, *made);
}

constexpr char kRelu[] = "relu", kSigmoid[] = "sigmoid", kTanh[] = "tanh", kSoftplus[] = "softplus";
constexpr char kExp[] = "exp", kSqrt[] = "sqrt", kAbs[] = "abs";
constexpr char kSoftsign[] = "softsign", kMish[] = "mish", kHardswish[] = "hardswish", kSilu[] = "silu";

}  // namespace

void add_elementwise_handlers(Handlers& handlers) {
  handlers["Relu"] = simple<kRelu>;
  handlers["Sigmoid"] = simple<kSigmoid>;
  handlers["Tanh"] = simple<kTanh>;
  handlers["Softplus"] = simple<kSoftplus>;
  handlers["Softsign"] = simple<kSoftsign>;
  handlers["Mish"] = simple<kMish>;
  handlers["Exp"] = simple<kExp>;
  handlers["Sqrt"] = simple<kSqrt>;
  handlers["Abs"] = simple<kAbs>;
  handlers["HardSwish"] = simple<kHardswish>;
  handlers["Silu"] = simple<kSilu>;
  handlers["Clip"] = convert_clip;
  handlers["LeakyRelu"] = convert_leaky_relu;
  handlers["Elu"] = convert_elu;
  handlers["Celu"] = convert_celu;
  handlers["Selu"] = convert_selu;
  handlers["HardSigmoid"] = convert_hard_sigmoid;
  handlers["Gelu"] = convert_gelu;
  handlers["ThresholdedRelu"] = convert_thresholded_relu;
  handlers["PRelu"] = convert_prelu;
  handlers["Add"] = convert_arithmetic;
  handlers["Sub"] = convert_arithmetic;
  handlers["Mul"] = convert_arithmetic;
  handlers["Div"] = convert_arithmetic;
  handlers["Sum"] = convert_sum;
  handlers["Max"] = convert_extreme;
  handlers["Min"] = convert_extreme;
  handlers["Neg"] = convert_negation;
  handlers["Pow"] = convert_power;
}

}  // namespace cardinal::onnx_import
