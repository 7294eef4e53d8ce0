// "did you mean": the nearest of some names.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cardinal {

// The candidate within a third of the word's length in edits (a swap of neighbours counts as one), "" if
// there is none.
std::string closest_name(std::string_view word, const std::vector<std::string>& candidates);

// "; did you mean 'x'?" or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace cardinal
