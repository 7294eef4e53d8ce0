// "did you mean": the nearest of some names.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/language/aliases.h"

namespace cardinal {

const Alias* find_alias(std::string_view word, std::span<const Alias> aliases);  // nullptr if there is none

// The candidate that the word most likely stands for, "" if there is none: one of the same spelling but for
// case and '_', one that another framework calls so, or one within a third of the word's length in edits (a
// swap of neighbours counts as one).
std::string closest_name(std::string_view word, const std::vector<std::string>& candidates,
                         std::span<const Alias> aliases = {});

// "; did you mean 'x'?", else what to do instead of what other frameworks call so, else "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates,
                         std::span<const Alias> aliases = {});

}  // namespace cardinal
