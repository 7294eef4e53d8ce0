// Calls of ops. What an op takes, which weights it brings along and what shape it makes all come from the op
// table.
#include <fmt/format.h>

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

}  // namespace

bool Elaborator::can_make_tensors(std::string_view callee, SourceLocation where) {
  if (frame_->callable && frame_->callable->kind != ast::CallableKind::function) return true;
  fail(where, fmt::format("'{}' makes a tensor, which only blocks and networks can", callee));
  return false;
}

Value Elaborator::call_op(const OpInfo& info, const Invocation& invocation) {
  SourceLocation where = invocation.call->callee.where;
  if (!can_make_tensors(info.name, where)) return {};
  OpCall op{&info, make_op(info), {}, {}, {}, false};
  set_defaults(*convention_, op.attrs);
  size_t next_required = 0;
  for (const BoundArgument& argument : invocation.arguments)
    argument.name.empty() ? take_positional(op, argument, next_required) : take_named(op, argument);
  int tensors = static_cast<int>(op.tensors.size());
  if (!op.poisoned && tensors < info.tensors.min) {
    fail(where, fmt::format("{} needs {} tensor{}, got {}; pipe it in, x |> {}, or pass it first", info.name,
                            info.tensors.min, info.tensors.min == 1 ? "" : "s", tensors, info.name));
    op.poisoned = true;
  }
  for (const FieldInfo& field : info.fields) {
    if (!field.is_required || op.field_places.contains(field.name) || op.has_unknown_name) continue;
    if (op.poisoned && tensors < info.tensors.min) continue;
    fail(where, fmt::format("{} needs {} ({})", info.name, field.name, field.type));
    op.poisoned = true;
  }
  if (info.has_parameters && !invocation.call->label)
    return fail(where,
                fmt::format("{} has weights and needs a name: write name: {}(...)", info.name, info.name));
  bool bad_label = invocation.call->label && invocation.label->empty();
  if (!bad_label && invocation.label &&
      !claim(layers_, "layer", join_path(*invocation.label), invocation.call->label->where))
    return {};
  if (op.poisoned || bad_label) return {};
  return add_op(op, invocation);
}

bool Elaborator::add_tensors(OpCall& op, const Value& value, SourceLocation where) {
  if (const auto* tensor = value.as<TensorValue>()) {
    op.tensors.push_back(tensor->id);
    op.tensor_places.push_back(where);
    return true;
  }
  for (const Value& element : value.list()->elements) {
    if (element.is_poison()) {
      op.poisoned = true;
    } else if (!element.has_tensors()) {
      fail(where, fmt::format("this list holds {} between its tensors", with_article(type_name(element))));
      op.poisoned = true;
    } else {
      add_tensors(op, element, where);
    }
  }
  return true;
}

void Elaborator::take_positional(OpCall& op, const BoundArgument& argument, size_t& next_required) {
  const OpInfo& info = *op.info;
  bool wants_tensor = info.tensors.max < 0 || static_cast<int>(op.tensors.size()) < info.tensors.max;
  if (argument.value.has_tensors()) {
    size_t before = op.tensors.size();
    add_tensors(op, argument.value, argument.where);
    if (info.tensors.max < 0 || static_cast<int>(op.tensors.size()) <= info.tensors.max) return;
    fail(argument.where, fmt::format("{} takes {} tensor{}, got {}", info.name, info.tensors.max,
                                     info.tensors.max == 1 ? "" : "s", op.tensors.size()));
    op.tensors.resize(before);
    op.poisoned = true;
    return;
  }
  if (argument.value.is_poison()) {
    op.poisoned = true;
    if (wants_tensor && next_required == 0) return;
  }
  const FieldInfo* field = nullptr;
  for (size_t i = 0; i < info.fields.size(); ++i) {
    if (!info.fields[i].is_required || i < next_required) continue;
    field = &info.fields[i];
    next_required = i + 1;
    break;
  }
  if (field) return take_field(op, *field, argument);
  op.poisoned = true;
  if (argument.value.is_poison()) return;
  fail(argument.where,
       fmt::format("{} takes no further argument without a name; {}", info.name, attributes_of(info)));
}

void Elaborator::take_named(OpCall& op, const BoundArgument& argument) {
  for (const FieldInfo& field : op.info->fields)
    if (!field.internal && field.name == argument.name) return take_field(op, field, argument);
  fail(argument.name_where, unknown_attribute_message(*op.info, argument.name));
  op.poisoned = op.has_unknown_name = true;
}

void Elaborator::take_field(OpCall& op, const FieldInfo& field, const BoundArgument& argument) {
  SourceLocation place = argument.name_where ? argument.name_where : argument.where;
  auto [it, first] = op.field_places.emplace(field.name, argument.where);
  if (!first) {
    fail(place, fmt::format("{} is given twice", field.name), {{it->second, "it is given here first"}});
    op.poisoned = true;
    return;
  }
  if (argument.value.is_poison()) {
    op.poisoned = true;
    return;
  }
  std::string problem;
  if (std::optional<AttrValue> attr = to_attr_value(argument.value)) {
    problem = set_field(op.attrs, field.name, *attr);
  } else {
    problem = fmt::format("expected {}, got {}", field.type, with_article(type_name(argument.value)));
  }
  if (problem.empty()) return;
  if (argument.value.origin) problem += fmt::format(" ({})", argument.value.origin->text);
  fail(argument.where, fmt::format("{} of {}: {}", field.name, op.info->name, problem));
  op.poisoned = true;
}

Value Elaborator::add_op(OpCall& op, const Invocation& invocation) {
  constexpr size_t kMaxNodes = 200'000;
  SourceLocation where = invocation.call->callee.where;
  std::vector<TensorType> types;
  for (NodeId id : op.tensors) types.push_back(graph_[id].type);
  resolve_same_padding(*convention_, op.attrs);
  Inferred inferred = infer_written(op.attrs, types);
  if (const auto* error = std::get_if<OpError>(&inferred)) return refuse(op, *error, invocation);
  if (graph_.size() > kMaxNodes) {
    fail(where, fmt::format("the network has more than {} operations", kMaxNodes));
    reporter_.stop();
    return {};
  }
  std::string path = invocation.label ? join_path(*invocation.label) : std::string();
  std::vector<NodeId> operands = op.tensors;
  for (const Parameter& parameter : parameters(op.attrs, types[0])) {
    std::string name = weight_name(*convention_, path, parameter);
    if (name != path && !claim(layers_, "weight", name, invocation.call->label->where)) return {};
    auto weight = graph_.try_add(OpAttrs(weight_of(*convention_, parameter)), {}, name, where);
    if (const auto* error = std::get_if<OpError>(&weight))
      return fail(where, fmt::format("{} {}: {}", name, to_string(parameter.shape), error->message));
    operands.push_back(std::get<NodeId>(weight));
  }
  auto added = graph_.try_add(op.attrs, std::move(operands), path, where);
  if (const auto* error = std::get_if<OpError>(&added)) return refuse(op, *error, invocation);
  return {TensorValue{std::get<NodeId>(added)}};
}

// Reports what a shape rule says at the argument that it blames, with where the operands' shapes came from.
Value Elaborator::refuse(const OpCall& op, const OpError& error, const Invocation& invocation) {
  SourceLocation where = invocation.call->callee.where;
  auto field = op.field_places.find(error.field);
  if (field != op.field_places.end()) {
    where = field->second;
  } else if (error.operand >= 0 && static_cast<size_t>(error.operand) < op.tensor_places.size()) {
    where = op.tensor_places[static_cast<size_t>(error.operand)];
  }
  std::vector<Diagnostic::Note> notes;
  constexpr size_t kEnoughOperands = 4;
  for (size_t i = 0; i < std::min(op.tensors.size(), kEnoughOperands); ++i)
    notes.push_back(shape_note(op.tensors[i], op.tensors.size() == 1 ? "the input"
                                              : i == 0               ? "the first operand"
                                              : i == 1               ? "the second operand"
                                                                     : "another operand"));
  std::string prefix = invocation.label ? *invocation.label + ": " : std::string();
  return fail(where, prefix + error.message, notes);
}

Diagnostic::Note Elaborator::shape_note(NodeId id, std::string_view role) const {
  const TensorType& type = graph_[id].type;
  // Ops that keep the shape are not what surprised anyone: back to the one that made it.
  while (!graph_[id].operands.empty() && graph_[graph_[id].operands[0]].type == type)
    id = graph_[id].operands[0];
  const Node& maker = graph_[id];
  std::string name = maker.name.empty() ? std::string() : fmt::format(" '{}'", maker.name);
  std::string from = maker.operands.empty() ? "" : " from " + to_string(graph_[maker.operands[0]].type);
  return {maker.where,
          fmt::format("{} is {}: {}{} made it{}", role, to_string(type), op_info(maker.op).name, name, from)};
}

}  // namespace cardinal
