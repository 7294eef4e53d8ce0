// Calls of blocks and functions: layer names, arguments, parameters.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/language/elaborator.h"
#include "compiler/language/names.h"

namespace cardinal {
namespace {

// Blocks within blocks; a recursive block ends here.
constexpr int kMaxCallDepth = 64;
constexpr size_t kMaxPathLength = 1024;

std::string plural(size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace

std::string Elaborator::join_path(const std::string& label) const {
  if (frame_->path.empty() || label.empty()) return frame_->path + label;
  return frame_->path + "." + label;
}

bool Elaborator::reuses(const Invocation& invocation) const {
  return frame_->reuse || (invocation.call->label && invocation.call->label->reuse);
}

bool Elaborator::name_layer(const Invocation& invocation, const std::string& path) {
  const SourceLocation where = invocation.call->label->where;
  if (!reuses(invocation)) return claim(layers_, "layer", path, where);
  if (layers_.contains(path)) return true;
  fail(where, fmt::format("there is no layer '{}' before this one whose weights could be used again", path));
  return false;
}

bool Elaborator::claim(Places& taken, std::string_view what, const std::string& name, SourceLocation where) {
  auto [it, first] = taken.emplace(name, where);
  if (first) return true;
  const std::string gist = fmt::format("{} twice", what);
  std::string message = fmt::format("the {} name '{}' is used twice", what, name);
  if (it->second != where) {
    if (what == "layer") message += "; to use its weights again, write reuse before the name";
    fail(where, message, {{it->second, "it is used here first"}}, gist);
  } else if (frame_->loops > 0 || !frame_->call_site) {
    fail(where, message + "; in a loop, add the index: name[i]:", {}, gist);
  } else {
    const std::string& block = frame_->callable->name.text;
    fail(where, message + fmt::format("; give each call of {0} a name of its own: name: {0}(...)", block), {},
         gist);
  }
  return false;
}

std::optional<std::string> Elaborator::label_part_text(const ast::LabelPart& part,
                                                       SourceLocation label_where) {
  if (!part.value) return part.text;
  Value value = evaluate(*part.value);
  if (value.is_poison()) return std::nullopt;
  const auto* number = value.as<int64_t>();
  if (number && *number >= 0) return fmt::format("{}", *number);
  SourceLocation where = part.value->where ? part.value->where : label_where;
  if (!value.string()) {
    fail(where,
         fmt::format("a part of a layer's name is a string or an int from 0, not {}", show_with_type(value)));
    return std::nullopt;
  }
  const std::string& text = *value.string();
  auto plain = [](char c) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return letter || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  bool dots =
      text.empty() || text.front() == '.' || text.back() == '.' || text.find("..") != std::string::npos;
  if (!dots && std::all_of(text.begin(), text.end(), plain)) return text;
  fail(where,
       fmt::format("\"{}\" cannot be a layer's name: letters, digits, '_' and '-', in parts joined by '.'",
                   text));
  return std::nullopt;
}

std::optional<std::string> Elaborator::label_text(const ast::Label& label) {
  std::string text;
  for (const ast::LabelPart& part : label.parts) {
    std::optional<std::string> piece = label_part_text(part, label.where);
    if (!piece) return std::nullopt;
    if (!text.empty()) text += '.';
    text += *piece;
  }
  if (text.size() + frame_->path.size() > kMaxPathLength) {
    fail(label.where, fmt::format("this layer's name is longer than {} bytes", kMaxPathLength));
    return std::nullopt;
  }
  return text;
}

Elaborator::Invocation Elaborator::evaluate_arguments(const ast::Call& call, const Piped* piped) {
  Invocation invocation{&call, {}, std::nullopt};
  if (call.label) invocation.label = label_text(*call.label).value_or("");
  invocation.piped = piped != nullptr;
  if (piped) invocation.arguments.push_back({"", {}, piped->value, piped->where});
  for (const ast::Argument& argument : call.arguments) {
    BoundArgument bound{"", {}, evaluate(*argument.value), argument.value->where, argument.value.get()};
    if (argument.name) {
      bound.name = argument.name->text;
      bound.name_where = argument.name->where;
    }
    invocation.arguments.push_back(std::move(bound));
  }
  return invocation;
}

Value Elaborator::call(const ast::Call& call, const Piped* piped) {
  if (!charge(1, call.callee.where)) return {};
  const std::string& name = call.callee.text;
  Invocation invocation = evaluate_arguments(call, piped);
  CallableValue target;
  auto global = file_scope().names.find(name);
  const OpInfo* op = find_op(name);
  const Builtin* builtin = find_builtin(name);
  // max, exp and others are both; which one is meant shows in the arguments.
  const bool on_tensors = std::any_of(invocation.arguments.begin(), invocation.arguments.end(),
                                      [](const BoundArgument& a) { return a.value.has_tensors(); });
  if (builtin && !on_tensors) op = nullptr;
  if (Variable* variable = find_variable(name)) {
    if (variable->value.is_poison()) return {};
    const auto* callable = variable->value.as<CallableValue>();
    if (!callable)
      return fail(
          call.callee.where,
          fmt::format("'{}' is {} here and cannot be called", name, with_article(type_name(variable->value))),
          {{variable->declared, "it was made here"}});
    target = *callable;
  } else if (global != file_scope().names.end()) {
    if (global->second.constant) {
      Value value = constant(*global->second.constant, global->second.file);
      if (value.is_poison()) return {};
      if (!value.as<CallableValue>())
        return fail(call.callee.where,
                    fmt::format("'{}' is {} and cannot be called", name, with_article(type_name(value))),
                    {{global->second.where, "it was made here"}});
      target = *value.as<CallableValue>();
    } else if (global->second.callable) {
      target.user = global->second.callable;
    } else {
      return {};
    }
  } else if (op && !op->internal_op) {
    target.op = op;
  } else if (builtin) {
    return call_builtin(*builtin, invocation);
  } else if (is_tensor_function(name)) {
    return call_tensor_function(name, invocation);
  } else {
    return unknown_name(name, call.callee.where, true);
  }
  return target.op ? call_op(*target.op, invocation) : call_user(*target.user, std::move(invocation));
}

Value Elaborator::call_user(const ast::Callable& callable, Invocation invocation) {
  SourceLocation where = invocation.call->callee.where;
  bool bad_label = invocation.label && invocation.label->empty();
  if (callable.faulty || bad_label) return {};
  if (callable.kind == ast::CallableKind::network)
    return fail(where,
                fmt::format("'{}' is a network and cannot be called; make it a block", callable.name.text));
  bool is_fn = callable.kind == ast::CallableKind::function;
  if (is_fn && invocation.label)
    return fail(invocation.call->label->where,
                fmt::format("'{}' computes values and makes no layer to name", callable.name.text));
  if (!is_fn && !can_make_tensors(callable.name.text, where)) return {};
  if (frame_->depth == 0) endless_ = false;
  if (endless_) return {};  // it would be called again from every depth
  if (frame_->depth >= kMaxCallDepth) {
    endless_ = true;
    return fail(where, fmt::format("calls are nested more than {} deep; does '{}' call itself without end?",
                                   kMaxCallDepth, callable.name.text));
  }
  Frame frame;
  frame.callable = &callable;
  frame.file = callable.file;
  frame.call_site = where;
  frame.caller = frame_;
  frame.depth = frame_->depth + 1;
  frame.scopes.emplace_back();
  frame.path = frame_->path;
  frame.reuse = reuses(invocation);
  if (invocation.label) {
    frame.label = *invocation.label;
    frame.path = join_path(frame.label);
    if (frame.path.size() > kMaxPathLength)
      return fail(invocation.call->label->where,
                  fmt::format("this layer's name is longer than {} bytes", kMaxPathLength));
    if (!name_layer(invocation, frame.path))
      while (!layers_.emplace(frame.path, where).second) frame.path += '\'';  // so its layers differ
  }
  Frame* outer = frame_;
  const bool fits = bind_parameters(callable, invocation, frame);
  for (const Frame* caller = frame_; !fits && caller; caller = caller->caller)
    if (caller->callable == &callable) return {};  // which may never end
  frame_ = &frame;
  run_body(callable.body);
  if (!frame.result && !reporter_.is_full())
    fail(callable.name.where,
         fmt::format("'{}' ends without 'return'; write one behind its last statement", callable.name.text));
  frame_ = outer;
  return frame.result.value_or(Value{});
}

const ast::ParameterDecl* Elaborator::find_parameter(const ast::Callable& callable,
                                                     const BoundArgument& argument, size_t position) {
  if (argument.name.empty()) {
    if (position < callable.parameters.size()) return &callable.parameters[position];
    fail(argument.where, too_many_arguments_message(callable, position + 1),
         {{callable.name.where, "it is declared here"}});
    return nullptr;
  }
  for (const ast::ParameterDecl& parameter : callable.parameters)
    if (parameter.name.text == argument.name) return &parameter;
  fail(argument.name_where, unknown_parameter_message(callable, argument.name),
       {{callable.name.where, "it is declared here"}});
  return meant_parameter(callable, argument.name);
}

// What is not given right is unknown in the body, which is run all the same.
bool Elaborator::bind_parameters(const ast::Callable& callable, const Invocation& invocation, Frame& frame) {
  const size_t errors = reporter_.count();
  std::map<std::string_view, const BoundArgument*> given;
  size_t position = 0;
  for (const BoundArgument& argument : invocation.arguments) {
    const ast::ParameterDecl* parameter = find_parameter(callable, argument, position++);
    if (!parameter) continue;
    auto [it, first] = given.emplace(parameter->name.text, &argument);
    if (first) continue;
    fail(argument.name_where ? argument.name_where : argument.where,
         fmt::format("the parameter '{}' is given twice", parameter->name.text),
         {{it->second->where, "it is given here first"}});
  }
  Frame* outer = frame_;
  for (const ast::ParameterDecl& parameter : callable.parameters) {
    auto found = given.find(parameter.name.text);
    Value value;
    if (found != given.end()) {
      const BoundArgument& argument = *found->second;
      value = checked_parameter(parameter, argument.value, argument.where, argument.expr);
    } else if (parameter.fallback) {
      frame_ = &frame;  // defaults see the parameters before them and the names of the block's own file
      value = checked_parameter(parameter, evaluate(*parameter.fallback), parameter.fallback->where,
                                parameter.fallback.get());
      frame_ = outer;
    } else {
      fail(invocation.call->callee.where,
           fmt::format("'{}' needs its parameter '{}'{}", callable.name.text, parameter.name.text,
                       parameter.type ? "" : ", a tensor"),
           {{parameter.name.where, "it is declared here"}});
    }
    frame.scopes.back()[parameter.name.text] = {std::move(value), parameter.name.where};
  }
  return reporter_.count() == errors;
}

Value Elaborator::checked_parameter(const ast::ParameterDecl& parameter, Value value, SourceLocation where,
                                    const ast::Expr* expr) {
  if (value.is_poison()) return value;
  ast::Type type = parameter.type.value_or(ast::Type{});
  const List* list = value.list();
  if (list && type.element && !charge(list->elements.size(), where)) return {};
  if (matches(value, type)) {
    if (type.kind == ast::TypeKind::floating && value.as<int64_t>()) return {value.number()};
    return value;
  }
  std::string what = "the parameter";
  const Value* wrong = &value;
  if (list && type.element) {  // the first element that does not fit, and its place if it is written there
    const ast::Type element = *type.element;
    size_t i = 0;
    while (list->elements[i].is_poison() || matches(list->elements[i], element)) ++i;
    const auto* literal = expr ? expr->as<ast::ListLiteral>() : nullptr;
    if (literal && literal->elements.size() == list->elements.size()) where = literal->elements[i]->where;
    what = fmt::format("element {} of the parameter", i);
    wrong = &list->elements[i];
    type = element;
  }
  std::string advice = wrong->origin ? fmt::format(" ({})", wrong->origin->text) : "";
  if (!parameter.type && !list)
    advice += fmt::format("; for other values declare its type, as in {}: {}", parameter.name.text,
                          value.as<CallableValue>() ? "block" : type_name(value));
  return fail(where,
              fmt::format("{} '{}' must be {}, got {}{}", what, parameter.name.text, ast::described(type),
                          show_with_type(*wrong), advice),
              {{parameter.name.where, "it is declared here"}});
}

Value Elaborator::sum_of_tensors(const List& list, SourceLocation where) {
  Value sum = list.elements[0];
  for (size_t i = 1; i < list.elements.size(); ++i)
    sum = call_operator("add", where, {{"", {}, sum, where}, {"", {}, list.elements[i], where}});
  return sum;
}

Value Elaborator::call_builtin(const Builtin& builtin, const Invocation& invocation) {
  SourceLocation where = invocation.call->callee.where;
  if (invocation.call->label)
    return fail(invocation.call->label->where,
                fmt::format("'{}' computes values and makes no layer to name", builtin.name));
  std::vector<Value> values;
  if (std::string_view(builtin.name) == "sum" && invocation.arguments.size() == 1)
    if (const List* list = invocation.arguments[0].value.list();
        list && invocation.arguments[0].value.has_tensors())
      return sum_of_tensors(*list, where);
  for (const BoundArgument& argument : invocation.arguments) {
    if (argument.value.is_tensor() && !find_op(builtin.name))
      return fail(where,
                  fmt::format("'{0}' computes with numbers; there is no op '{0}' for tensors", builtin.name));
    const List* list = argument.value.list();
    bool unknown = list && list->has_poison && std::string_view(builtin.name) != "len";
    if (argument.value.is_poison() || unknown) return {};
    if (!argument.name.empty())
      return fail(argument.name_where,
                  fmt::format("'{}' takes no named arguments: {}", builtin.name, builtin.signature));
    values.push_back(argument.value);
    if (list && !charge(list->elements.size(), where)) return {};
  }
  int count = static_cast<int>(values.size());
  if (count < builtin.min_arguments || (builtin.max_arguments >= 0 && count > builtin.max_arguments))
    return fail(where, fmt::format("'{}' is called as {}; got {}", builtin.name, builtin.signature,
                                   plural(values.size(), "argument")));
  Value result = settle(builtin.apply(values), where);
  if (result.list() && !charge(result.list()->elements.size(), where)) return {};
  return result;
}

}  // namespace cardinal
