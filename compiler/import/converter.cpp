#include "compiler/import/converter.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "compiler/import/attributes.h"
#include "compiler/import/fold_constants.h"
#include "ir/convention.h"

namespace cardinal::onnx_import {

Converter::Converter(const OnnxGraph& graph, std::string path) : graph_(graph), path_(std::move(path)) {
  add_layer_handlers(handlers_);
  add_elementwise_handlers(handlers_);
  add_shape_handlers(handlers_);
  add_resize_handlers(handlers_);
  for (const auto& [name, constant] : graph.constants) values_.emplace(name, constant);
  for (const OnnxNode& node : graph.nodes)
    for (const std::string& input : node.inputs) users_[input].push_back(&node);
}

std::vector<const OnnxNode*> Converter::users(const std::string& name) const {
  auto found = users_.find(name);
  return found == users_.end() ? std::vector<const OnnxNode*>() : found->second;
}

bool Converter::is_output(const std::string& name) const {
  return std::find(graph_.outputs.begin(), graph_.outputs.end(), name) != graph_.outputs.end();
}

std::nullopt_t Converter::refuse(const OnnxNode& node, const std::string& why) {
  Refusal refusal{node.op_type, why};
  std::vector<std::string>& nodes = refusals_[refusal];
  if (nodes.empty()) refusal_order_.push_back(refusal);
  std::string name = !node.name.empty() ? node.name : node.outputs.empty() ? "" : node.outputs[0];
  if (std::find(nodes.begin(), nodes.end(), name) == nodes.end()) nodes.push_back(name);
  return std::nullopt;
}

const Value& Converter::value(const std::string& name) const {
  static const Value kNone;
  auto found = values_.find(name);
  return found == values_.end() ? kNone : found->second;
}

ConstantPtr Converter::constant(const OnnxNode& node, size_t input) const {
  const auto* constant = std::get_if<ConstantPtr>(&value(node.input(input)));
  return constant ? *constant : nullptr;
}

std::optional<std::vector<int64_t>> Converter::ints(const OnnxNode& node, size_t input,
                                                    std::string_view attribute) {
  if (node.input(input).empty()) return ints_attribute(node, attribute);
  ConstantPtr list = constant(node, input);
  if (list && !list->is_float) return list->ints;
  return refuse(node, fmt::format("its {} are not known before the network runs", attribute));
}

std::optional<TensorRef> Converter::padded_tensor(const OnnxNode& node, size_t input) {
  const Value& found = value(node.input(input));
  if (const auto* x = std::get_if<TensorRef>(&found)) return *x;
  if (std::holds_alternative<ConstantPtr>(found))
    return refuse(node,
                  fmt::format("its operand {} is a constant, which is supported for weights only", input));
  if (node.input(input).empty()) return refuse(node, fmt::format("operand {} is missing", input));
  return std::nullopt;
}

std::optional<TensorRef> Converter::tensor(const OnnxNode& node, size_t input) {
  std::optional<TensorRef> x = padded_tensor(node, input);
  return x && x->pad != Padding{} ? apply_padding(node, *x) : x;
}

std::optional<TensorRef> Converter::apply_padding(const OnnxNode& node, const TensorRef& x, double value,
                                                  Sides channels) {
  std::vector<NamedAttr> attributes;
  AttrValue::List sides{{x.pad.top}, {x.pad.left}, {x.pad.bottom}, {x.pad.right}};
  attributes.push_back({"padding", {sides}});
  if (value != 0) attributes.push_back({"value", {value}});
  if (channels != Sides{}) attributes.push_back({"channels", to_attr(channels)});
  auto layer = add_layer(node, {"pad", std::move(attributes), {x.layer}, {}});
  if (!layer) return std::nullopt;
  // The image's axes have grown in place.
  auto axes = axes_of(x.view, this->layer(x.layer).type.shape);
  const Shape& shape = this->layer(*layer).type.shape;
  View whole = View::whole(shape), view;
  for (int axis : *axes) view.dims.push_back(whole.dims[static_cast<size_t>(axis)]);
  return TensorRef{*layer, view, {}};
}

std::optional<size_t> Converter::image(const OnnxNode& node, const TensorRef& x) {
  const Shape& shape = layer(x.layer).type.shape;
  if (auto axes = axes_of(x.view, shape)) {
    if (std::is_sorted(axes->begin(), axes->end())) {
      if (shape.rank() == 2 && axes->size() > 2) {
        auto pixels = as_pixels(x.layer);
        return pixels ? pixels : refuse(node, "it takes the result of a fully connected layer as an image");
      }
      return x.layer;
    }
    return refuse(node, "its operand's axes are in an order that no layer of the language takes");
  }
  return refuse(node,
                "its operand has been reshaped or transposed in a way that the language cannot express");
}

std::optional<size_t> Converter::as_pixels(size_t id) {
  if (auto known = pixels_.find(id); known != pixels_.end()) return known->second;
  Layer made = layer(id);
  std::string_view op = op_info(made.op).name;
  if (made.operands.empty()) return std::nullopt;
  size_t before = made.operands[0];
  const Shape& from = layer(before).type.shape;
  if (op == "flatten") return from.h() * from.w() == 1 ? std::optional(before) : std::nullopt;
  bool is_linear = op == "linear", is_norm = op == "batch_norm";
  if (!is_linear && !is_norm && !activation_of(made.op)) return std::nullopt;
  auto operand = as_pixels(before);
  if (!operand) return std::nullopt;
  made.operands = {*operand};
  made.type.shape = {made.type.shape.n(), made.type.shape.c(), 1, 1};
  if (is_linear) {
    const Linear linear = std::get<Linear>(made.op);
    made.op = Conv{.channels = linear.channels, .bias = linear.bias};
    made.weights[0].shape = {linear.channels, from.c(), 1, 1};
  }
  network_.layers.push_back(std::move(made));
  return pixels_[id] = network_.layers.size() - 1;
}

std::optional<TensorRef> Converter::shuffled(const OnnxNode& node, const TensorRef& x) {
  const Shape shape = layer(x.layer).type.shape;
  if (shape.rank() != 4 || x.view.dims.size() != 4) return x;
  if (const auto blocks = pixel_blocks(x.view, shape)) {
    auto made = add_layer(node, {blocks->to_space ? "depth_to_space" : "space_to_depth",
                                 {{"factor", {blocks->factor}}, {"order", to_attr(blocks->order)}},
                                 {x.layer},
                                 {}});
    if (!made) return std::nullopt;
    return TensorRef{*made, View::whole(layer(*made).type.shape), {}};
  }
  std::vector<Atom> channels = joined(x.view.dims[1]);
  View rest = x.view;
  rest.dims[1] = View::whole(shape).dims[1];
  bool is_shuffle = rest.order() == View::whole(shape).order() && channels.size() == 2 &&
                    channels[0].axis == 1 && channels[0].stride == 1 && channels[1].axis == 1 &&
                    channels[1].stride == channels[0].size &&
                    channels[0].size * channels[1].size == shape.c();
  if (!is_shuffle) return x;
  auto made = add_layer(node, {"channel_shuffle", {{"groups", {channels[1].size}}}, {x.layer}, {}});
  if (!made) return std::nullopt;
  return TensorRef{*made, View::whole(shape), {}};
}

std::optional<size_t> Converter::features(const OnnxNode& node, const TensorRef& x,
                                          std::vector<int64_t>& order) {
  const Shape& shape = layer(x.layer).type.shape;
  order.clear();
  std::vector<Atom> batch = joined(x.view.dims[0]), atoms = joined(x.view.dims.back());
  std::vector<Atom> whole_batch = joined(View::whole(shape).dims[0]);
  if (x.view.dims.size() != 2 || batch != whole_batch)
    return refuse(node, "its operand has been reshaped in a way that the language cannot express");
  if (shape.rank() == 2) {
    if (axes_of(x.view, shape)) return x.layer;
    return refuse(node, "its operand has been reshaped in a way that the language cannot express");
  }
  auto flat = add_layer(node, {"flatten", {}, {x.layer}, {}});
  if (!flat) return std::nullopt;
  // Where each feature lies among C, H, W.
  const int64_t strides[] = {0, shape.h() * shape.w(), shape.w(), 1};
  std::vector<int64_t> places{0};
  for (const Atom& atom : atoms) {
    std::vector<int64_t> next;
    for (int64_t place : places)
      for (int64_t i = 0; i < atom.size; ++i) next.push_back(place + i * atom.stride * strides[atom.axis]);
    places = std::move(next);
  }
  if (!std::is_sorted(places.begin(), places.end())) order = std::move(places);
  return flat;
}

namespace {

// Exporters leave the first dimension open by a name, or by 0 or -1.
bool is_open_batch(const std::variant<int64_t, std::string>& dim) {
  const auto* size = std::get_if<int64_t>(&dim);
  return !size || *size < 1;
}

// What the weight's name has after the layer's: "weight", or nothing where it is called as the layer is.
// Imported networks follow the default convention.
std::string suffix_of(const Parameter& parameter) {
  std::string name = weight_name(conventions().front(), "", parameter);
  return name.empty() ? name : name.substr(1);
}

}  // namespace

std::optional<size_t> Converter::add_layer(const OnnxNode& node, const LayerRequest& request) {
  const OpInfo* info = find_op(request.op);
  if (!info) return refuse(node, fmt::format("the language has no op '{}'", request.op));
  Layer made{make_op(*info), request.operands};
  for (const NamedAttr& attribute : request.attributes)
    if (std::string problem = set_field(made.op, attribute.name, attribute.value); !problem.empty())
      return refuse(node, fmt::format("{}: {}", attribute.name, problem));
  std::vector<TensorType> types;
  for (size_t operand : request.operands) types.push_back(layer(operand).type);
  Inferred inferred = infer_written(made.op, types);
  if (const auto* error = std::get_if<OpError>(&inferred)) return refuse(node, error->message);
  made.type = std::get<TensorType>(inferred);

  std::vector<std::string> values;
  for (const Parameter& parameter : parameters(made.op, types[0])) {
    const std::string suffix = suffix_of(parameter);
    auto weight = std::find_if(request.weights.begin(), request.weights.end(),
                               [&](const NamedWeight& w) { return w.suffix == suffix; });
    if (weight == request.weights.end())
      return refuse(node, fmt::format("its {} is not known before the network runs", suffix));
    if (!weight->data->is_float || weight->data->elements() != parameter.shape.elements())
      return refuse(node, fmt::format("its {} has {} elements, expected {}", suffix,
                                      fmt::join(weight->data->dims, "x"), to_string(parameter.shape)));
    made.weights.push_back({suffix, parameter.shape, weight->data});
    values.push_back(weight->value);
  }
  made.scope = node_path(node);
  if (info->has_parameters) {
    LayerName name = names_.choose(request.op, node, values);
    made.name = std::move(name.path);
    made.has_given_name = name.is_given;
  }
  network_.layers.push_back(std::move(made));
  return network_.layers.size() - 1;
}

std::optional<TensorRef> Converter::add_plain(const OnnxNode& node, const TensorRef& x, std::string_view op,
                                              std::vector<NamedAttr> attributes) {
  auto layer = add_layer(node, {op, std::move(attributes), {x.layer}, {}});
  if (!layer) return std::nullopt;
  return TensorRef{*layer, x.view, {}};
}

bool Converter::is_only_use(const TensorRef& x, const std::string& name) const {
  auto values = layer_values_.find(x.layer);
  if (values == layer_values_.end()) return false;
  for (const std::string& value : values->second)
    if (users(value).size() != 1 || is_output(value)) return false;
  for (const Layer& other : network_.layers)
    if (std::find(other.operands.begin(), other.operands.end(), x.layer) != other.operands.end())
      return false;
  return values->second.contains(name);
}

void Converter::set(const OnnxNode& node, size_t output, Value value) {
  if (output >= node.outputs.size() || node.outputs[output].empty()) return;
  if (const auto* x = std::get_if<TensorRef>(&value)) layer_values_[x->layer].insert(node.outputs[output]);
  values_.insert_or_assign(node.outputs[output], std::move(value));
}

void Converter::set_layer(const OnnxNode& node, size_t id, size_t rank) {
  View view = View::whole(layer(id).type.shape);
  // An image of one axis lies along W.
  if (rank == 3) view.dims.erase(view.dims.begin() + 2);
  set(node, 0, TensorRef{id, std::move(view), {}});
}

// A caller's image has its channels last if what reads it begins by moving them.
bool Converter::is_nhwc_input(const std::string& name) const {
  bool moves = false;
  for (const OnnxNode* user : users(name)) {
    if (user->op_type == "Transpose") {
      if (ints_attribute(*user, "perm") != std::vector<int64_t>{0, 3, 1, 2}) return false;
      moves = true;
    } else {
      bool is_elementwise = user->op_type == "Sub" || user->op_type == "Div" || user->op_type == "Mul" ||
                            user->op_type == "Add" || user->op_type == "Identity" || user->op_type == "Cast";
      if (!is_elementwise || user->outputs.empty() || !is_nhwc_input(user->outputs[0])) return false;
      moves = true;
    }
  }
  return moves;
}

bool Converter::add_input(const OnnxInput& input, const std::vector<int64_t>* given) {
  auto fail = [&](const std::string& message) {
    problems_.error({}, fmt::format("{}: input '{}': {}", path_, input.name, message));
    return false;
  };
  std::vector<int64_t> dims;
  for (size_t i = 0; i < input.dims.size(); ++i) {
    const auto* size = std::get_if<int64_t>(&input.dims[i]);
    bool is_open = i == 0 ? is_open_batch(input.dims[0]) : !size;
    if (given && given->size() == input.dims.size()) {
      if (!is_open && *size != (*given)[i])
        return fail(fmt::format("--shape gives dimension {} as {}, but in the model it is {}", i, (*given)[i],
                                *size));
      dims.push_back((*given)[i]);
    } else if (is_open && i > 0) {
      return fail(fmt::format("dimension {} is open; give its shape with --shape {}=...", i, input.name));
    } else {
      dims.push_back(is_open ? 1 : *size);
    }
  }
  if (given && given->size() != dims.size())
    return fail(
        fmt::format("--shape gives {} dimensions, but in the model it has {}", given->size(), dims.size()));
  if (dims.size() > 4)
    return fail(fmt::format("it has {} dimensions, expected at most 4: [N, C, H, W]", dims.size()));
  bool is_nhwc = dims.size() == 4 && is_nhwc_input(input.name);
  std::vector<int64_t> shape = dims;
  if (is_nhwc) shape = {dims[0], dims[3], dims[1], dims[2]};
  if (dims.size() == 3) shape = {dims[0], dims[1], 1, dims[2]};
  if (dims.size() < 2) shape.insert(shape.begin(), 2 - dims.size(), 1);
  if (std::string problem = shape_problem(Shape(shape)); !problem.empty()) return fail("its " + problem);

  const bool open_batch = !given && !input.dims.empty() && is_open_batch(input.dims[0]);
  Layer layer{Input{DType::f32, Shape(shape), is_nhwc ? Layout::nhwc : Layout::nchw, open_batch}, {}};
  layer.type = {DType::f32, Shape(shape)};
  layer.name = boundary_name(input.name, "input");
  View view = View::whole(layer.type.shape);
  if (is_nhwc) view = view.transposed(std::vector<int64_t>{0, 2, 3, 1});
  if (dims.size() == 3) view.dims.erase(view.dims.begin() + 2);
  if (dims.size() < 2)
    view.dims.erase(view.dims.begin(), view.dims.end() - static_cast<ptrdiff_t>(dims.size()));
  network_.layers.push_back(std::move(layer));
  size_t id = network_.layers.size() - 1;
  layer_values_[id].insert(input.name);
  values_.insert_or_assign(input.name, TensorRef{id, std::move(view), {}});
  return true;
}

std::string Converter::boundary_name(const std::string& name, std::string_view fallback) {
  std::string base = identifier(name, fallback), unique = base;
  for (int i = 2; !boundary_names_.insert(unique).second; ++i) unique = fmt::format("{}_{}", base, i);
  return unique;
}

bool Converter::add_inputs(const std::map<std::string, std::vector<int64_t>>& shapes) {
  for (const auto& [name, shape] : shapes) {
    bool known = std::any_of(graph_.inputs.begin(), graph_.inputs.end(),
                             [&name = name](const OnnxInput& input) { return input.name == name; });
    if (!known)
      problems_.error({}, fmt::format("{}: --shape {}=...: the model has no such input", path_, name));
  }
  for (const OnnxInput& input : graph_.inputs) {
    auto given = shapes.find(input.name);
    add_input(input, given == shapes.end() ? nullptr : &given->second);
  }
  if (graph_.inputs.empty()) problems_.error({}, fmt::format("{}: the model has no inputs", path_));
  return !problems_.has_errors();
}

void Converter::convert(const OnnxNode& node) {
  std::vector<ConstantPtr> constants;
  bool all_constant = true;
  for (const std::string& input : node.inputs) {
    const auto* known = std::get_if<ConstantPtr>(&value(input));
    constants.push_back(known ? *known : nullptr);
    all_constant = all_constant && (known || input.empty());
  }
  if (all_constant)
    if (ConstantPtr folded = fold_node(node, constants)) return set(node, 0, folded);
  auto handler = handlers_.find(node.op_type);
  if (handler != handlers_.end()) return handler->second(*this, node);
  refuse(node, "the language has no op for it");
}

void Converter::add_output(const std::string& name) {
  OnnxNode node{"the output", name, {name}, {name}, {}};
  std::optional<TensorRef> x = tensor(node, 0);
  if (!x) return;
  const Shape& shape = layer(x->layer).type.shape;
  bool is_number = std::isdigit(static_cast<unsigned char>(name.empty() ? '0' : name[0]));
  bool is_nameless = graph_.outputs.size() == 1 && is_number;
  NetworkOutput out{boundary_name(is_nameless ? "" : name, "output"), x->layer, Layout::nchw};
  View whole = View::whole(shape);
  if (x->view.order() != whole.order()) {
    bool is_nhwc =
        shape.rank() == 4 && x->view.order() == whole.transposed(std::vector<int64_t>{0, 2, 3, 1}).order();
    std::optional<size_t> moved = x->layer;
    if (!is_nhwc) moved = image(node, *x);
    if (!moved) return;
    out.layer = *moved;
    if (is_nhwc) out.layout = Layout::nhwc;
  } else if (shape.rank() == 4 && x->view.dims.size() == 2) {
    std::vector<int64_t> order;
    if (auto flat = features(node, *x, order)) out.layer = *flat;
  }
  network_.outputs.push_back(std::move(out));
}

Diagnostics Converter::unsupported() const {
  constexpr size_t kNodesNamed = 4;
  Diagnostics out;
  for (const Refusal& refusal : refusal_order_) {
    const std::vector<std::string>& nodes = refusals_.at(refusal);
    std::span<const std::string> named(nodes.data(), std::min(nodes.size(), kNodesNamed));
    std::string more =
        nodes.size() > named.size() ? fmt::format(" and {} more", nodes.size() - named.size()) : "";
    out.error(
        {}, fmt::format("{}: {} '{}'{}: {}", path_, refusal.op, fmt::join(named, "', '"), more, refusal.why));
  }
  return out;
}

Result<Network> Converter::run(const std::map<std::string, std::vector<int64_t>>& shapes) {
  if (!add_inputs(shapes)) return std::move(problems_);
  for (const OnnxNode& node : graph_.nodes) convert(node);
  for (const std::string& name : graph_.outputs) add_output(name);
  if (!refusals_.empty()) return unsupported();
  return std::move(network_);
}

}  // namespace cardinal::onnx_import
