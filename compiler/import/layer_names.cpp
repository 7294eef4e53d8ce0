#include "compiler/import/layer_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "compiler/language.h"
#include "compiler/language/lexer.h"
#include "ir/op.h"

namespace cardinal::onnx_import {

namespace {

constexpr size_t kLongestName = 200;

bool is_word_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// Parts of words and '-', joined by '.': what a layer's name may be made of.
std::string as_path(std::string_view name) {
  std::string out;
  for (char c : name.substr(0, kLongestName)) {
    bool separates = c == '.' || c == '/';
    if (separates) {
      if (!out.empty() && out.back() != '.') out += '.';
    } else {
      out += is_word_character(c) || c == '-' ? c : '_';
    }
  }
  while (!out.empty() && out.back() == '.') out.pop_back();
  return out;
}

// Frameworks' names for weights, as what follows the layer's name and a separator.
constexpr std::array<std::string_view, 22> kWeightWords = {"weight",
                                                           "weights",
                                                           "bias",
                                                           "kernel",
                                                           "gamma",
                                                           "beta",
                                                           "running_mean",
                                                           "running_var",
                                                           "moving_mean",
                                                           "moving_var",
                                                           "moving_variance",
                                                           "mean",
                                                           "var",
                                                           "variance",
                                                           "scale",
                                                           "b",
                                                           "w",
                                                           "bn_scale",
                                                           "W",
                                                           "depthwise_kernel",
                                                           "B",
                                                           "bn_bias"};

// The layer's part of a weight's name; "" if the name does not end like a weight's.
std::string layer_of_weight(std::string_view value) {
  for (std::string_view word : kWeightWords) {
    if (value.size() <= word.size() + 1 || !value.ends_with(word)) continue;
    char separator = value[value.size() - word.size() - 1];
    if (separator == '.' || separator == '_' || separator == '/')
      return as_path(value.substr(0, value.size() - word.size() - 1));
  }
  return {};
}

bool is_counted_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) || c == '_' || c == '.';
  });
}

}  // namespace

std::string node_path(const OnnxNode& node) {
  std::vector<std::string> parts;
  std::string_view rest = node.name;
  if (!rest.starts_with('/')) return {};
  while (!rest.empty()) {
    rest.remove_prefix(1);
    size_t slash = std::min(rest.find('/'), rest.size());
    std::string part = as_path(rest.substr(0, slash));
    rest.remove_prefix(slash);
    // A module in a list repeats the list's name: /layer1/layer1.0.
    if (!parts.empty() && part.starts_with(parts.back() + ".")) parts.pop_back();
    parts.push_back(part);
  }
  if (!parts.empty()) parts.pop_back();  // the op
  return fmt::format("{}", fmt::join(parts, "."));
}

std::string identifier(std::string_view name, std::string_view fallback) {
  std::string out;
  for (char c : name.substr(0, kLongestName)) out += is_word_character(c) ? c : '_';
  bool begins_well = !out.empty() && !std::isdigit(static_cast<unsigned char>(out[0]));
  if (!begins_well) out = out.empty() ? std::string(fallback) : fmt::format("{}_{}", fallback, out);
  auto builtins = builtin_functions();
  const OpInfo* op = find_op(out);
  bool is_taken = is_keyword(out) || (op && !op->internal_op) || out == "shape" ||
                  out == "i" ||  // i counts loops
                  std::any_of(builtins.begin(), builtins.end(), [&](const auto& f) { return f.name == out; });
  return is_taken ? out + "_" : out;
}

std::string LayerNames::unique(std::string path) {
  if (taken_.insert(path).second) return path;
  for (int i = 2;; ++i)
    if (std::string next = fmt::format("{}_{}", path, i); taken_.insert(next).second) return next;
}

LayerName LayerNames::choose(std::string_view op, const OnnxNode& node,
                             const std::vector<std::string>& values) {
  // A layer with one weight is called as the weight is.
  bool is_weight = op == "channel_scale" && !values.empty() && values[0].find('.') != std::string::npos;
  if (is_weight) return {unique(as_path(values[0])), true};
  for (const std::string& value : values)
    if (std::string path = layer_of_weight(value); !path.empty() && !is_counted_name(path))
      return {unique(path), true};
  if (std::string path = node_path(node); !path.empty()) return {unique(path), true};
  std::string word(op == "batch_norm" ? "bn" : op == "layer_norm" ? "norm" : op == "linear" ? "fc" : op);
  std::string path;
  do path = fmt::format("{}{}", word, ++counts_[word]);
  while (taken_.contains(path));
  return {unique(path), false};
}

}  // namespace cardinal::onnx_import
