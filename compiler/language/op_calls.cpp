// Calls of ops. What an op takes, which weights it brings along and what shape it makes all come from the op
// table.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "compiler/language/elaborator.h"
#include "compiler/language/names.h"

namespace cardinal {
namespace {

std::optional<AttrValue> to_attr_value(const Value& value) {
  if (const auto* i = value.as<int64_t>()) return AttrValue{*i};
  if (const auto* d = value.as<double>()) return AttrValue{*d};
  if (const auto* b = value.as<bool>()) return AttrValue{*b};
  if (value.string()) return AttrValue{*value.string()};
  if (!value.list() || value.has_tensors()) return std::nullopt;
  constexpr size_t kLongest = 64;  // no attribute is a longer list
  AttrValue::List list;
  for (const Value& element : value.list()->elements) {
    std::optional<AttrValue> item = to_attr_value(element);
    if (!item || list.size() == kLongest) return std::nullopt;
    list.push_back(std::move(*item));
  }
  return AttrValue{std::move(list)};
}

constexpr size_t kMaxNodes = 200'000;

// How an op of two tensors is written for a tensor and a number; "" if it is no such op or no number.
std::string beside_number(std::string_view op, const Value& value) {
  if (!value.is_number()) return {};
  const std::string number = show(value);
  for (auto [name, sign] : {std::pair("add", '+'), {"mul", '*'}, {"div", '/'}})
    if (op == name) return fmt::format("x {} {}", sign, number);
  if (op == "max") return number == "0" ? "relu(x)" : fmt::format("clip(x, {}, highest)", number);
  return op == "min" ? fmt::format("clip(x, lowest, {})", number) : std::string();
}

}  // namespace

bool Elaborator::can_make_tensors(std::string_view callee, SourceLocation where) {
  if (frame_->callable && frame_->callable->kind != ast::CallableKind::function) return true;
  fail(where, makes_tensor_message(callee));
  return false;
}

Value Elaborator::call_op(const OpInfo& info, const Invocation& invocation) {
  SourceLocation where = invocation.call->callee.where;
  if (!can_make_tensors(info.name, where)) return {};
  OpCall op{&info, make_op(info), {}, {}, {}, {}};
  set_defaults(*convention_, op.attrs);
  size_t next_required = 0;
  for (const BoundArgument& argument : invocation.arguments)
    argument.name.empty() ? take_positional(op, argument, next_required) : take_named(op, argument);
  check_complete(op, where);
  const size_t weights = parameters(op.attrs, {DType::f32, {1, 1, 1, 1}}).size() - (op.kernel ? 1 : 0);
  if (weights > 0 && !invocation.call->label) {
    fail(where, fmt::format("{} has weights and needs a name: write name: {}(...)", info.name, info.name));
    op.poisoned = true;
  }
  bool bad_label = invocation.call->label && invocation.label->empty();
  if (!bad_label && invocation.label) op.poisoned |= !name_layer(invocation, join_path(*invocation.label));
  if (!op.poisoned && !bad_label) return add_op(op, invocation);
  if (op.has_unknown_tensor) return assume(likely_of_any(op), where);
  return assume(mended_result(*convention_, op.attrs, likely_operands(op), op.wrong_fields), where);
}

// What an op makes of a tensor of which nothing is known, if it takes images only, or vectors only.
std::optional<Likely> Elaborator::likely_of_any(const OpCall& op) {
  if (op.info->tensors.max != 1 || activation_of(op.attrs)) return {};
  Likely image(TensorType{DType::f32, {1, 5040, 48, 48}}), vector(TensorType{DType::f32, {1, 5040}});
  image.any_channels = image.any_size = vector.any_channels = true;
  auto of_image = mended_result(*convention_, op.attrs, {&image, 1}, op.wrong_fields);
  const auto refuses = [&](const Likely& x) { return !likely_result(op.attrs, {&x, 1}); };
  if (refuses(vector) && !refuses(image)) return of_image;
  if (refuses(image) && !refuses(vector))
    return mended_result(*convention_, op.attrs, {&vector, 1}, op.wrong_fields);
  return {};
}

// Reports what is missing.
void Elaborator::check_complete(OpCall& op, SourceLocation where) {
  const OpInfo& info = *op.info;
  const int tensors = static_cast<int>(op.tensors.size());
  if (tensors < info.tensors.min && !op.has_unknown_tensor) {
    fail(where, fmt::format("{} needs {} tensor{}, got {}; pipe it in, x |> {}, or pass it first", info.name,
                            info.tensors.min, info.tensors.min == 1 ? "" : "s", tensors, info.name));
    op.poisoned = op.has_unknown_tensor = true;
    return;
  }
  for (const FieldInfo& field : info.fields) {
    if (!field.is_required || op.field_places.contains(field.name)) continue;
    if (!op.has_unknown_name) fail(where, fmt::format("{} needs {} ({})", info.name, field.name, field.type));
    op.spoil(field.name);
  }
}

bool Elaborator::add_tensors(OpCall& op, const Value& value, SourceLocation where) {
  if (const auto* tensor = value.as<TensorValue>()) {
    op.tensors.push_back(tensor->id);
    op.tensor_places.push_back(where);
    return true;
  }
  for (const Value& element : value.list()->elements) {
    if (element.is_poison()) {
      op.poisoned = op.has_unknown_tensor = true;
    } else if (!element.may_be_tensors()) {
      fail(where, fmt::format("this list holds {} between its tensors", with_article(type_name(element))));
      op.poisoned = op.has_unknown_tensor = true;
    } else {
      add_tensors(op, element, where);
    }
  }
  return true;
}

void Elaborator::take_positional(OpCall& op, const BoundArgument& argument, size_t& next_required) {
  const OpInfo& info = *op.info;
  const int given = static_cast<int>(op.tensors.size()) + (op.has_unknown_tensor ? 1 : 0);
  bool wants_tensor = info.tensors.max < 0 || given < info.tensors.max;
  if (wants_tensor && next_required == 0 && argument.value.is_poison()) {
    op.poisoned = op.has_unknown_tensor = true;
    return;
  }
  const bool piped_in = !argument.expr && given == 0;
  if (piped_in && !argument.value.may_be_tensors()) {
    fail(argument.where,
         fmt::format("{} needs a tensor before '|>', got {}", info.name, show_with_type(argument.value)));
    op.poisoned = op.has_unknown_tensor = true;
    return;
  }
  const auto wanted_field = std::find_if(info.fields.begin() + static_cast<ptrdiff_t>(next_required),
                                         info.fields.end(), [](const FieldInfo& f) { return f.is_required; });
  if (argument.value.is_tensor() && !wants_tensor && next_required == 0 && take_kernel(op, argument)) return;
  if (argument.value.is_tensor() && !wants_tensor && wanted_field != info.fields.end()) {
    next_required = static_cast<size_t>(wanted_field - info.fields.begin()) + 1;
    return take_field(op, *wanted_field, argument);
  }
  if (argument.value.has_tensors() || (argument.value.may_be_tensors() && wants_tensor)) {
    add_tensors(op, argument.value, argument.where);
    if (info.tensors.max < 0 || static_cast<int>(op.tensors.size()) <= info.tensors.max) return;
    const bool list = argument.value.list();
    std::string got = fmt::format("{}{}", list ? "a list of " : "", op.tensors.size());
    if (info.name == Add::name)
      got += "; sum([a, b, c]) adds as many as there are";
    else if (list)
      got += "; take it apart first: a, b = ...";
    fail(argument.where, fmt::format("{} takes {} tensor{}, got {}", info.name, info.tensors.max,
                                     info.tensors.max == 1 ? "" : "s", got));
    op.tensors.resize(static_cast<size_t>(info.tensors.max));
    op.tensor_places.resize(op.tensors.size());
    op.poisoned = true;
    return;
  }
  for (size_t i = next_required; i < info.fields.size(); ++i) {
    if (!info.fields[i].is_required) continue;
    next_required = i + 1;
    return take_field(op, info.fields[i], argument);
  }
  refuse_positional(op, argument);
}

bool Elaborator::take_kernel(OpCall& op, const BoundArgument& argument) {
  const NodeId id = argument.value.as<TensorValue>()->id;
  if (op.tensors.empty() || !op.info->has_parameters) return false;
  if (id == op.tensors[0]) {
    fail(argument.where, fmt::format("{} has this tensor already; leave it out", op.info->name));
    op.poisoned = true;
    return true;
  }
  auto* conv = std::get_if<Conv>(&op.attrs);
  if (!conv || op.kernel || !graph_[id].is_constant || assumed_.contains(id)) return false;
  const Shape& shape = graph_[id].type.shape;
  for (std::string_view field : {"channels", "kernel"}) op.field_places.emplace(field, argument.where);
  op.kernel = id;
  if (shape.rank() == 4) {
    conv->channels = shape[0];
    conv->kernel = {shape[2], shape[3]};
    return true;
  }
  fail(argument.where,
       fmt::format("a kernel is [OC, IC / groups, KH, KW], got {}", to_string(graph_[id].type)));
  op.spoil("channels");
  op.spoil("kernel");
  return true;
}

bool Elaborator::begins_with_input_channels(const OpCall& op) const {
  if (op.tensors.empty()) return false;
  const int64_t channels = likely(op.tensors[0]).type.shape.c();
  constexpr int64_t kLargestKernel = 31;  // larger ones are channels
  if (const auto* conv = std::get_if<Conv>(&op.attrs))
    return conv->kernel.h > kLargestKernel || (conv->channels == channels && conv->kernel.h > 7);
  return std::holds_alternative<Linear>(op.attrs);
}

// Where a parameter was declared without a type, which makes it a tensor, but a value was meant.
std::string Elaborator::untyped_parameter_advice(const BoundArgument& argument) const {
  const auto* name = argument.expr ? argument.expr->as<ast::NameRef>() : nullptr;
  if (!name || !frame_->callable) return {};
  for (const ast::ParameterDecl& parameter : frame_->callable->parameters)
    if (parameter.name.text == name->name && !parameter.type)
      return fmt::format("; to pass a number, declare its type: {}: int", name->name);
  return {};
}

// An argument behind the required ones needs a name: that of the next attribute if it could be its value.
void Elaborator::refuse_positional(OpCall& op, const BoundArgument& argument) {
  const OpInfo& info = *op.info;
  op.poisoned = true;
  if (argument.value.is_poison() || op.has_surplus) return;
  op.has_surplus = true;
  if (std::string written = beside_number(info.name, argument.value); !written.empty()) {
    op.has_unknown_tensor = true;
    fail(argument.where,
         fmt::format("{} takes two tensors; with a number it is written {}", info.name, written));
    return;
  }
  std::vector<std::string> names;
  std::optional<AttrValue> value = to_attr_value(argument.value);
  bool fits = false;
  for (const FieldInfo& field : info.fields) {
    if (field.is_required || field.internal || op.field_places.contains(field.name)) continue;
    names.emplace_back(field.name);
    if (names.size() > 1) continue;
    op.spoil(field.name);
    OpAttrs fitted = op.attrs;
    // PyTorch's norms are given their channels here.
    const bool maybe_channels = info.has_parameters && argument.value.as<int64_t>() &&
                                std::holds_alternative<double>(field.default_value.value);
    if (value && !maybe_channels && set_field(fitted, field.name, *value).empty()) fits = true;
  }
  const std::string advice =
      begins_with_input_channels(op) && !argument.value.as<bool>()
          ? "the input's channels are not written: leave out the first number"
      : names.empty() ? "leave it out"
      : fits          ? fmt::format("write {}={}", names[0], show(argument.value))
                      : fmt::format("leave it out, or say which it is: {}", fmt::join(names, ", "));
  fail(argument.where, fmt::format("{} takes no further argument without a name; {}", info.name, advice));
}

void Elaborator::take_named(OpCall& op, const BoundArgument& argument) {
  auto find = [&](std::string_view name) -> const FieldInfo* {
    for (const FieldInfo& field : op.info->fields)
      if (!field.internal && field.name == name) return &field;
    return nullptr;
  };
  if (const FieldInfo* field = find(argument.name)) return take_field(op, *field, argument);
  fail(argument.name_where, unknown_attribute_message(*op.info, argument.name));
  op.poisoned = true;
  const FieldInfo* meant = find(meant_attribute(*op.info, argument.name));
  if (meant && !op.field_places.contains(meant->name)) return take_field(op, *meant, argument);
  op.has_unknown_name = true;
}

void Elaborator::take_field(OpCall& op, const FieldInfo& field, const BoundArgument& argument) {
  SourceLocation place = argument.name_where ? argument.name_where : argument.where;
  auto [it, first] = op.field_places.emplace(field.name, argument.where);
  if (!first) {
    fail(place,
         fmt::format("{} is given twice{}", field.name,
                     begins_with_input_channels(op) ? "; the input's channels are not written: leave out the "
                                                      "first number"
                                                    : ""),
         {{it->second, "it is given here first"}});
    op.poisoned = true;
    return;
  }
  const List* list = argument.value.list();
  if (argument.value.is_poison() || (list && list->has_poison)) return op.spoil(field.name);
  std::string problem;
  if (std::optional<AttrValue> attr = to_attr_value(argument.value)) {
    problem = set_field(op.attrs, field.name, *attr);
  } else {
    problem = fmt::format("expected {}, got {}{}", field.type, with_article(type_name(argument.value)),
                          untyped_parameter_advice(argument));
  }
  if (problem.empty()) return;
  if (argument.value.origin) problem += fmt::format(" ({})", argument.value.origin->text);
  fail(argument.where, fmt::format("{} of {}: {}", field.name, op.info->name, problem));
  op.spoil(field.name);
}

Likely Elaborator::likely(NodeId id) const {
  auto assumed = assumed_.find(id);
  return assumed == assumed_.end() ? Likely(graph_[id].type) : assumed->second;
}

std::vector<Likely> Elaborator::likely_operands(const OpCall& op) const {
  std::vector<Likely> operands;
  for (NodeId id : op.tensors) operands.push_back(likely(id));
  return operands;
}

// A tensor that stands for the result of what an error was reported for. The graph is of no use then, but the
// rest of the network can be checked.
Value Elaborator::assume(const std::optional<Likely>& likely, SourceLocation where) {
  if (!likely || graph_.size() > kMaxNodes) return {};
  auto added = graph_.try_add(OpAttrs(Weight{likely->type.shape, Role::kernel}), {},
                              fmt::format("assumed {}", graph_.size()), where);
  const auto* id = std::get_if<NodeId>(&added);
  if (!id) return {};
  assumed_.emplace(*id, *likely);
  return {TensorValue{*id}};
}

Value Elaborator::add_op(OpCall& op, const Invocation& invocation) {
  SourceLocation where = invocation.call->callee.where;
  if (graph_.size() > kMaxNodes) {
    fail(where, fmt::format("the network has more than {} operations", kMaxNodes));
    reporter_.stop();
    return {};
  }
  resolve_same_padding(*convention_, op.attrs);
  std::vector<Likely> operands = likely_operands(op);
  if (std::any_of(operands.begin(), operands.end(), [](const Likely& o) { return !o.is_sure(); }))
    if (std::optional<Likely> likely = likely_result(op.attrs, operands)) return assume(likely, where);
  std::vector<TensorType> types;
  for (const Likely& operand : operands) types.push_back(operand.type);
  Inferred inferred = infer_written(op.attrs, types);
  if (const auto* error = std::get_if<OpError>(&inferred)) return refuse(op, *error, invocation);
  const Likely result(std::get<TensorType>(inferred));
  std::string path = invocation.label ? join_path(*invocation.label) : std::string();
  std::vector<NodeId> nodes = op.tensors;
  for (const Parameter& parameter : parameters(op.attrs, types[0])) {
    if (op.kernel && parameter.role == Role::kernel) {
      nodes.push_back(*op.kernel);
      continue;
    }
    std::string name = weight_name(*convention_, path, parameter);
    const bool reuse = reuses(invocation);
    if (reuse && !layers_.contains(name)) {
      fail(where, fmt::format("the layer '{}' has no weight '{}' that could be used again", path, name));
      return assume(result, where);
    }
    if (name != path && !reuse && !claim(layers_, "weight", name, invocation.call->label->where))
      return assume(result, where);
    auto weight = graph_.try_add(OpAttrs(weight_of(*convention_, parameter)), {}, name, where);
    if (const auto* error = std::get_if<OpError>(&weight)) {
      fail(where, fmt::format("{} {}: {}", name, to_string(parameter.shape), error->message));
      return assume(result, where);
    }
    nodes.push_back(std::get<NodeId>(weight));
  }
  auto added = graph_.try_add(op.attrs, std::move(nodes), path, where);
  if (const auto* error = std::get_if<OpError>(&added)) return refuse(op, *error, invocation);
  return {TensorValue{std::get<NodeId>(added)}};
}

// Where the argument stands that a shape rule blames.
SourceLocation Elaborator::blamed(const OpCall& op, const OpError& error, const Invocation& invocation) {
  SourceLocation callee = invocation.call->callee.where;
  if (auto field = op.field_places.find(error.field); field != op.field_places.end()) return field->second;
  if (error.operand == 1 && op.kernel) return op.field_places.at("kernel");
  if (error.operand < 0 || static_cast<size_t>(error.operand) >= op.tensor_places.size()) return callee;
  SourceLocation place = op.tensor_places[static_cast<size_t>(error.operand)];
  // What is piped in begins far away; the op that does not take it is what to look at.
  return invocation.piped && place == invocation.arguments[0].where ? callee : place;
}

// Reports what a shape rule says, with where the operands' shapes came from.
Value Elaborator::refuse(const OpCall& op, const OpError& error, const Invocation& invocation) {
  static constexpr std::string_view kRoles[] = {"the first operand", "the second operand",
                                                "the third operand", "the fourth operand"};
  std::vector<Diagnostic::Note> notes;
  for (size_t i = 0; i < std::min(op.tensors.size(), std::size(kRoles)); ++i)
    notes.push_back(shape_note(op.tensors[i], op.tensors.size() == 1 ? "the input" : kRoles[i]));
  std::string prefix = invocation.label ? *invocation.label + ": " : std::string();
  fail(blamed(op, error, invocation), prefix + error.message, notes, error.message);
  std::vector<std::string_view> wrong;
  if (!error.field.empty()) wrong.push_back(error.field);
  return assume(mended_result(*convention_, op.attrs, likely_operands(op), wrong),
                invocation.call->callee.where);
}

Diagnostic::Note Elaborator::shape_note(NodeId id, std::string_view role) const {
  const TensorType& type = graph_[id].type;
  // Ops that keep the shape are not what surprised anyone: back to the one that made it.
  while (!graph_[id].operands.empty() && graph_[graph_[id].operands[0]].type == type)
    id = graph_[id].operands[0];
  const Node& maker = graph_[id];
  if (assumed_.contains(id))
    return {maker.where, fmt::format("{} is taken to be {}, after an earlier error", role, to_string(type))};
  std::string name = maker.name.empty() ? std::string() : fmt::format(" '{}'", maker.name);
  std::string from = maker.operands.empty() ? "" : " from " + to_string(graph_[maker.operands[0]].type);
  return {maker.where,
          fmt::format("{} is {}: {}{} made it{}", role, to_string(type), op_info(maker.op).name, name, from)};
}

}  // namespace cardinal
