// Values written on the command line: --set KEY=VALUE.
#pragma once

#include <optional>
#include <string>

#include "compiler/language/value.h"

namespace cardinal {

// A literal of the language: 10, 0.5, true, [3, 4], same. A string may be written without quotes.
std::optional<Value> parse_setting(const std::string& text, const ast::Type& type);

}  // namespace cardinal
