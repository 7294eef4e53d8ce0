// Expressions, by precedence climbing.
#pragma once

#include <functional>

#include "compiler/language/ast.h"
#include "compiler/language/token_stream.h"

namespace cardinal {

// Trees are at most this high, so that nothing that walks them can run out of stack.
inline constexpr uint32_t kMaxExpressionDepth = 256;
// The parser's own recursion: a level of parentheses counts twice.
inline constexpr uint32_t kMaxNesting = 2 * kMaxExpressionDepth;

class ExpressionParser {
 public:
  using BodyParser = std::function<ast::Body()>;  // `{ ... }` of an `if` used as a value
  ExpressionParser(TokenStream& tokens, BodyParser parse_body)
      : tokens_(tokens), parse_body_(std::move(parse_body)) {}

  // nullptr after an error, which has been reported.
  ast::ExprPtr expression();
  // Everything but pipes and ranges need parentheses here: a layout.
  ast::ExprPtr primary();
  // The whole chain from `if` on; `parse_body` decides whether branches have a value.
  std::optional<ast::If> if_chain(const BodyParser& parse_body);

 private:
  ast::ExprPtr pipe();
  ast::ExprPtr stage();
  ast::ExprPtr binary(int minimum);
  ast::ExprPtr unary();
  ast::ExprPtr power();
  ast::ExprPtr postfix();
  ast::ExprPtr atom();
  ast::ExprPtr number();
  ast::ExprPtr string();
  ast::ExprPtr list();
  ast::ExprPtr parenthesised();
  ast::ExprPtr name_or_call();
  ast::ExprPtr call(std::optional<ast::Label> label, bool needs_parentheses);
  bool arguments(ast::Call& call, const Token& opening);
  bool colon_argument();
  bool refuse_nameless_reuse();
  bool refuse_after_pipe(const ast::Pipe& pipe);
  // A label if one begins here and a ':' ends it; moves nothing otherwise.
  std::optional<ast::Label> label();
  bool label_part(ast::Label& label, bool first);
  std::unique_ptr<ast::Expr> make(decltype(ast::Expr::node) node, SourceLocation where, uint32_t line,
                                  std::initializer_list<const ast::Expr*> children = {});
  bool enter();

  TokenStream& tokens_;
  BodyParser parse_body_;
  uint32_t nesting_ = 0;
  bool bad_label_ = false;  // the last label() saw a label and reported what is wrong with it
};

}  // namespace cardinal
