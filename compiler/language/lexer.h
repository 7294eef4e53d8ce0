// Characters to tokens. Newlines that end a statement are tokens; the others are dropped here, so that the
// parser sees one rule only: a statement ends at a newline token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/source.h"

namespace cardinal {

// `unreadable`: reported already.
enum class TokenKind : uint8_t {
  identifier,
  keyword,
  integer,
  floating,
  string,
  symbol,
  unreadable,
  newline,
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  // points into the SourceMap's text; of a string with its quotes
  SourceLocation where;
  bool is(std::string_view spelling) const {
    return (kind == TokenKind::symbol || kind == TokenKind::keyword) && text == spelling;
  }
};

struct Comment {
  std::string text;  // with its '#', without trailing blanks
  uint32_t line = 0;
  bool own_line = false;  // nothing but blanks before it
};

struct Tokens {
  std::vector<Token> list;  // the last one is `end`
  std::vector<Comment> comments;
};

// What one lexer call reads: a whole file, or the piece of a string between braces.
struct LexInput {
  std::string_view text;
  SourceLocation start;  // of text's first byte
};

// Never fails as a whole: a bad character is reported and skipped.
Tokens lex(const LexInput& input, Diagnostics& diagnostics);

// Everything that is wrong with the bytes of a file before it is lexed: NUL, control characters, invalid
// UTF-8. Reports the first only and returns false.
bool check_encoding(std::string_view text, uint32_t file, Diagnostics& diagnostics);

bool is_keyword(std::string_view word);
const std::vector<std::string>& keywords();

}  // namespace cardinal
