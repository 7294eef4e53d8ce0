#include "compiler/language/flat_text.h"

namespace cardinal {

using namespace ast;

namespace {

template <class List, class Text>
std::string joined(const List& list, Text&& text) {
  std::string out;
  for (const auto& element : list) {
    if (!out.empty()) out += ", ";
    out += text(element);
  }
  return out;
}

struct Flat {
  std::string operator()(const IntLiteral& e) const { return e.text; }
  std::string operator()(const FloatLiteral& e) const { return e.text; }
  std::string operator()(const BoolLiteral& e) const { return e.value ? "true" : "false"; }
  std::string operator()(const StringLiteral& e) const { return e.source; }
  std::string operator()(const NameRef& e) const { return e.name; }
  std::string operator()(const ListLiteral& e) const {
    return "[" + joined(e.elements, [](const ExprPtr& x) { return flat_text(*x); }) + "]";
  }
  std::string operator()(const Unary& e) const {
    return (e.op == UnaryOp::negate ? "-" : "not ") + flat_text(*e.operand);
  }
  std::string operator()(const Binary& e) const {
    std::string_view space = e.op == BinaryOp::range ? "" : " ";
    return flat_text(*e.left) + std::string(space) + std::string(spelling(e.op)) + std::string(space) +
           flat_text(*e.right);
  }
  std::string operator()(const Index& e) const {
    return flat_text(*e.base) + "[" + flat_text(*e.index) + "]";
  }
  std::string operator()(const Paren& e) const { return "(" + flat_text(*e.inner) + ")"; }
  std::string operator()(const Call& e) const {
    std::string out = e.label ? flat_text(*e.label) + ": " : "";
    out += e.callee.text;
    if (!e.parenthesised) return out;
    return out + "(" + joined(e.arguments, [](const Argument& a) { return flat_text(a); }) + ")";
  }
  std::string operator()(const Pipe& e) const {
    std::string out = flat_text(*e.head);
    for (const ExprPtr& stage : e.stages) out += " |> " + flat_text(*stage);
    return out;
  }
  std::string operator()(const If& e) const {
    std::string out;
    for (const If::Arm& arm : e.arms) {
      if (!out.empty()) out += " else ";
      out +=
          "if " + flat_text(*arm.condition) + " { " + (arm.body.tail ? flat_text(*arm.body.tail) : "") + " }";
    }
    if (e.otherwise) out += " else { " + (e.otherwise->tail ? flat_text(*e.otherwise->tail) : "") + " }";
    return out;
  }
};

}  // namespace

std::string flat_text(const Expr& expr) { return std::visit(Flat{}, expr.node); }

std::string flat_text(const Label& label) {
  std::string out;
  for (const LabelPart& part : label.parts) {
    if (part.bracketed) {
      out += "[" + flat_text(*part.value) + "]";
      continue;
    }
    if (!out.empty()) out += ".";
    out += part.value ? flat_text(*part.value) : part.text;
  }
  return (label.reuse ? "reuse " : "") + out;
}

std::string flat_text(const Argument& argument) {
  return (argument.name ? argument.name->text + "=" : "") + flat_text(*argument.value);
}

std::string flat_text(const ParameterDecl& parameter) {
  std::string out = parameter.name.text;
  if (parameter.type) out += ": " + to_string(*parameter.type);
  if (parameter.fallback) out += " = " + flat_text(*parameter.fallback);
  return out;
}

}  // namespace cardinal
