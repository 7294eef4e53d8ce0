#include "compiler/language/suggest.h"

#include <fmt/format.h>

#include <algorithm>

namespace cardinal {
namespace {

constexpr size_t kLongestWord = 64;  // longer words are not worth the quadratic comparison

// Optimal string alignment distance.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before, previous(b.size() + 1), current(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    current[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t change = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      current[j] = std::min({previous[j] + 1, current[j - 1] + 1, change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        current[j] = std::min(current[j], before[j - 2] + 1);
    }
    before = previous;
    std::swap(previous, current);
  }
  return previous[b.size()];
}

// Words of one or two letters are near to everything.
constexpr size_t kShortestMisspelling = 3;

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  if (word.size() < kShortestMisspelling || word.size() > kLongestWord) return {};
  size_t best = std::max<size_t>(1, word.size() / 3) + 1;
  std::string found;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kLongestWord || candidate == word) continue;
    size_t distance = edit_distance(word, candidate);
    if (distance < best && distance < std::max(word.size(), candidate.size())) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

bool is_one_of(std::string_view word, const std::vector<std::string>& candidates) {
  return std::find(candidates.begin(), candidates.end(), word) != candidates.end();
}

}  // namespace

const Alias* find_alias(std::string_view word, std::span<const Alias> aliases) {
  const std::string plain = plain_spelling(word);
  for (const Alias& alias : aliases)
    if (alias.written == plain) return &alias;
  return nullptr;
}

std::string closest_name(std::string_view word, const std::vector<std::string>& candidates,
                         std::span<const Alias> aliases) {
  const std::string plain = plain_spelling(word);
  for (const std::string& candidate : candidates)
    if (candidate != word && plain_spelling(candidate) == plain) return candidate;
  const Alias* alias = find_alias(word, aliases);
  if (alias && is_one_of(alias->meant, candidates)) return std::string(alias->meant);
  return alias && !alias->advice.empty() ? std::string() : nearest(word, candidates);
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates,
                         std::span<const Alias> aliases) {
  std::string found = closest_name(word, candidates, aliases);
  if (!found.empty()) return fmt::format("; did you mean '{}'?", found);
  const Alias* alias = find_alias(word, aliases);
  return alias && !alias->advice.empty() ? fmt::format("; {}", alias->advice) : std::string();
}

}  // namespace cardinal
