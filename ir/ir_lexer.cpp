#include "ir/ir_lexer.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace cardinal {

namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

class IrLexer {
 public:
  IrLexer(std::string_view text, uint32_t file, Diagnostics& errors)
      : text_(text), file_(file), errors_(errors) {}

  std::vector<IrToken> run() {
    for (skip_blanks(); position_ < text_.size(); skip_blanks()) {
      IrToken token;
      token.where = here();
      token.starts_line = at_line_start_;
      size_t begin = position_;
      bool ok = lex(token);
      token.where.length = static_cast<uint32_t>(position_ - begin);
      at_line_start_ = false;
      if (ok) tokens_.push_back(std::move(token));
    }
    IrToken end;
    end.where = here();
    end.starts_line = true;
    tokens_.push_back(std::move(end));
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const {
    return position_ + ahead < text_.size() ? text_[position_ + ahead] : '\0';
  }
  SourceLocation here() const {
    return {file_, line_, static_cast<uint32_t>(position_ - line_start_ + 1), 1};
  }

  void skip_blanks() {
    for (; position_ < text_.size(); ++position_) {
      char c = text_[position_];
      if (c == '#')
        while (position_ + 1 < text_.size() && text_[position_ + 1] != '\n') ++position_;
      else if (c == '\n')
        ++line_, line_start_ = position_ + 1, at_line_start_ = true;
      else if (c != ' ' && c != '\t' && c != '\r')
        return;
    }
  }

  bool lex(IrToken& token) {
    char c = peek();
    if (is_letter(c)) return lex_word(token);
    if (is_digit(c) || (c == '-' && is_digit(peek(1)))) return lex_number(token);
    if (c == '"') return lex_string(token);
    if (c != '\0' && std::string_view("=(){}[],:%@").find(c) != std::string_view::npos) {
      token.kind = IrToken::Kind::mark;
      token.text = c;
      ++position_;
      return true;
    }
    bool printable = c > ' ' && c < 127;
    errors_.error(here(), printable ? fmt::format("unexpected character '{}'", c)
                                    : fmt::format("unexpected byte 0x{:02x}", static_cast<unsigned char>(c)));
    ++position_;
    return false;
  }

  bool lex_word(IrToken& token) {
    size_t begin = position_;
    while (is_letter(peek()) || is_digit(peek()) || peek() == '.') ++position_;
    token.kind = IrToken::Kind::word;
    token.text = text_.substr(begin, position_ - begin);
    return true;
  }

  bool lex_number(IrToken& token) {
    SourceLocation where = here();
    size_t begin = position_++;
    auto exponent_sign = [&] { return (peek() == '+' || peek() == '-') && text_[position_ - 1] == 'e'; };
    while (is_digit(peek()) || is_letter(peek()) || peek() == '.' || exponent_sign()) ++position_;
    token.text = text_.substr(begin, position_ - begin);
    const char *first = token.text.data(), *last = first + token.text.size();
    bool is_integer = token.text.find_first_of(".e") == std::string::npos;
    token.kind = is_integer ? IrToken::Kind::integer : IrToken::Kind::real;
    std::from_chars_result result =
        is_integer ? std::from_chars(first, last, token.integer) : std::from_chars(first, last, token.real);
    if (result.ec == std::errc() && result.ptr == last) return true;
    bool out_of_range = result.ec == std::errc::result_out_of_range;
    errors_.error(where,
                  fmt::format("number {} is {}", token.text, out_of_range ? "out of range" : "malformed"));
    return false;
  }

  bool lex_string(IrToken& token) {
    SourceLocation where = here();
    token.kind = IrToken::Kind::string;
    for (++position_; position_ < text_.size() && peek() != '\n'; ++position_) {
      if (peek() == '"') {
        ++position_;
        return true;
      }
      bool escape = peek() == '\\' && (peek(1) == '"' || peek(1) == '\\' || peek(1) == 'n');
      if (escape) ++position_;
      token.text += escape && peek() == 'n' ? '\n' : peek();
    }
    errors_.error(where, "this string has no closing quote");
    return false;
  }

  std::string_view text_;
  uint32_t file_;
  Diagnostics& errors_;
  std::vector<IrToken> tokens_;
  size_t position_ = 0, line_start_ = 0;
  uint32_t line_ = 1;
  bool at_line_start_ = true;
};

}  // namespace

std::string describe(const IrToken& token) {
  if (token.kind == IrToken::Kind::end) return "the end of the file";
  return token.kind == IrToken::Kind::string ? "a string" : fmt::format("'{}'", token.text);
}

std::vector<IrToken> lex_ir(std::string_view text, uint32_t file, Diagnostics& errors) {
  return IrLexer(text, file, errors).run();
}

}  // namespace cardinal
