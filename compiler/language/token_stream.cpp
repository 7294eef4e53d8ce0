#include "compiler/language/token_stream.h"

#include <fmt/format.h>

#include "compiler/language/suggest.h"

namespace cardinal {

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::newline:
      return "the end of the line";
    case TokenKind::end:
      return "the end of the file";
    case TokenKind::keyword:
      return fmt::format("the keyword '{}'", token.text);
    default:
      return token.text.size() <= 40 ? fmt::format("'{}'", token.text)
                                     : fmt::format("'{}...'", token.text.substr(0, 37));
  }
}

Diagnostic* TokenStream::error(SourceLocation where, std::string message) {
  if (where == last_error_) return nullptr;
  last_error_ = where;
  return &diagnostics_.error(where, std::move(message));
}

bool TokenStream::expected(std::string_view what, const std::vector<std::string>& candidates) {
  std::string hint = at(TokenKind::identifier) ? did_you_mean(peek().text, candidates) : std::string();
  if (at(";")) hint = "; a statement ends at the end of its line";
  error(peek().where, fmt::format("expected {}, found {}{}", what, describe(peek()), hint));
  return false;
}

bool TokenStream::expect(std::string_view spelling, std::string_view context) {
  return accept(spelling) || expected(fmt::format("'{}' {}", spelling, context));
}

bool TokenStream::expect_closing(std::string_view spelling, const Token& opening) {
  if (accept(spelling)) return true;
  bool list = spelling != "}";
  Diagnostic* d = error(peek().where, fmt::format("expected {}'{}', found {}", list ? "',' or " : "",
                                                  spelling, describe(peek())));
  if (d) d->notes.push_back({opening.where, fmt::format("to close this '{}'", opening.text)});
  return false;
}

void TokenStream::recover() {
  int depth = 0;
  while (!at(TokenKind::end)) {
    if (depth == 0 && (at(TokenKind::newline) || at("}"))) return;
    if (at("{")) ++depth;
    if (at("}")) --depth;
    next();
  }
}

}  // namespace cardinal
