#include "compiler/language/token_stream.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/language/suggest.h"
#include "ir/op.h"

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
  if (at(TokenKind::unreadable)) {
    ++silent_;
    return nullptr;
  }
  if (where == last_error_) return nullptr;
  last_error_ = where;
  return &diagnostics_.error(where, std::move(message));
}

void TokenStream::mend(SourceLocation where, std::string message) {
  if (error(where, std::move(message))) ++contained_;
}

namespace {

// What another framework's layer is called here.
std::string own_name(std::string_view layer) {
  if (find_op(layer)) return std::string(layer);
  std::vector<std::string> names;
  for (const OpInfo& op : op_table())
    if (!op.internal_op) names.emplace_back(op.name);
  const std::string own = closest_name(layer, names, op_aliases());
  return own.empty() ? std::string(layer) : own;
}

// What to write instead of something that other languages have.
std::string advice_for(const Token& before, const Token& token, const Token& following) {
  constexpr std::string_view kModules[] = {"F",      "nn",  "torch", "tf", "keras",
                                           "layers", "jnp", "jax",   "np", "mx"};
  if (token.is(".") && std::find(std::begin(kModules), std::end(kModules), before.text) != std::end(kModules))
    return fmt::format("; there are no modules: write {}", own_name(following.text));

  if (token.is(";")) return "; a statement ends at the end of its line";
  if (token.is("//")) return "; a comment begins with '#'";
  if (token.is("if")) return "; write if condition { a } else { b }";
  if (token.is("for")) return "; there are no comprehensions: add to a list in a loop, list = list + [...]";
  if (token.kind == TokenKind::string && before.text == "f")
    return "; leave out the f: {...} inserts a value into every string";
  if (token.is("->")) return "; a pipe is written |>";
  if (token.is(".") && following.text == "shape") return "; the dimensions of a tensor x are shape(x)";
  if (token.is(".") && before.text == "self")
    return fmt::format("; there are no objects: a layer is named where it is called, as in {}: conv(...)",
                       following.text);
  if (token.is(".")) return "; there are no methods: write f(x) or x |> f";
  if (token.is("(") && before.is(")")) return "; what a call makes is not called again: write f(x) or x |> f";
  return {};
}

}  // namespace

bool TokenStream::expected(std::string_view what, const std::vector<std::string>& candidates,
                           std::span<const Alias> aliases) {
  std::string hint = at(TokenKind::identifier) ? did_you_mean(peek().text, candidates, aliases)
                                               : advice_for(previous(), peek(), peek(1));
  if (at(TokenKind::keyword)) {
    if (what == "an expression" && misused_.contains(peek().text)) {
      ++silent_;
      return false;
    }
    if (what.starts_with("a name ")) {
      misused_.insert(peek().text);
      hint = "; a keyword cannot be a name, choose another";
    }
  }
  error(peek().where, fmt::format("expected {}, found {}{}", what, describe(peek()), hint));
  return false;
}

bool TokenStream::expect(std::string_view spelling, std::string_view context) {
  return accept(spelling) || expected(fmt::format("'{}' {}", spelling, context));
}

bool TokenStream::expect_closing(std::string_view spelling, const Token& opening) {
  if (accept(spelling)) return true;
  bool list = spelling != "}";
  Diagnostic* d =
      error(peek().where, fmt::format("expected {}'{}', found {}{}", list ? "',' or " : "", spelling,
                                      describe(peek()), advice_for(previous(), peek(), peek(1))));
  if (d) d->notes.push_back({opening.where, fmt::format("to close this '{}'", opening.text)});
  return false;
}

bool TokenStream::at_body() {
  size_t newlines = 0;
  while (peek(newlines).kind == TokenKind::newline) ++newlines;
  if (!peek(newlines).is("{")) return false;
  if (newlines > 0) mend(peek(newlines).where, "this '{' belongs at the end of the line before it");
  skip_newlines();
  return true;
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
