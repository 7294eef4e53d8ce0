// Statements and the bodies that they stand in. What cannot be read is told once, and reading goes on behind
// it.
#pragma once

#include <optional>
#include <string_view>

#include "compiler/language/ast.h"
#include "compiler/language/expression_parser.h"
#include "compiler/language/token_stream.h"

namespace cardinal {

class StatementParser {
 public:
  explicit StatementParser(TokenStream& tokens)
      : tokens_(tokens), expressions_(tokens, [this] { return body(true); }) {}
  StatementParser(const StatementParser&) = delete;
  StatementParser& operator=(const StatementParser&) = delete;

  // `{ ... }`, which comes next. With a value it ends in an expression.
  ast::Body body(bool has_value);
  // Nothing after an error, which has been reported.
  std::optional<ast::Let> let();  // behind the word
  std::optional<ast::Name> name(std::string_view what);
  ExpressionParser& expressions() { return expressions_; }

 private:
  void skip_body();
  void statements(ast::Body& body, bool has_value, const Token& opening);
  bool is_contained(size_t begin) const;
  void set_unreadable(ast::Body& body, size_t begin, SourceLocation where);
  bool starts_declaration() const;
  bool starts_statement() const;
  bool tail(ast::Body& body);
  bool statement(ast::Body& body);
  std::optional<ast::Stmt> statement_node();
  std::optional<ast::Stmt> misplaced();
  std::optional<ast::Stmt> assignment();
  std::optional<ast::Stmt> for_loop();
  bool layout(ast::ExprPtr& out);
  std::optional<ast::Stmt> return_statement();
  std::optional<ast::Stmt> convention();
  std::optional<ast::Stmt> input();

  TokenStream& tokens_;
  ExpressionParser expressions_;
  uint32_t depth_ = 0;
  SourceLocation unclosed_;  // a '{' inside a body that was closed by a '}' as if it were the body's
};

}  // namespace cardinal
