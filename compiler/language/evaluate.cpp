// Expressions.
#include <fmt/format.h>

#include <algorithm>

#include "compiler/language/elaborator.h"
#include "compiler/language/names.h"

namespace cardinal {
namespace {

// Stack depth of the interpreter itself: expressions within calls within expressions. A level takes about a
// kilobyte.
constexpr uint32_t kMaxEvaluationDepth = 1500;

// Where a body first makes a value or a tensor of that name, its loops and branches included; else nowhere.
SourceLocation place_made(const ast::Body& body, std::string_view name) {
  SourceLocation place;
  const auto look = [&](const auto& self, const ast::Body& inner) -> void {
    for (const ast::Stmt& statement : inner.statements) {
      if (place) return;
      if (const auto* let = std::get_if<ast::Let>(&statement.node); let && let->name.text == name)
        place = let->name.where;
      if (const auto* assignment = std::get_if<ast::Assign>(&statement.node))
        for (const ast::Name& made : assignment->names)
          if (made.text == name) place = made.where;
      if (const auto* loop = std::get_if<ast::For>(&statement.node)) self(self, loop->body);
      if (const auto* branch = std::get_if<ast::Branch>(&statement.node)) {
        for (const ast::If::Arm& arm : branch->branch.arms) self(self, arm.body);
        if (branch->branch.otherwise) self(self, *branch->branch.otherwise);
      }
    }
  };
  look(look, body);
  return place;
}

}  // namespace

Value Elaborator::settle(Outcome outcome, SourceLocation where) {
  if (auto* message = std::get_if<std::string>(&outcome)) return fail(where, std::move(*message));
  return std::get<Value>(std::move(outcome));
}

Value Elaborator::evaluate(const ast::Expr& expr) {
  if (!charge(1, expr.where)) return {};
  if (depth_ >= kMaxEvaluationDepth)
    return fail(expr.where, "calls and expressions are nested too deeply here");
  ++depth_;
  Value value = std::visit([&](const auto& node) { return evaluate_node(node, expr); }, expr.node);
  --depth_;
  return value;
}

Value Elaborator::evaluate_node(const ast::StringLiteral& e, const ast::Expr& expr) {
  std::string text = e.texts[0];
  bool poisoned = false;
  for (size_t i = 0; i < e.values.size(); ++i) {
    Value value = evaluate(*e.values[i]);
    poisoned |= value.is_poison();
    if (value.has_tensors() || value.as<CallableValue>())
      return fail(e.values[i]->where,
                  fmt::format("{} cannot be written into a string", with_article(type_name(value))));
    text += value.string() ? *value.string() : show(value);
    text += e.texts[i + 1];
    if (text.size() > kMaxStringLength)
      return fail(expr.where, fmt::format("this string is longer than {} bytes", kMaxStringLength));
  }
  return poisoned ? Value{} : make_string(std::move(text));
}

Value Elaborator::evaluate_node(const ast::ListLiteral& e, const ast::Expr& expr) {
  std::vector<Value> elements;
  for (const auto& element : e.elements) elements.push_back(evaluate(*element));
  if (std::string problem = list_problem(elements); !problem.empty())
    return fail(expr.where, std::move(problem));
  return make_list(std::move(elements));
}

Value Elaborator::evaluate_node(const ast::NameRef& e, const ast::Expr& expr) {
  if (Variable* variable = find_variable(e.name)) return variable->value;
  auto global = file_scope().names.find(e.name);
  if (global != file_scope().names.end()) {
    if (global->second.constant) return constant(*global->second.constant, global->second.file);
    if (!global->second.callable || global->second.callable->faulty) return {};
    return {CallableValue{global->second.callable, nullptr}};
  }
  if (std::find(bare_words().begin(), bare_words().end(), e.name) != bare_words().end())
    return make_string(e.name);
  const OpInfo* op = find_op(e.name);
  if (op && !op->internal_op) return {CallableValue{nullptr, op}};
  return unknown_name(e.name, expr.where, false);
}

Value Elaborator::constant(const ast::Let& let, uint32_t file) {
  auto [it, first] = constants_.try_emplace(&let, std::nullopt);
  if (it->second) return *it->second;
  if (!first)
    return fail(let.name.where, fmt::format("the constant '{}' is defined by itself", let.name.text));
  Frame frame;
  frame.file = file;
  frame.caller = frame_;
  frame.scopes.emplace_back();
  Frame* outer = frame_;
  frame_ = &frame;
  Value value = evaluate(*let.value);
  frame_ = outer;
  if (value.has_tensors()) value = {};
  constants_[&let] = value;
  return value;
}

Value Elaborator::evaluate_node(const ast::Unary& e, const ast::Expr& expr) {
  Value operand = evaluate(*e.operand);
  if (operand.is_poison()) return operand;
  if (operand.is_tensor() && e.op == ast::UnaryOp::negate)
    return call_affine(expr.where, {"", {}, operand, e.operand->where}, Value{-1.0}, Value{0.0});
  return settle(apply_unary(e.op, operand), expr.where);
}

Value Elaborator::evaluate_node(const ast::Binary& e, const ast::Expr& expr) {
  if (e.op == ast::BinaryOp::logical_and || e.op == ast::BinaryOp::logical_or) return evaluate_logical(e);
  Value a = evaluate(*e.left), b = evaluate(*e.right);
  if (a.is_poison() || b.is_poison()) return {};
  if (a.is_tensor() || b.is_tensor()) return evaluate_tensor_binary(e, a, b);
  if (a.list() || b.list()) {
    size_t work = (a.list() ? a.list()->elements.size() : 0) + (b.list() ? b.list()->elements.size() : 0);
    if (!charge(work, expr.where)) return {};
  }
  Value result = settle(apply_binary(e.op, a, b), e.op_where);
  if (result.list() && !charge(result.list()->elements.size(), expr.where)) return {};
  if (result.origin) {
    Origin origin = *result.origin;
    origin.where = e.op_where;
    result.origin = std::make_shared<const Origin>(std::move(origin));
  }
  return result;
}

Value Elaborator::evaluate_logical(const ast::Binary& e) {
  std::optional<bool> left = condition(*e.left);
  if (!left) return {};
  bool decided = e.op == ast::BinaryOp::logical_and ? !*left : *left;
  if (decided) return {*left};
  std::optional<bool> right = condition(*e.right);
  return right ? Value{*right} : Value{};
}

Value Elaborator::call_operator(std::string_view op, SourceLocation where,
                                std::vector<BoundArgument> arguments) {
  ast::Call call;
  call.callee = {std::string(op), where};
  for (BoundArgument& argument : arguments) argument.where = where;  // errors are marked at the operator
  return call_op(*find_op(op), {&call, std::move(arguments), std::nullopt});
}

Value Elaborator::call_affine(SourceLocation where, BoundArgument x, const Value& scale, const Value& shift) {
  return call_operator("affine", where,
                       {std::move(x), {"scale", where, scale, where}, {"shift", where, shift, where}});
}

Value Elaborator::evaluate_tensor_binary(const ast::Binary& e, const Value& a, const Value& b) {
  using ast::BinaryOp;
  const SourceLocation where = e.op_where;
  const bool adds = e.op == BinaryOp::add, subtracts = e.op == BinaryOp::subtract;
  const bool multiplies = e.op == BinaryOp::multiply, divides = e.op == BinaryOp::divide;
  BoundArgument left{"", {}, a, e.left->where}, right{"", {}, b, e.right->where};
  const Value zero{0.0}, one{1.0}, minus_one{-1.0};
  if (a.is_tensor() && b.is_tensor()) {
    if (adds || multiplies || divides)
      return call_operator(adds ? "add" : multiplies ? "mul" : "div", where, {left, right});
    if (!subtracts)
      return fail(where,
                  fmt::format("'{}' does not work on two tensors; '+', '-', '*' and '/' do", spelling(e.op)));
    right.value = call_affine(where, right, minus_one, zero);
    return call_operator("add", where, {left, right});
  }
  if (e.op >= BinaryOp::equal && e.op <= BinaryOp::greater_equal)
    return fail(where, "tensors cannot be compared: their elements are not known while compiling");
  const Value& number = a.is_tensor() ? b : a;
  if (!number.is_number())
    return fail(where, fmt::format("'{}' needs a tensor or a number beside a tensor, not {}", spelling(e.op),
                                   type_name(number)));
  const BoundArgument& x = a.is_tensor() ? left : right;
  if (adds) return call_affine(where, x, one, number);
  if (multiplies) return call_affine(where, x, number, zero);
  if (subtracts && b.is_tensor()) return call_affine(where, x, minus_one, number);
  if (subtracts) return call_affine(where, x, one, Value{-number.number()});
  if (divides && b.is_tensor())
    return call_operator("div", where, {{"", {}, call_affine(where, x, zero, number), where}, right});
  if (e.op == BinaryOp::power && a.is_tensor() && number.number() == 2)
    return call_operator("mul", where, {left, left});
  if (e.op == BinaryOp::power && a.is_tensor() && number.number() == 0.5)
    return call_operator("sqrt", where, {left});
  if (!divides)
    return fail(where,
                fmt::format("'{}' does not work on {} and {}; '+', '-', '*', '/', tensor ** 2 and tensor "
                            "** 0.5 do",
                            spelling(e.op), with_article(type_name(a)), with_article(type_name(b))));
  const Value scale = settle(apply_binary(BinaryOp::divide, one, number), where);
  return scale.is_poison() ? scale : call_affine(where, x, scale, zero);
}

Value Elaborator::evaluate_node(const ast::Index& e, const ast::Expr& expr) {
  Value base = evaluate(*e.base), index = evaluate(*e.index);
  if (base.is_poison() || index.is_poison()) return {};
  return settle(apply_index(base, index), base.list() ? e.index->where : expr.where);
}

Value Elaborator::evaluate_node(const ast::Pipe& e, const ast::Expr&) {
  Piped piped{evaluate(*e.head), e.head->where};
  for (const auto& stage : e.stages) {
    piped.value = call(*stage->as<ast::Call>(), &piped);
    piped.where = stage->where;
  }
  return piped.value;
}

std::optional<bool> Elaborator::condition(const ast::Expr& expr) {
  Value value = evaluate(expr);
  if (value.is_poison()) return std::nullopt;
  if (const auto* flag = value.as<bool>()) return *flag;
  const auto* name = expr.as<ast::NameRef>();
  fail(expr.where,
       fmt::format("expected true or false, got {}{}", show_with_type(value),
                   value.is_number() ? fmt::format("; compare it, as in {} > 0", name ? name->name : "n")
                                     : std::string()));
  return std::nullopt;
}

Value Elaborator::evaluate_node(const ast::If& e, const ast::Expr&) {
  auto value_of = [&](const ast::Body& body) {
    push_scope();
    run_body(body);
    Value value = body.tail && !frame_->result ? evaluate(*body.tail) : Value{};
    pop_scope();
    return value;
  };
  for (const ast::If::Arm& arm : e.arms) {
    std::optional<bool> holds = condition(*arm.condition);
    if (!holds) {
      poison_assigned(e);
      return {};
    }
    if (*holds) return value_of(arm.body);
  }
  return value_of(*e.otherwise);
}

Value Elaborator::unknown_name(const std::string& name, SourceLocation where, bool called) {
  if (file_scope().incomplete) return {};
  if (auto ended = frame_->ended.find(name); ended != frame_->ended.end())
    return fail(
        where, fmt::format("'{}' is known only inside the braces where it was made", name),
        {{ended->second, fmt::format("'{}' was made here; assign it before the braces to keep it", name)}});
  std::vector<Diagnostic::Note> notes;
  if (frame_->callable)
    if (SourceLocation later = place_made(frame_->callable->body, name); later.line > where.line)
      notes.push_back({later, fmt::format("'{}' is made only here", name)});
  std::vector<std::string> locals;
  for (const auto& scope : frame_->scopes)
    for (const auto& [variable, value] : scope) locals.push_back(variable);
  return fail(where, unknown_name_message(name, called, file_scope(), std::move(locals)), notes);
}

}  // namespace cardinal
