#include "compiler/weights/wanted.h"

#include <algorithm>
#include <set>

namespace cardinal {

namespace {

// Weights that one layer of a framework keeps where the network has another name, or two layers. The first
// that the network has is meant.
struct Alias {
  std::string_view stored, wanted;  // the names' ends
};
constexpr Alias kAliases[] = {
    {".depthwise_kernel", ".kernel"},  // Keras 2: DepthwiseConv2D
    {".depthwise_kernel",
     ".depthwise.kernel"},  // Keras: SeparableConv2D is a depthwise and a pointwise convolution
    {".pointwise_kernel", ".pointwise.kernel"},
    {".bias", ".pointwise.bias"},
    {"_weight", ".weight"},  // MXNet: Block.export joins a layer's name and its weight's by `_`
    {"_bias", ".bias"},
    {"_gamma", ".gamma"},
    {"_beta", ".beta"},
    {"_running_mean", ".running_mean"},
    {"_running_var", ".running_var"},
};
// Flax: variables["params"] saved by itself.
constexpr std::string_view kFlaxCollection = "params.";

}  // namespace

Wanted::Wanted(const Graph& graph) {
  for (NodeId id : graph.weights())
    weights_.emplace(graph[id].name, graph[id].as<Weight>()->shape.elements());
}

bool Wanted::reads(std::string_view name, int64_t elements) const {
  auto it = weights_.find(name);
  return it != weights_.end() && it->second == elements;
}

std::vector<std::string> Wanted::of_layer(std::string_view layer) const {
  std::string prefix = std::string(layer) + ".";
  std::vector<std::string> out;
  for (auto it = weights_.lower_bound(prefix); it != weights_.end() && it->first.starts_with(prefix); ++it)
    if (it->first.find('.', prefix.size()) == std::string::npos) out.push_back(it->first);
  return out;
}

int64_t Wanted::bytes() const {
  int64_t elements = 0;
  for (const auto& [name, count] : weights_) elements += count;
  return 4 * elements;
}

std::string Wanted::name_of(const std::string& stored) const {
  if (has(stored)) return stored;
  std::string name = stored;
  if (name.ends_with(":0")) name.resize(name.size() - 2);
  std::replace(name.begin(), name.end(), '/', '.');
  if (has(name)) return name;
  for (const Alias& alias : kAliases) {
    if (!name.ends_with(alias.stored)) continue;
    std::string other = name.substr(0, name.size() - alias.stored.size()).append(alias.wanted);
    if (has(other)) return other;
  }
  std::string in_collection = std::string(kFlaxCollection) + name;
  return has(in_collection) ? in_collection : name;
}

size_t Wanted::surplus_prefix(const std::vector<std::string>& stored) const {
  if (stored.empty()) return 0;
  const std::string& first = stored.front();
  size_t shared = first.size();
  for (const std::string& name : stored) {
    const auto end = first.begin() + static_cast<ptrdiff_t>(std::min(shared, name.size()));
    shared = static_cast<size_t>(std::mismatch(first.begin(), end, name.begin()).first - first.begin());
  }
  for (size_t dropped = 0;;) {
    for (const std::string& name : stored)
      if (has(name_of(name.substr(dropped)))) return dropped;
    dropped = first.find_first_of("./", dropped) + 1;  // behind the next level
    if (dropped == 0 || dropped > shared) return 0;
  }
}

std::vector<std::string> Wanted::names_of(const std::vector<std::string>& all) const {
  const size_t dropped = surplus_prefix(all);
  std::vector<std::string> stored;
  for (const std::string& name : all) stored.push_back(name.substr(dropped));
  std::set<std::string, std::less<>> taken;
  for (const std::string& name : stored)
    if (name_of(name) == name) taken.insert(name);
  std::vector<std::string> out;
  for (const std::string& name : stored) {
    std::string other = name_of(name);
    out.push_back(other == name || taken.insert(other).second ? other : name);
  }
  return out;
}

}  // namespace cardinal
