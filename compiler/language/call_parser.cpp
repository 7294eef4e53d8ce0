// Calls in expressions: the layer's name before them and the arguments.
#include <fmt/format.h>

#include "compiler/language/expression_parser.h"

namespace cardinal {

using namespace ast;

ExprPtr ExpressionParser::stage() {
  std::optional<Label> label = this->label();
  if (bad_label_) return nullptr;
  if (tokens_.at(TokenKind::string)) {
    tokens_.next();
    tokens_.error(tokens_.peek().where,
                  fmt::format("expected ':' after the layer's name, found {}{}", describe(tokens_.peek()),
                              tokens_.at("+") ? "; values go inside it, as in \"layer{i}\":" : ""));
    return nullptr;
  }
  if (!tokens_.at(TokenKind::identifier)) {
    tokens_.expected("an op or a block after '|>'");
    return nullptr;
  }
  if (refuse_nameless_reuse()) return nullptr;
  return call(std::move(label), false);
}

// `reuse Head(x)`
bool ExpressionParser::refuse_nameless_reuse() {
  if (!tokens_.at_word("reuse") || tokens_.peek(1).kind != TokenKind::identifier) return false;
  const Token& callee = tokens_.peek(1);
  tokens_.error(callee.where,
                fmt::format("'reuse' stands before the name of the layer whose weights are used again: write "
                            "reuse name: {}",
                            callee.text));
  return true;
}

ExprPtr ExpressionParser::call(std::optional<Label> label, bool needs_parentheses) {
  uint32_t line = label ? label->where.line : tokens_.peek().where.line;
  const Token token = tokens_.next();
  Call call;
  call.label = std::move(label);
  call.callee = {std::string(token.text), token.where};
  call.parenthesised = tokens_.at("(");
  if (call.parenthesised) {
    const Token opening = tokens_.next();
    if (!arguments(call, opening)) return nullptr;
  } else if (needs_parentheses) {
    tokens_.error(tokens_.peek().where,
                  fmt::format("expected '(' after '{}', found {}", token.text, describe(tokens_.peek())));
    return nullptr;
  }
  call.close_line = tokens_.previous().where.line;
  uint32_t depth = 0;
  for (const Argument& argument : call.arguments) depth = std::max(depth, argument.value->depth);
  if (call.label)
    for (const LabelPart& part : call.label->parts)
      if (part.value) depth = std::max(depth, part.value->depth);
  SourceLocation where = call.callee.where;
  ExprPtr result = make(std::move(call), where, line);
  result->depth = depth + 1;
  return result;
}

// `kernel: 3` for `kernel=3`; what names a layer goes on with a call.
bool ExpressionParser::colon_argument() {
  if (!tokens_.at(TokenKind::identifier) || !tokens_.peek(1).is(":")) return false;
  if (tokens_.peek(2).kind == TokenKind::identifier && tokens_.peek(3).is("(")) return false;
  tokens_.error(
      tokens_.peek(1).where,
      fmt::format("expected '=' after the argument's name, found ':'; write {}=...", tokens_.peek().text));
  return true;
}

bool ExpressionParser::arguments(Call& call, const Token& opening) {
  call.broken = tokens_.peek().where.line != opening.where.line;
  while (!tokens_.at(")")) {
    Argument argument;
    if (colon_argument()) return false;
    if (tokens_.at(TokenKind::identifier) && tokens_.peek(1).is("=")) {
      const Token name = tokens_.next();
      tokens_.next();
      argument.name = Name{std::string(name.text), name.where};
    }
    argument.value = expression();
    if (!argument.value) return false;
    if (!argument.name && !call.arguments.empty() && call.arguments.back().name) {
      tokens_.error(argument.value->where, "arguments without a name come before those with one");
      return false;
    }
    call.arguments.push_back(std::move(argument));
    if (!tokens_.accept(",")) break;
  }
  return tokens_.expect_closing(")", opening);
}

std::optional<Label> ExpressionParser::label() {
  bad_label_ = false;
  // Looks ahead for the ':' first, so that errors inside the parts are reported only for what is a label.
  int depth = 0;
  for (size_t i = 0;; ++i) {
    const Token& token = tokens_.peek(i);
    if (token.is("[")) {
      ++depth;
    } else if (token.is("]")) {
      if (--depth < 0) return std::nullopt;
    } else if (depth == 0) {
      if (token.is(":")) {
        if (i == 0) return std::nullopt;
        break;
      }
      bool part = token.kind == TokenKind::identifier || token.kind == TokenKind::integer ||
                  token.kind == TokenKind::string || token.kind == TokenKind::floating || token.is(".");
      if (token.kind == TokenKind::keyword)  // looks like a part; label_part says why it is none
        part = tokens_.peek(i + 1).is(":") || tokens_.peek(i + 1).is(".") ||
               (i > 0 && tokens_.peek(i - 1).is("."));
      if (!part) return std::nullopt;
    } else if (token.kind == TokenKind::newline || token.kind == TokenKind::end) {
      return std::nullopt;
    }
  }
  Label label;
  const Token& word = tokens_.peek();
  const TokenKind second = tokens_.peek(1).kind;
  if (word.kind == TokenKind::identifier && word.text == "reuse" &&
      (second == TokenKind::identifier || second == TokenKind::string)) {
    label.reuse = true;
    tokens_.next();
  }
  label.where = tokens_.peek().where;
  for (bool first = true; !tokens_.at(":"); first = false) {
    if (!label_part(label, first)) {
      bad_label_ = true;
      return std::nullopt;
    }
  }
  const Token& last = tokens_.previous();
  if (last.where.line == label.where.line)
    label.where.length = last.where.column + last.where.length - label.where.column;
  tokens_.next();
  return label;
}

bool ExpressionParser::label_part(Label& label, bool first) {
  if (tokens_.at("[")) {
    const Token opening = tokens_.next();
    ExprPtr index = expression();
    if (!index || !tokens_.expect_closing("]", opening)) return false;
    label.parts.push_back({"", std::move(index), true});
    return true;
  }
  if (!first && !tokens_.accept(".")) return tokens_.expected("'.', '[' or ':' in a layer's name");
  if (tokens_.at(TokenKind::string)) {
    ExprPtr value = string();
    if (!value) return false;
    label.parts.push_back({"", std::move(value), false});
    return true;
  }
  if (tokens_.at(TokenKind::keyword)) {
    tokens_.error(
        tokens_.peek().where,
        fmt::format("'{0}' is a keyword; in a layer's name write it as \"{0}\"", tokens_.peek().text));
    return false;
  }
  if (!tokens_.at(TokenKind::identifier) && !tokens_.at(TokenKind::integer))
    return tokens_.expected("a part of a layer's name");
  label.parts.push_back({std::string(tokens_.next().text), nullptr, false});
  return true;
}

}  // namespace cardinal
