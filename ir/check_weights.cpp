#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>
#include <utility>

#include "ir/convention.h"
#include "ir/weights.h"

namespace cardinal {

namespace {

constexpr size_t kListed = 20;            // problems of a kind that are spelled out
constexpr size_t kClosestAmong = 2000;    // names searched for the closest one
constexpr size_t kLongestCompared = 200;  // characters of a name worth comparing

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j)
      diagonal =
          std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])}));
  }
  return row.back();
}

// One name is the other under a prefix ("module.conv1.weight", "model.backbone.conv1.weight").
bool differ_by_prefix(std::string_view a, std::string_view b) {
  if (a.size() < b.size()) std::swap(a, b);
  return a.size() > b.size() && a.ends_with(b) && a[a.size() - b.size() - 1] == '.';
}

// The candidate most like `name`, or "" if none is near enough to be what was meant.
std::string_view closest(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.size() > kLongestCompared) return {};
  std::string_view best;
  size_t best_distance = name.size() / 3 + 1;
  for (size_t i = 0; i < std::min(candidates.size(), kClosestAmong); ++i) {
    std::string_view candidate = candidates[i];
    if (candidate.size() > kLongestCompared) continue;
    size_t distance = differ_by_prefix(name, candidate) ? 0 : edit_distance(name, candidate);
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return best;
}

// The problems of one kind, reported as one error whose notes are the weights.
struct Problems {
  std::vector<Diagnostic::Note> notes;
  size_t count = 0;
  std::string advice;
  void add(SourceLocation where, std::string message) {
    if (count++ < kListed) notes.push_back({where, std::move(message)});
  }
  void report(Diagnostics& out, std::string_view file, std::string_view what) {
    if (count == 0) return;
    if (count > kListed) notes.push_back({{}, fmt::format("and {} more", count - kListed)});
    if (!advice.empty()) notes.insert(notes.begin(), {{}, std::move(advice)});
    out.error({}, fmt::format("{}: {} {} {}", file, count, count == 1 ? "weight" : "weights", what)).notes =
        std::move(notes);
  }
};

std::string like(std::string_view name, const std::vector<std::string>& candidates, std::string_view where) {
  std::string_view match = closest(name, candidates);
  return match.empty() ? std::string() : fmt::format("; the closest name {} is {}", where, match);
}

// The conventions under which a file holds weights of this shape for `weight`.
std::vector<std::string_view> conventions_storing(const Shape& stored, const Weight& weight) {
  std::vector<std::string_view> names;
  for (const Convention& convention : conventions())
    if (serves(stored, weight_of(convention, {weight.role, weight.shape}))) names.push_back(convention.name);
  return names;
}

// Whether the file has the weight under the name that `convention` gives it.
bool has_renamed(const WeightStore& store, const Convention& convention, const Node& weight) {
  const auto& [shape, role, stored] = *weight.as<Weight>();
  for (const Convention& other : conventions())
    if (std::optional<std::string> layer = layer_of_weight(other, weight.name, role))
      if (store.find(weight_name(convention, *layer, {role, shape}))) return true;
  return false;
}

// The conventions under whose names the file has more of the weights than under those of the network, and
// most.
std::vector<std::string_view> conventions_naming(const Graph& graph, const WeightStore& store) {
  const std::vector<NodeId> weights = graph.weights();
  const auto count = [&](const auto& is_there) {
    return std::count_if(weights.begin(), weights.end(), [&](NodeId id) { return is_there(graph[id]); });
  };
  std::vector<std::string_view> names;
  auto most = std::max(count([&](const Node& weight) { return store.find(weight.name) != nullptr; }),
                       static_cast<ptrdiff_t>(weights.size() / 2));
  for (const Convention& convention : conventions()) {
    const auto found = count([&](const Node& weight) { return has_renamed(store, convention, weight); });
    if (found > most) {
      most = found;
      names = {convention.name};
    } else if (found == most && !names.empty()) {
      names.push_back(convention.name);
    }
  }
  return names;
}

// "" or what is wrong with the values.
std::string value_problem(const StoredTensor& tensor, Role role) {
  std::vector<float> values = to_floats(tensor);
  auto wrong = [role](float v) { return !std::isfinite(v) || (role == Role::variance && v < 0); };
  auto first = std::find_if(values.begin(), values.end(), wrong);
  if (first == values.end()) return {};
  auto count = std::count_if(first, values.end(), wrong);
  return fmt::format("{} of {} values {}, the first is {} at index {}", count, values.size(),
                     role == Role::variance ? "are negative or not finite" : "are not finite", *first,
                     first - values.begin());
}

// A weight that the file has.
void check_stored(const Node& node, const StoredTensor& tensor, Problems& misshapen, Problems& values) {
  const Weight& weight = *node.as<Weight>();
  if (serves(tensor.type.shape, weight)) {
    if (std::string problem = value_problem(tensor, weight.role); !problem.empty())
      values.add(node.where, fmt::format("{}: {}", node.name, problem));
    return;
  }
  const std::vector<std::string_view> theirs = conventions_storing(tensor.type.shape, weight);
  misshapen.add(
      node.where,
      fmt::format("{} has shape {}, expected {}{}", node.name, to_string(tensor.type.shape),
                  to_string(shape_in_file(weight)),
                  theirs.empty() ? "" : fmt::format("; {} store it so", fmt::join(theirs, " and "))));
  if (!theirs.empty())
    misshapen.advice =
        fmt::format("if the file is of {}, write `convention {}` as the first statement of the network",
                    fmt::join(theirs, " or "), theirs[0]);
}

constexpr std::string_view kNoStatistics =
    "the file has no running statistics: PyTorch has none with track_running_stats=False, Flax keeps them in "
    "batch_stats, which is to be saved with params";

// "" or, if the kernel `weight` fits an input whose dimensions were meant as N, H, W, C, how to write that.
std::string channels_last_advice(const Graph& graph, NodeId weight, const Shape& stored) {
  const auto& [shape, role, order] = *graph[weight].as<Weight>();
  if (role != Role::kernel || shape.rank() != 4 || stored.rank() != 4) return {};
  for (NodeId id : graph.inputs()) {
    const Shape& input = graph[id].type.shape;
    if (input.rank() != 4 || input.c() != shape[1] || input.c() == input.w()) continue;
    const Shape meant{input.n(), input.w(), input.c(), input.h()};
    const Weight of_meant{{shape[0], meant.c(), shape[2], shape[3]}, role, order};
    if (serves(stored, of_meant))
      return fmt::format(
          "an input's dimensions are written in the order N, C, H, W, whatever the caller's "
          "layout: {}: f32{}",
          graph[id].name, to_string(meant));
  }
  return {};
}

std::string naming_advice(const Graph& graph, const WeightStore& store) {
  const std::vector<std::string_view> theirs = conventions_naming(graph, store);
  if (theirs.empty()) return {};
  return fmt::format(
      "the file has the names that {} gives: write `convention {}` as the first statement of "
      "the network",
      fmt::join(theirs, " or "), theirs[0]);
}

// Whether the whole of `text` is as the pattern says.
bool matches(std::string_view pattern, std::string_view text) {
  size_t at = 0, in_text = 0;
  size_t after_star = std::string_view::npos, star_text = 0;  // where to go on when a star takes more
  while (in_text < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      after_star = ++at;
      star_text = in_text;
    } else if (at < pattern.size() && (pattern[at] == '?' || pattern[at] == text[in_text])) {
      ++at, ++in_text;
    } else if (after_star != std::string_view::npos) {
      at = after_star;
      in_text = ++star_text;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

bool matches_any(std::span<const std::string> patterns, std::string_view name) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return matches(pattern, name); });
}

// In order; PyTorch's counters are not worth a word.
std::vector<std::string> surplus_names(const Graph& graph, const WeightStore& store) {
  std::vector<std::string> names = store.names();
  std::sort(names.begin(), names.end());
  std::unordered_set<std::string_view> wanted;
  for (NodeId id : graph.weights()) wanted.insert(graph[id].name);
  std::erase_if(names, [&](const std::string& name) {
    return wanted.count(name) || name.ends_with("num_batches_tracked");
  });
  return names;
}

}  // namespace

std::vector<std::string> ignored_weights(const Graph& graph, const WeightStore& store,
                                         std::span<const std::string> patterns) {
  std::vector<std::string> names = surplus_names(graph, store);
  std::erase_if(names, [&](const std::string& name) { return !matches_any(patterns, name); });
  return names;
}

Status check_weights(const Graph& graph, const WeightStore& store, std::span<const std::string> ignored) {
  std::vector<std::string> extra = surplus_names(graph, store), missing_names;
  std::erase_if(extra, [&](const std::string& name) { return matches_any(ignored, name); });

  Problems missing, unusable, misshapen, values, surplus;
  bool only_statistics = true;  // are missing
  for (NodeId id : graph.weights()) {
    const Node& node = graph[id];
    if (const StoredTensor* tensor = store.find(node.name)) {
      check_stored(node, *tensor, misshapen, values);
      if (misshapen.advice.empty()) misshapen.advice = channels_last_advice(graph, id, tensor->type.shape);
    } else if (std::string why = store.unusable(node.name); !why.empty()) {
      unusable.add(node.where, fmt::format("{}: {}", node.name, why));
    } else {
      missing_names.push_back(node.name);
      const Role role = node.as<Weight>()->role;
      only_statistics &= role == Role::mean || role == Role::variance;
      missing.add({}, fmt::format("{}, expected with shape {}{}", node.name,
                                  to_string(shape_in_file(*node.as<Weight>())),
                                  missing.count < kListed ? like(node.name, extra, "in the file") : ""));
    }
  }
  missing.advice = naming_advice(graph, store);
  if (missing.advice.empty() && only_statistics) missing.advice = kNoStatistics;
  if (missing.count == 0)
    surplus.advice = "to leave some of them out on purpose, name them: --ignore-weights 'head.*'";
  for (const std::string& name : extra)
    surplus.add({}, name + (surplus.count < kListed ? like(name, missing_names, "that is missing") : ""));

  Diagnostics errors;
  std::string file = store.describe();
  missing.report(errors, file, missing.count == 1 ? "is missing" : "are missing");
  surplus.report(errors, file, "the network does not have");
  unusable.report(errors, file, "cannot be read");
  misshapen.report(errors, file, "with the wrong shape");
  values.report(errors, file, "with unusable values");
  if (errors.has_errors()) return errors;
  return ok();
}

}  // namespace cardinal
