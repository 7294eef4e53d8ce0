#include "compiler/import/attributes.h"

#include <algorithm>

#include "compiler/import/fold_constants.h"

namespace cardinal::onnx_import {

namespace {

template <class T>
const T* find_attribute(const OnnxNode& node, std::string_view name) {
  auto found = node.attributes.find(name);
  return found == node.attributes.end() ? nullptr : std::get_if<T>(&found->second);
}

}  // namespace

int64_t int_attribute(const OnnxNode& node, std::string_view name, int64_t fallback) {
  const auto* value = find_attribute<int64_t>(node, name);
  return value ? *value : fallback;
}

double float_attribute(const OnnxNode& node, std::string_view name, double fallback) {
  const auto* value = find_attribute<float>(node, name);
  return value ? shortest_decimal(*value) : fallback;
}

std::string string_attribute(const OnnxNode& node, std::string_view name, std::string_view fallback) {
  const auto* value = find_attribute<std::string>(node, name);
  return value ? *value : std::string(fallback);
}

std::vector<int64_t> ints_attribute(const OnnxNode& node, std::string_view name) {
  const auto* value = find_attribute<std::vector<int64_t>>(node, name);
  return value ? *value : std::vector<int64_t>();
}

bool has_attribute(const OnnxNode& node, std::string_view name) {
  return node.attributes.find(name) != node.attributes.end();
}

std::vector<int64_t> resolve_reshape(const std::vector<int64_t>& from, std::vector<int64_t> target,
                                     bool zero_is_zero) {
  int64_t elements = 1, known = 1;
  for (int64_t dim : from) elements *= dim;
  for (size_t i = 0; i < target.size(); ++i) {
    if (target[i] == 0 && !zero_is_zero && i < from.size()) target[i] = from[i];
    if (target[i] > elements) return {-1};  // also keeps the product small
    if (target[i] > 0) known = std::min(known * target[i], elements + 1);
  }
  for (int64_t& dim : target)
    if (dim == -1) dim = elements / known;
  return target;
}

std::optional<std::vector<int64_t>> unsqueeze_places(std::vector<int64_t> axes, size_t rank) {
  constexpr size_t kMaxRank = 16;
  size_t size = rank + axes.size();
  if (size > kMaxRank) return std::nullopt;
  std::vector<bool> is_new(size, false);
  for (int64_t axis : axes) {
    if (axis < 0) axis += static_cast<int64_t>(size);
    if (axis < 0 || axis >= static_cast<int64_t>(size) || is_new[static_cast<size_t>(axis)])
      return std::nullopt;
    is_new[static_cast<size_t>(axis)] = true;
  }
  std::vector<int64_t> places;
  int64_t next = 0;
  for (size_t i = 0; i < size; ++i) places.push_back(is_new[i] ? -1 : next++);
  return places;
}

bool is_permutation_of(const std::vector<int64_t>& permutation, size_t rank) {
  std::vector<int64_t> sorted = permutation;
  std::sort(sorted.begin(), sorted.end());
  if (sorted.size() != rank) return false;
  for (size_t i = 0; i < rank; ++i)
    if (sorted[i] != static_cast<int64_t>(i)) return false;
  return true;
}

}  // namespace cardinal::onnx_import
