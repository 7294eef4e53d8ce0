#include "compiler/weights/keras_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

namespace cardinal {

namespace {

using Json = nlohmann::json;
using Path = std::vector<std::string>;

constexpr std::string_view kLayers = "layers", kVariables = "vars";
constexpr std::string_view kOldLayers = "_layer_checkpoint_dependencies";  // what 2.12 and 3.0 called it
constexpr std::string_view kModel = "model_weights", kTopLevel = "top_level_model_weights";
constexpr int kMaxDepth = 32;  // of models within models

Path split(std::string_view path) {
  Path out(1);
  for (char c : path) {
    if (c == '/') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  for (std::string& part : out)
    if (part == kOldLayers) part = kLayers;
  return out;
}

std::string join(const Path& path) { return fmt::format("{}", fmt::join(path, ".")); }

// keras/src/utils/naming.py, to_snake_case: Conv2D is conv2d, BatchNormalization batch_normalization.
std::string snake_case(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    auto is = [&](auto property, size_t at) {
      return at < name.size() && property(static_cast<unsigned char>(name[at]));
    };
    if (!is(isalnum, i) && name[i] != '_') continue;
    if (i > 0 && is(isupper, i) && (is(islower, i + 1) || is(islower, i - 1))) out += '_';
    out += static_cast<char>(tolower(static_cast<unsigned char>(name[i])));
  }
  return out;
}

const Json* member(const Json& object, const char* key) {
  auto it = object.is_object() ? object.find(key) : object.end();
  return object.is_object() && it != object.end() ? &*it : nullptr;
}
std::string text_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return value && value->is_string() ? value->get<std::string>() : std::string();
}
bool flag_of(const Json& object, const char* key) {
  const Json* value = member(object, key);
  return !value || !value->is_boolean() || value->get<bool>();
}

// Groups are called by the layers' classes, the second of a class with `_1`.
void add_layers(const Json& model, const std::string& prefix, int depth, KerasLayers& out) {
  const Json* config = member(model, "config");
  const Json* layers = config ? member(*config, "layers") : nullptr;
  if (!layers || !layers->is_array() || depth == kMaxDepth) return;
  std::map<std::string, int> used;
  for (const Json& layer : *layers) {
    std::string group = snake_case(text_of(layer, "class_name"));
    int count = used[group]++;
    if (count > 0) group += fmt::format("_{}", count);
    std::string path = fmt::format("{}{}/{}", prefix, kLayers, group);
    if (const Json* of_layer = member(layer, "config"))
      out[path] = {text_of(*of_layer, "name"), true, flag_of(*of_layer, "scale"),
                   flag_of(*of_layer, "center")};
    add_layers(layer, path + "/", depth + 1, out);
  }
}

bool is_weight(const Path& path) {
  for (std::string_view other : {"optimizer", "optimizer_weights", "metrics"})
    if (path.front() == other) return false;
  return std::none_of(path.begin(), path.end(),
                      [](const std::string& part) { return part.starts_with("seed_generator"); });
}

// conv1/conv1/kernel:0: the layer, then the variable's own name, which may begin with the layer's or the
// model's.
std::string legacy_name(Path path) {
  if (path.size() > 1 && path.front() == kModel) path.erase(path.begin());
  if (path.back().ends_with(":0")) path.back().resize(path.back().size() - 2);
  if (path.front() == kTopLevel) return path.back();
  auto again = std::find(path.begin() + 1, path.end(), path.front());
  if (again != path.end()) path.erase(path.begin(), again);
  return join(path);
}

// The number of the variable that .../vars/N holds, or -1.
int variable_number(const Path& path) {
  if (path.size() < 2 || path[path.size() - 2] != kVariables) return -1;
  int number = -1;
  const std::string& text = path.back();
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : -1;
}

// The names that a layer may go by: by the attributes that hold it, with the layers' own names in a model's
// list of layers; by own names alone, as Keras spells a variable's path; by the groups as they are.
using LayerNames = std::array<std::string, 3>;

LayerNames layer_names(const Path& groups, const KerasLayers& layers) {
  Path attributes, own_names, plain;
  std::string prefix;
  for (size_t i = 0; i < groups.size(); ++i) {
    prefix += (i ? "/" : "") + groups[i];
    if (groups[i] == kLayers) continue;
    auto it = layers.find(prefix);
    bool is_named = it != layers.end() && !it->second.name.empty();
    bool is_listed = i > 0 && groups[i - 1] == kLayers;
    attributes.push_back(is_named && is_listed ? it->second.name : groups[i]);
    plain.push_back(groups[i]);
    if (is_named) own_names.push_back(it->second.name);
  }
  return {join(attributes), join(own_names), join(plain)};
}

// The names of a layer's variables, whose number and ranks tell what they are; empty if they do not.
// Normalizations keep vectors only, of which scale=False and center=False leave out the first and the second.
std::vector<std::string> variable_names(const std::vector<size_t>& ranks, const KerasLayer& layer) {
  auto is_matrix = [&ranks](size_t i) { return i < ranks.size() && ranks[i] >= 2; };
  std::vector<std::string> names;
  if (is_matrix(0)) {
    if (is_matrix(1)) {
      names = {"depthwise_kernel", "pointwise_kernel", "bias"};
    } else {
      names = {"kernel", "bias"};
    }
    names.resize(std::min(names.size(), ranks.size()));
  } else {
    if (layer.scale) names.push_back("gamma");
    if (layer.center) names.push_back("beta");
    if (ranks.size() == names.size() + 2) names.insert(names.end(), {"moving_mean", "moving_variance"});
  }
  return names.size() == ranks.size() ? names : std::vector<std::string>();
}

using Variables = std::map<int, size_t>;     // number to index in the datasets
using Numbered = std::map<Path, Variables>;  // by the layer's groups

// Which of the layer_names() most of the network's layers go by; of equals the first. All of a file's layers
// go by the same, for the group of one may be called as another layer is: the second of two Conv2D is in
// conv2d_1 whatever its name.
size_t choose_scheme(const Numbered& numbered, const KerasLayers& layers, const Wanted& wanted) {
  std::array<std::set<std::string>, std::tuple_size_v<LayerNames>> found;
  for (const auto& [groups, variables] : numbered) {
    const LayerNames names = layer_names(groups, layers);
    for (size_t i = 0; i < names.size(); ++i)
      if (wanted.has(names[i]) || !wanted.of_layer(names[i]).empty()) found[i].insert(names[i]);
  }
  auto fewer = [](const auto& a, const auto& b) { return a.size() < b.size(); };
  return static_cast<size_t>(std::max_element(found.begin(), found.end(), fewer) - found.begin());
}

// Names the variables of the layer that is called `chosen`; "" or the problem.
std::string name_variables(const std::string& chosen, const KerasLayer& layer, const Variables& variables,
                           const std::vector<KerasDataset>& datasets, const Wanted& wanted,
                           std::vector<std::string>& out) {
  std::vector<size_t> ranks;
  for (const auto& [number, index] : variables) ranks.push_back(datasets[index].rank);
  const std::vector<std::string> leaves = variable_names(ranks, layer);
  bool is_ambiguous = !layer.has_config && leaves.size() != 4 && wanted.has(chosen + ".moving_mean");
  if (is_ambiguous)
    return fmt::format(
        "layer {} has {} variables, expected 4: one with scale=False or center=False, and the file does not "
        "say which; "
        "save the whole model as .keras or .h5",
        chosen, ranks.size());
  size_t i = 0;
  for (const auto& [number, index] : variables) {
    if (variables.size() == 1 && wanted.has(chosen)) {
      out[index] = chosen;  // a layer of one weight, which goes by the layer's name
    } else {
      std::string leaf = leaves.empty() ? fmt::format("{}.{}", kVariables, number) : leaves[i++];
      out[index] = chosen.empty() ? leaf : chosen + "." + leaf;
    }
  }
  return {};
}

}  // namespace

KerasLayers keras_layers(std::string_view config_json) {
  KerasLayers out;
  Json config = Json::parse(config_json, nullptr, false);
  add_layers(config, "", 0, out);
  return out;
}

Result<std::vector<std::string>> keras_names(const std::vector<KerasDataset>& datasets,
                                             const KerasLayers& layers, const Wanted& wanted) {
  std::vector<std::string> names(datasets.size());
  Numbered numbered;
  for (size_t i = 0; i < datasets.size(); ++i) {
    Path path = split(datasets[i].path);
    if (!is_weight(path)) continue;
    if (int number = variable_number(path); number >= 0) {
      numbered[Path(path.begin(), path.end() - 2)][number] = i;
    } else {
      names[i] = legacy_name(path);
    }
  }
  const size_t scheme = choose_scheme(numbered, layers, wanted);
  for (const auto& [groups, variables] : numbered) {
    auto layer = layers.find(fmt::format("{}", fmt::join(groups, "/")));
    std::string problem = name_variables(layer_names(groups, layers)[scheme],
                                         layer == layers.end() ? KerasLayer() : layer->second, variables,
                                         datasets, wanted, names);
    if (!problem.empty()) return Diagnostics(problem);
  }
  std::set<std::string> taken;
  for (size_t i = 0; i < names.size(); ++i)
    if (!names[i].empty() && !taken.insert(names[i]).second) names[i] = datasets[i].path;
  return wanted.names_of(names);
}

}  // namespace cardinal
