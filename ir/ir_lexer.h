// Tokens of the IR's text form.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/source.h"

namespace cardinal {

struct IrToken {
  // word: letters, digits, _ and dots, starting with a letter or _. string: unescaped in `text`. mark: one
  // character.
  enum class Kind : uint8_t { word, integer, real, string, mark, end } kind = Kind::end;
  std::string text;
  int64_t integer = 0;
  double real = 0;
  SourceLocation where;
  bool starts_line = false;

  bool is_mark(char c) const { return kind == Kind::mark && text[0] == c; }
};
std::string describe(const IrToken&);  // "'{'", "a string", "the end of the file"

// The tokens of `text`, which is file `file` of the SourceMap; the last one is `end`. Characters that begin
// no token are reported to `errors` and left out.
std::vector<IrToken> lex_ir(std::string_view text, uint32_t file, Diagnostics& errors);

}  // namespace cardinal
