// What other frameworks call things, for "did you mean".
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace cardinal {

struct Alias {
  std::string_view written;  // as `plain_spelling` has it
  std::string_view meant;    // "" if there is nothing of the kind
  std::string_view advice;   // said where nothing is called `meant`
};
std::span<const Alias> op_aliases();
std::span<const Alias> attribute_aliases();
std::span<const Alias> word_aliases();  // values that other languages have words for
std::span<const Alias> declaration_aliases();
std::span<const Alias> type_aliases();

// The word without what spellings differ in: in lower case, without '_' and a "2d" at its end.
std::string plain_spelling(std::string_view word);

}  // namespace cardinal
