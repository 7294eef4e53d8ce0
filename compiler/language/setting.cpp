#include "compiler/language/setting.h"

#include "compiler/language/arithmetic.h"
#include "compiler/language/expression_parser.h"

namespace cardinal {
namespace {

std::optional<Value> literal_value(const ast::Expr& expr) {
  if (const auto* e = expr.as<ast::IntLiteral>()) return Value{e->value};
  if (const auto* e = expr.as<ast::FloatLiteral>()) return Value{e->value};
  if (const auto* e = expr.as<ast::BoolLiteral>()) return Value{e->value};
  if (const auto* e = expr.as<ast::NameRef>()) return make_string(e->name);
  const auto* text = expr.as<ast::StringLiteral>();
  if (text && text->values.empty()) return make_string(text->texts[0]);
  if (const auto* e = expr.as<ast::Unary>()) {
    std::optional<Value> operand = literal_value(*e->operand);
    if (!operand || !operand->is_number()) return std::nullopt;
    Outcome result = apply_unary(e->op, *operand);
    if (const auto* value = std::get_if<Value>(&result)) return *value;
    return std::nullopt;
  }
  const auto* list = expr.as<ast::ListLiteral>();
  if (!list) return std::nullopt;
  std::vector<Value> elements;
  for (const auto& element : list->elements) {
    std::optional<Value> value = literal_value(*element);
    if (!value) return std::nullopt;
    elements.push_back(std::move(*value));
  }
  if (!list_problem(elements).empty()) return std::nullopt;
  return make_list(std::move(elements));
}

}  // namespace

std::optional<Value> parse_setting(const std::string& text, const ast::Type& type) {
  bool quoted = !text.empty() && text.front() == '"';
  if (type.kind == ast::TypeKind::string && !quoted) return make_string(text);
  Diagnostics ignored;
  TokenStream tokens(lex({text, {0, 1, 1, 1}}, ignored).list, ignored);
  ExpressionParser parser(tokens, [] { return ast::Body{}; });
  ast::ExprPtr expr = parser.expression();
  while (tokens.at(TokenKind::newline)) tokens.next();
  if (!expr || !ignored.empty() || !tokens.at(TokenKind::end)) return std::nullopt;
  return literal_value(*expr);
}

}  // namespace cardinal
