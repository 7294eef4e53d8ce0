// The parser's view of the tokens: where it is, what it expects, and how it says what it found instead.
#pragma once

#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "compiler/language/aliases.h"
#include "compiler/language/lexer.h"

namespace cardinal {

class TokenStream {
 public:
  TokenStream(std::vector<Token> tokens, Diagnostics& diagnostics)
      : tokens_(std::move(tokens)), diagnostics_(diagnostics) {}

  const Token& peek(size_t ahead = 0) const { return tokens_[std::min(at_ + ahead, tokens_.size() - 1)]; }
  // Tokens by their number, for what was read already.
  size_t position() const { return at_; }
  const Token& token(size_t i) const { return tokens_[std::min(i, tokens_.size() - 1)]; }
  const Token& previous() const { return tokens_[at_ == 0 ? 0 : at_ - 1]; }
  const Token& next() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool at(std::string_view spelling) const { return peek().is(spelling); }
  bool at(TokenKind kind) const { return peek().kind == kind; }
  bool at_word(std::string_view word) const { return at(TokenKind::identifier) && peek().text == word; }
  bool accept(std::string_view spelling) {
    if (!at(spelling)) return false;
    next();
    return true;
  }
  void skip_newlines() {
    while (at(TokenKind::newline)) next();
  }

  // One error per place: what follows from the first mistake there is not reported again.
  Diagnostic* error(SourceLocation where, std::string message);
  // An error after which what was meant is read all the same.
  void mend(SourceLocation where, std::string message);
  // How many errors concern one statement or nothing but the words: the rest can be checked all the same.
  size_t& contained() { return contained_; }
  // "expected X, found Y" at the current token. Always returns false.
  bool expected(std::string_view what, const std::vector<std::string>& candidates = {},
                std::span<const Alias> aliases = {});
  bool expect(std::string_view spelling, std::string_view context);
  // A closing bracket; the error points back at the opening one.
  bool expect_closing(std::string_view spelling, const Token& opening);

  // Whether a body's '{' comes next. On a line of its own it is reported and taken all the same.
  bool at_body();

  // Moves past the current statement: to the next newline or to the '}' that ends the body.
  void recover();

  Diagnostics& diagnostics() const { return diagnostics_; }
  size_t error_count() const { return diagnostics_.list().size() + silent_; }

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
  size_t contained_ = 0;
  size_t silent_ = 0;                   // errors at tokens of which is said already what is wrong
  std::set<std::string_view> misused_;  // keywords that were taken for names
  SourceLocation last_error_;
  Diagnostics& diagnostics_;
};

// How an error names a token: "'foo'", "the end of the line".
std::string describe(const Token& token);

}  // namespace cardinal
