#include "ir/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <unordered_set>
#include <utility>

namespace cardinal {

namespace {

// IEEE 754 binary16 to binary32; every value, subnormals and NaN included, is representable.
float widen_f16(uint16_t half) {
  uint32_t sign = uint32_t{half} >> 15 << 31;
  uint32_t exponent = half >> 10 & 0x1f;
  uint32_t mantissa = half & 0x3ff;
  if (exponent == 0) {
    float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
  }
  uint32_t wide_exponent = exponent == 31 ? 255 : exponent + 127 - 15;
  return std::bit_cast<float>(sign | wide_exponent << 23 | mantissa << 13);
}

// Bytes need not be aligned: files promise nothing about it.
template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

std::vector<float> to_floats(const StoredTensor& tensor) {
  size_t count = tensor.bytes.size() / static_cast<size_t>(dtype_bytes(tensor.type.dtype));
  std::vector<float> out(count);
  const std::byte* from = tensor.bytes.data();
  switch (tensor.type.dtype) {
    case DType::f32:
      if (count) std::memcpy(out.data(), from, count * sizeof(float));
      break;
    case DType::f16:
      for (size_t i = 0; i < count; ++i) out[i] = widen_f16(load<uint16_t>(from + 2 * i));
      break;
    case DType::bf16:
      for (size_t i = 0; i < count; ++i)
        out[i] = std::bit_cast<float>(uint32_t{load<uint16_t>(from + 2 * i)} << 16);
      break;
  }
  return out;
}

bool same_but_for_ones(const Shape& a, const Shape& b) {
  const auto dim = [](const Shape& shape, int i) { return i < shape.rank() ? shape[i] : 1; };
  for (int i = 0; i < std::max(a.rank(), b.rank()); ++i)
    if (dim(a, i) != dim(b, i)) return false;
  return true;
}

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
  void add(SourceLocation where, std::string message) {
    if (count++ < kListed) notes.push_back({where, std::move(message)});
  }
  void report(Diagnostics& out, std::string_view file, std::string_view what) {
    if (count == 0) return;
    if (count > kListed) notes.push_back({{}, fmt::format("and {} more", count - kListed)});
    out.error({}, fmt::format("{}: {} {} {}", file, count, count == 1 ? "weight" : "weights", what)).notes =
        std::move(notes);
  }
};

std::string like(std::string_view name, const std::vector<std::string>& candidates, std::string_view where) {
  std::string_view match = closest(name, candidates);
  return match.empty() ? std::string() : fmt::format("; the closest name {} is {}", where, match);
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

}  // namespace

Status check_weights(const Graph& graph, const WeightStore& store) {
  std::vector<std::string> stored = store.names();
  std::sort(stored.begin(), stored.end());
  std::unordered_set<std::string_view> wanted;
  for (NodeId id : graph.weights()) wanted.insert(graph[id].name);

  std::vector<std::string> extra, missing_names;
  for (const std::string& name : stored)
    if (!wanted.count(name) && !name.ends_with("num_batches_tracked")) extra.push_back(name);

  Problems missing, unusable, misshapen, values, surplus;
  for (NodeId id : graph.weights()) {
    const Node& node = graph[id];
    const Weight& weight = *node.as<Weight>();
    if (const StoredTensor* tensor = store.find(node.name)) {
      if (!same_but_for_ones(tensor->type.shape, weight.shape)) {
        misshapen.add(node.where, fmt::format("{} has shape {}, expected {}", node.name,
                                              to_string(tensor->type.shape), to_string(weight.shape)));
      } else if (std::string problem = value_problem(*tensor, weight.role); !problem.empty()) {
        values.add(node.where, fmt::format("{}: {}", node.name, problem));
      }
    } else if (std::string why = store.unusable(node.name); !why.empty()) {
      unusable.add(node.where, fmt::format("{}: {}", node.name, why));
    } else {
      missing_names.push_back(node.name);
      missing.add({}, fmt::format("{}, expected with shape {}{}", node.name, to_string(weight.shape),
                                  missing.count < kListed ? like(node.name, extra, "in the file") : ""));
    }
  }
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
