#include "compiler/language/statement_parser.h"

#include <fmt/format.h>

#include "compiler/language/suggest.h"

namespace cardinal {

using namespace ast;

namespace {

constexpr uint32_t kMaxBodyDepth = 64;

}  // namespace

std::optional<Name> StatementParser::name(std::string_view what) {
  if (!tokens_.at(TokenKind::identifier)) {
    tokens_.expected(what);
    return std::nullopt;
  }
  const Token token = tokens_.next();
  return Name{std::string(token.text), token.where};
}

std::optional<Let> StatementParser::let() {
  std::optional<Name> name = this->name("a name after 'let'");
  if (!name) return std::nullopt;
  if (tokens_.at(":")) {
    tokens_.error(tokens_.peek().where,
                  fmt::format("a value's type is not written: let {} = ...", name->text));
    return std::nullopt;
  }
  if (!tokens_.expect("=", "after the name")) return std::nullopt;
  ExprPtr value = expressions_.expression();
  if (!value) return std::nullopt;
  return Let{std::move(*name), std::move(value)};
}

Body StatementParser::body(bool has_value) {
  Body body;
  const Token opening = tokens_.next();
  body.open = opening.where;
  if (++depth_ > kMaxBodyDepth) {
    tokens_.error(opening.where, fmt::format("bodies are nested more than {} levels deep", kMaxBodyDepth));
    skip_body();
  } else {
    statements(body, has_value, opening);
  }
  --depth_;
  body.close = tokens_.previous().where;
  return body;
}

void StatementParser::skip_body() {
  for (int open = 1; open > 0 && !tokens_.at(TokenKind::end); tokens_.next()) {
    if (tokens_.at("{")) ++open;
    if (tokens_.at("}")) --open;
  }
}

void StatementParser::statements(Body& body, bool has_value, const Token& opening) {
  bool ok = true;
  for (tokens_.skip_newlines(); !tokens_.at("}"); tokens_.skip_newlines()) {
    if (tokens_.at(TokenKind::end) || (depth_ == 1 && starts_declaration())) {
      Diagnostic* d = tokens_.error(tokens_.peek().where,
                                    fmt::format("expected '}}', found {}", describe(tokens_.peek())));
      if (d && unclosed_ && unclosed_.line > opening.where.line) {
        d->notes.push_back({unclosed_, "perhaps to close this '{', whose '}' stands at the line's start"});
      } else if (d) {
        d->notes.push_back({opening.where, "to close this '{'"});
      }
      return;
    }
    SourceLocation where = tokens_.peek().where;
    const size_t begin = tokens_.position(), errors = tokens_.error_count(), contained = tokens_.contained();
    bool good = has_value && !starts_statement() ? tail(body) : statement(body);
    if (good && !body.statements.empty() && !body.tail) {
      body.statements.back().where = where;
      body.statements.back().end_line = tokens_.previous().where.line;
    }
    ok &= good;
    const bool semicolon = good && tokens_.at(";");
    if (semicolon) {
      tokens_.mend(tokens_.next().where, "unexpected ';'; a statement ends at the end of its line");
      continue;
    }
    if (good && !tokens_.at(TokenKind::newline) && !tokens_.at("}"))
      good = tokens_.expected("the end of the line");
    if (!good) tokens_.recover();
    if (!good && is_contained(begin)) {
      tokens_.contained() = contained + tokens_.error_count() - errors;
      set_unreadable(body, begin, where);
    }
    if (!good && !tokens_.at("}") && !tokens_.at(TokenKind::newline) && !tokens_.at(TokenKind::end))
      tokens_.next();
  }
  SourceLocation close = tokens_.next().where;
  if (depth_ > 1 && close.column == 1 && close.line != opening.where.line) unclosed_ = opening.where;
  if (has_value && ok && !body.tail)
    tokens_.error(close, "this branch has no value; its last line must be an expression");
}

// Whether what was skipped since then was one statement and nothing that follows it: an open bracket hides
// the ends of lines.
bool StatementParser::is_contained(size_t begin) const {
  const bool has_body = tokens_.token(begin).is("if") || tokens_.token(begin).is("for");
  for (size_t i = begin + 1; i < tokens_.position(); ++i) {
    const Token &before = tokens_.token(i - 1), &token = tokens_.token(i);
    if (has_body && token.is("{")) return false;
    if (token.where.line == before.where.line) continue;
    bool begins_statement = token.kind == TokenKind::keyword || token.is("{") || token.is("}") ||
                            (token.kind == TokenKind::identifier &&
                             (tokens_.token(i + 1).is("=") || tokens_.token(i + 1).is(",")));
    if (begins_statement || token.kind == TokenKind::newline) return false;
  }
  return true;
}

// Puts what can be known of a faulty statement into the body: the names that it begins with, `a, b = ...`.
void StatementParser::set_unreadable(Body& body, size_t begin, SourceLocation where) {
  if (!body.statements.empty() && body.statements.back().where == where) body.statements.pop_back();
  Unreadable result;
  result.returns =
      tokens_.token(begin).is("return") ||
      (tokens_.token(begin).text == "output" && tokens_.token(begin + 1).kind == TokenKind::identifier);
  size_t i = begin;
  for (;; ++i) {
    const Token& token = tokens_.token(i);
    if (token.kind == TokenKind::identifier)
      result.names.push_back({std::string(token.text), token.where});
    else if (!token.is(",") && !(i == begin && (token.is("let") || token.is("for"))))
      break;
  }
  // A value that is not used: nothing changes.
  if (tokens_.token(i).is("|>") || tokens_.token(i).is("(")) result.names.clear();
  body.statements.push_back({std::move(result), where});
}

bool StatementParser::starts_declaration() const {
  return tokens_.peek().where.column == 1 &&
         (tokens_.at("block") || tokens_.at("network") || tokens_.at("fn"));
}

bool StatementParser::starts_statement() const {
  if (tokens_.at("let") || tokens_.at("for") || tokens_.at("return")) return true;
  return tokens_.at(TokenKind::identifier) && (tokens_.peek(1).is("=") || tokens_.peek(1).is(","));
}

bool StatementParser::tail(Body& body) {
  SourceLocation where = tokens_.peek().where;
  bool is_if = tokens_.at("if");
  ExprPtr value = expressions_.expression();
  if (!value) return false;
  size_t newlines = 0;
  while (tokens_.peek(newlines).kind == TokenKind::newline) ++newlines;
  if (!tokens_.peek(newlines).is("}")) {
    if (tokens_.at(TokenKind::newline))
      tokens_.error(where, is_if ? "statements follow this 'if', so its value is lost; assign it to a name"
                                 : "the value of this line is not used; assign it to a name");
    return false;
  }
  body.tail = std::move(value);
  return true;
}

bool StatementParser::statement(Body& body) {
  if (!body.statements.empty() && std::holds_alternative<Return>(body.statements.back().node)) {
    Diagnostic* d = tokens_.error(tokens_.peek().where, "nothing runs after 'return'");
    if (d) d->notes.push_back({body.statements.back().where, "returns here"});
    return false;
  }
  std::optional<Stmt> result = statement_node();
  if (result) body.statements.push_back(std::move(*result));
  return result.has_value();
}

std::optional<Stmt> StatementParser::statement_node() {
  if (tokens_.accept("let")) {
    std::optional<Let> let = this->let();
    if (!let) return std::nullopt;
    return Stmt{std::move(*let), {}};
  }
  if (tokens_.at("for")) return for_loop();
  if (tokens_.at("if")) {
    std::optional<If> chain = expressions_.if_chain([this] { return body(false); });
    if (!chain) return std::nullopt;
    return Stmt{Branch{std::move(*chain)}, {}};
  }
  if (tokens_.at("return")) return return_statement();
  if (tokens_.at_word("input") && tokens_.peek(1).kind == TokenKind::identifier) return input();
  if (tokens_.at(TokenKind::identifier) && (tokens_.peek(1).is("=") || tokens_.peek(1).is(",")))
    return assignment();
  if (tokens_.at_word("convention")) return convention();
  return misplaced();
}

std::optional<Stmt> StatementParser::misplaced() {
  const Token token = tokens_.peek();
  if (tokens_.at_word("while") && !tokens_.peek(1).is("(") && !tokens_.peek(1).is(":")) {
    tokens_.error(token.where, "there is no 'while'; a loop is 'for name in list { ... }'");
    return std::nullopt;
  }
  bool worded = token.kind == TokenKind::identifier && tokens_.peek(1).kind == TokenKind::identifier;
  std::string hint =
      worded ? did_you_mean(token.text, {"let", "for", "return", "input", "if", "convention"}) : "";
  if (token.is("block") || token.is("network") || token.is("fn") || token.is("import"))
    hint = "; declarations stand outside of all braces";
  if (!hint.empty()) {
    tokens_.error(token.where, fmt::format("expected a statement, found {}{}", describe(token), hint));
    return std::nullopt;
  }
  if (worded && token.text == "output") {
    tokens_.error(token.where, "there is no 'output'; write return");
    return std::nullopt;
  }
  if (!expressions_.expression()) return std::nullopt;
  if (tokens_.at("."))
    tokens_.expected("the end of the line");
  else
    tokens_.error(token.where, "the value of this line is not used; assign it to a name, as in 'y = ...'");
  return std::nullopt;
}

std::optional<Stmt> StatementParser::assignment() {
  Assign assign;
  do {
    std::optional<Name> name = this->name("a name to assign to");
    if (!name) return std::nullopt;
    assign.names.push_back(std::move(*name));
  } while (tokens_.accept(","));
  if (!tokens_.expect("=", "after the names to assign to")) return std::nullopt;
  assign.value = expressions_.expression();
  if (!assign.value) return std::nullopt;
  return Stmt{std::move(assign), {}};
}

std::optional<Stmt> StatementParser::for_loop() {
  tokens_.next();
  std::optional<Name> variable = name("a name for the loop variable");
  if (variable && tokens_.at(","))
    tokens_.error(tokens_.peek().where,
                  fmt::format("a loop has one variable; take the elements of {0} apart in the body, {0}[0]",
                              variable->text));
  if (!variable || !tokens_.expect("in", "after the loop variable")) return std::nullopt;
  ExprPtr iterable = expressions_.expression();
  if (!iterable) return std::nullopt;
  if (!tokens_.at_body()) {
    tokens_.expected("'{' before the loop's body");
    return std::nullopt;
  }
  Body body = this->body(false);
  return Stmt{For{std::move(*variable), std::move(iterable), std::move(body)}, {}};
}

// `layout=nhwc` after an input's type or a returned value.
bool StatementParser::layout(ExprPtr& out) {
  if (!tokens_.at_word("layout") || !tokens_.peek(1).is("=")) return true;
  tokens_.next();
  tokens_.next();
  out = expressions_.primary();
  return out != nullptr;
}

std::optional<Stmt> StatementParser::return_statement() {
  tokens_.next();
  Return result;
  if (tokens_.at(TokenKind::newline) || tokens_.at("}")) {
    tokens_.expected("a value after 'return'");
    return std::nullopt;
  }
  do {
    Return::Item item;
    if (tokens_.at(TokenKind::identifier) && tokens_.peek(1).is("=")) {
      item.name = name("a name");
      tokens_.next();
    }
    item.value = expressions_.expression();
    if (!item.value || !layout(item.layout)) return std::nullopt;
    result.items.push_back(std::move(item));
  } while (tokens_.accept(","));
  return Stmt{std::move(result), {}};
}

std::optional<Stmt> StatementParser::convention() {
  ConventionStmt result;
  result.where = tokens_.next().where;
  if (tokens_.at(TokenKind::newline) || tokens_.at("}")) {
    tokens_.expected("a convention such as keras");
    return std::nullopt;
  }
  result.value = expressions_.expression();
  if (!result.value) return std::nullopt;
  return Stmt{std::move(result), {}};
}

std::optional<Stmt> StatementParser::input() {
  tokens_.next();
  InputStmt result;
  result.name = *name("a name for the input");
  if (!tokens_.expect(":", "and a type such as f32[1, 3, 224, 224] after the input's name"))
    return std::nullopt;
  std::optional<Name> dtype = name("an element type such as f32");
  if (!dtype) return std::nullopt;
  result.dtype = std::move(*dtype);
  const Token opening = tokens_.peek();
  if (!tokens_.expect("[", "and the input's dimensions")) return std::nullopt;
  while (!tokens_.at("]")) {
    ExprPtr dim = expressions_.expression();
    if (!dim) return std::nullopt;
    result.dims.push_back(std::move(dim));
    if (!tokens_.accept(",")) break;
  }
  if (!tokens_.expect_closing("]", opening) || !layout(result.layout)) return std::nullopt;
  return Stmt{std::move(result), {}};
}

}  // namespace cardinal
