#include "compiler/language/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace cardinal {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_word(char c) { return is_word_start(c) || is_digit(c); }

// Longest first, so that the first match is the right one.
constexpr std::array<std::string_view, 28> kSymbols = {
    "|>", "**", "//", "..", "==", "!=", "<=", ">=", "->", "(", ")", "[", "]", "{",
    "}",  ",",  ":",  ".",  "=",  "<",  ">",  "+",  "-",  "*", "/", "%", ";", "!"};

// A line that begins with one of these continues the line before. '-' is missing because it also begins
// expressions.
constexpr std::array<std::string_view, 17> kContinues = {
    "|>", "+", "*", "/", "//", "%", "**", "==", "!=", "<", ">", "<=", ">=", "and", "or", "..", "else"};

// A line that ends in one of these continues on the next.
constexpr std::array<std::string_view, 23> kExpectsMore = {"|>", "+",  "-",   "*",  "/",   "//", "%", "**",
                                                           "==", "!=", "<",   ">",  "<=",  ">=", "=", ",",
                                                           ":",  "..", "and", "or", "not", "in", "."};

// These begin statements and declarations and occur nowhere inside an expression: a bracket still open before
// such a line was forgotten.
constexpr std::array<std::string_view, 7> kBeginsStatement = {"import", "let", "block", "network",
                                                              "fn",     "for", "return"};

template <size_t N>
bool any_of(const std::array<std::string_view, N>& list, std::string_view text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

class Lexer {
 public:
  Lexer(const LexInput& input, Diagnostics& diagnostics)
      : text_(input.text),
        line_(input.start.line),
        column_(input.start.column),
        file_(input.start.file),
        diagnostics_(diagnostics) {}

  Tokens run() {
    while (at_ < text_.size()) step();
    if (!tokens_.list.empty() && tokens_.list.back().kind != TokenKind::newline) push_newline();
    push(TokenKind::end, 0);
    drop_continued_newlines();
    return std::move(tokens_);
  }

 private:
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  SourceLocation here(size_t length) const { return {file_, line_, column_, static_cast<uint32_t>(length)}; }

  void advance(size_t count) {
    at_ += count;
    column_ += static_cast<uint32_t>(count);
  }

  void push(TokenKind kind, size_t length) {
    tokens_.list.push_back({kind, text_.substr(at_, length), here(std::max<size_t>(length, 1))});
    advance(length);
  }

  void push_newline() {
    if (tokens_.list.empty() || tokens_.list.back().kind == TokenKind::newline) return;
    SourceLocation where = tokens_.list.back().where;  // just behind the line's last token
    where.column += where.length;
    where.length = 1;
    tokens_.list.push_back({TokenKind::newline, {}, where});
  }

  void step() {
    char c = peek();
    if (c == '\n') return new_line();
    if (c == ' ' || c == '\t' || (c == '\r' && peek(1) == '\n')) return advance(1);
    if (c == '#') return comment();
    if (is_word_start(c)) return word();
    if (is_digit(c)) return number();
    if (c == '"') return string();
    for (std::string_view symbol : kSymbols)
      if (text_.substr(at_, symbol.size()) == symbol) return this->symbol(symbol);
    unexpected(c);
  }

  void new_line() {
    if (brackets_.empty() || brackets_.back() == '{') push_newline();
    ++at_;
    ++line_;
    column_ = 1;
  }

  void comment() {
    size_t end = std::min(text_.find('\n', at_), text_.size());
    std::string_view body = text_.substr(at_, end - at_);
    while (!body.empty() && (body.back() == ' ' || body.back() == '\t' || body.back() == '\r'))
      body.remove_suffix(1);
    bool own_line = tokens_.list.empty() || tokens_.list.back().where.line != line_;
    tokens_.comments.push_back({std::string(body), line_, own_line});
    advance(end - at_);
  }

  void word() {
    size_t length = 1;
    while (is_word(peek(length))) ++length;
    std::string_view word = text_.substr(at_, length);
    bool first_on_line = tokens_.list.empty() || tokens_.list.back().where.line != line_;
    if (first_on_line && any_of(kBeginsStatement, word)) close_forgotten_brackets();
    push(is_keyword(word) ? TokenKind::keyword : TokenKind::identifier, length);
  }

  void close_forgotten_brackets() {
    if (brackets_.empty() || brackets_.back() == '{') return;
    while (!brackets_.empty() && brackets_.back() != '{') brackets_.pop_back();
    push_newline();
  }

  // After a '.', as in `downsample.0.1`, digits are a part of a layer's name and never a fraction.
  void number() {
    size_t length = 1;
    while (is_digit(peek(length))) ++length;
    bool in_name = !tokens_.list.empty() && tokens_.list.back().is(".");
    bool fraction = false;
    if (!in_name && peek(length) == '.' && is_digit(peek(length + 1))) {
      fraction = true;
      for (++length; is_digit(peek(length));) ++length;
    }
    if (!in_name && (peek(length) == 'e' || peek(length) == 'E')) {
      size_t sign = peek(length + 1) == '+' || peek(length + 1) == '-' ? 1 : 0;
      if (is_digit(peek(length + 1 + sign))) {
        fraction = true;
        for (length += 1 + sign; is_digit(peek(length));) ++length;
      }
    }
    if (is_word_start(peek(length))) {
      size_t end = length;
      while (is_word(peek(end))) ++end;
      diagnostics_.error(here(end),
                         fmt::format("'{}' is neither a number nor a name; names begin with a letter",
                                     shown(text_.substr(at_, end))));
      advance(end - length);
    }
    push(fraction ? TokenKind::floating : TokenKind::integer, length);
  }

  void string() {
    size_t length = 1;
    while (at_ + length < text_.size() && peek(length) != '"' && peek(length) != '\n')
      length += peek(length) == '\\' && peek(length + 1) != '\n' && at_ + length + 1 < text_.size() ? 2 : 1;
    if (peek(length) == '"') return push(TokenKind::string, length + 1);
    diagnostics_.error(here(1), "this string has no closing '\"' on its line");
    push(TokenKind::unreadable, length);
    at_ = std::min(at_, text_.size());
  }

  void symbol(std::string_view symbol) {
    if (symbol == "(" || symbol == "[" || symbol == "{") brackets_.push_back(symbol[0]);
    if (symbol == ")" || symbol == "]" || symbol == "}") close(symbol[0]);
    push(TokenKind::symbol, symbol.size());
  }

  void close(char closer) {
    char opener = closer == ')' ? '(' : closer == ']' ? '[' : '{';
    if (closer == '}') {
      size_t open = brackets_.rfind('{');
      if (open == std::string::npos) return;
      if (open + 1 < brackets_.size()) {
        brackets_.resize(open + 1);
        push_newline();
      }
      brackets_.resize(open);
    } else if (!brackets_.empty() && brackets_.back() == opener) {
      brackets_.pop_back();
    }
  }

  // What C calls `&&` is read as the word that it stands for, and a single `|` as a pipe, so that nothing
  // else is said of it.
  void foreign_operator(char c) {
    size_t length = peek(1) == c ? 2 : 1;
    const bool pipe = c == '|' && length == 1;
    std::string_view word = c == '&' ? "and" : pipe ? "|>" : "or";
    diagnostics_.error(here(length), fmt::format("unexpected '{}'; write '{}'{}", text_.substr(at_, length),
                                                 word, pipe ? ", or 'or' between conditions" : ""));
    tokens_.list.push_back({pipe ? TokenKind::symbol : TokenKind::keyword, word, here(length)});
    advance(length);
  }

  // A string in other quotes is read as one, so that nothing else is said of it. A token's first and last
  // byte are its quotes.
  bool foreign_string() {
    static constexpr std::pair<std::string_view, std::string_view> kQuotes[] = {
        {"'", "'"}, {"\u201C", "\u201D"}, {"\u2018", "\u2019"}, {"\u201E", "\u201C"}};
    const std::string_view line = text_.substr(at_, text_.find('\n', at_) - at_);
    for (const auto& [open, close] : kQuotes) {
      if (!line.starts_with(open)) continue;
      const size_t end = line.find(close, open.size());
      if (end == std::string_view::npos || line.substr(0, end).find('\\') != std::string_view::npos) continue;
      diagnostics_.error(here(open.size()), fmt::format("unexpected {}; strings are written with \"", open));
      const size_t begin = open.size() - 1;
      tokens_.list.push_back(
          {TokenKind::string, line.substr(begin, end + 1 - begin), here(end + close.size())});
      advance(end + close.size());
      return true;
    }
    return false;
  }

  void unexpected(char c) {
    if (c == '&' || c == '|') return foreign_operator(c);
    if (foreign_string()) return;
    size_t length = 1;
    while ((static_cast<unsigned char>(c) & 0x80) &&
           (static_cast<unsigned char>(peek(length)) & 0xC0) == 0x80)
      ++length;
    std::string_view spelling = text_.substr(at_, length);
    std::string_view hint;
    if (c == '\'') hint = "; strings are written with \"";
    if (spelling == "\xC2\xA0") hint = " (a no-break space)";
    diagnostics_.error(here(length), c == '\r'
                                         ? std::string("unexpected carriage return; lines end in LF or CR LF")
                                         : fmt::format("unexpected character '{}'{}", spelling, hint));
    if (c == '@') return push(TokenKind::unreadable, length);
    advance(length);
  }

  static std::string shown(std::string_view text) {
    return text.size() <= 40 ? std::string(text) : std::string(text.substr(0, 37)) + "...";
  }

  void drop_continued_newlines() {
    std::vector<Token> kept;
    kept.reserve(tokens_.list.size());
    for (size_t i = 0; i < tokens_.list.size(); ++i) {
      const Token& token = tokens_.list[i];
      if (token.kind == TokenKind::newline) {
        const Token& next = tokens_.list[i + 1];
        bool named = next.kind == TokenKind::symbol || next.kind == TokenKind::keyword;
        if (named && any_of(kContinues, next.text)) continue;
        bool after = !kept.empty() &&
                     (kept.back().kind == TokenKind::symbol || kept.back().kind == TokenKind::keyword);
        // Only a statement begins with `name =` here: then something is missing before it.
        bool assignment = next.kind == TokenKind::identifier && tokens_.list[i + 2].is("=");
        if (after && any_of(kExpectsMore, kept.back().text) && next.kind != TokenKind::end && !next.is("}") &&
            !any_of(kBeginsStatement, next.text) && !assignment)
          continue;
      }
      kept.push_back(token);
    }
    tokens_.list = std::move(kept);
  }

  std::string_view text_;
  size_t at_ = 0;
  uint32_t line_, column_, file_;
  std::string brackets_;  // the brackets open here, outermost first
  Tokens tokens_;
  Diagnostics& diagnostics_;
};

// Length of the valid UTF-8 sequence at the start of text, 0 if there is none.
size_t utf8_length(std::string_view text) {
  auto byte = [&](size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  unsigned lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  bool surrogate = lead == 0xED && byte(1) >= 0xA0;
  bool too_large = lead == 0xF4 && byte(1) >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

Tokens lex(const LexInput& input, Diagnostics& diagnostics) { return Lexer(input, diagnostics).run(); }

bool check_encoding(std::string_view text, uint32_t file, Diagnostics& diagnostics) {
  uint32_t line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < text.size();) {
    auto byte = static_cast<unsigned char>(text[i]);
    size_t length = utf8_length(text.substr(i));
    bool control = (byte < 0x20 && byte != '\n' && byte != '\t' && byte != '\r') || byte == 0x7F;
    if (length == 0 || control) {
      diagnostics.error({file, line, static_cast<uint32_t>(i - line_start + 1), 1},
                        fmt::format("byte 0x{:02x} is {}", byte,
                                    control ? "a control character; a source file is plain text"
                                            : "not valid UTF-8; save the file as UTF-8"));
      return false;
    }
    if (byte == '\n') {
      ++line;
      line_start = i + 1;
    }
    i += length;
  }
  return true;
}

const std::vector<std::string>& keywords() {
  static const std::vector<std::string> list = {"import", "let", "block", "network", "fn",
                                                "return", "for", "in",    "if",      "else",
                                                "and",    "or",  "not",   "true",    "false"};
  return list;
}

bool is_keyword(std::string_view word) {
  const auto& list = keywords();
  return std::find(list.begin(), list.end(), word) != list.end();
}

}  // namespace cardinal
