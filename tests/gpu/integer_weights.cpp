#include "tests/gpu/integer_weights.h"

#include <map>
#include <random>

namespace cardinal::testing {

namespace {

class IntegerWeights : public WeightStore {
 public:
  IntegerWeights(const Graph& graph, uint64_t seed) {
    std::mt19937_64 random(seed);
    for (NodeId id : graph.weights()) {
      const Weight& weight = *graph[id].as<Weight>();
      Entry& entry = entries_[graph[id].name];
      entry.values.resize(static_cast<size_t>(weight.shape.elements()));
      const bool kernel = weight.role == Role::kernel;
      for (float& value : entry.values) {
        const auto bits = random();
        value = kernel ? (bits % 3 ? 0.0f : static_cast<float>(bits / 3 % 2) * 2 - 1)
                       : static_cast<float>(bits % 7) - 3;
      }
      entry.stored = {{DType::f32, shape_in_file(weight)}, std::as_bytes(std::span(entry.values))};
    }
  }
  const StoredTensor* find(std::string_view name) const override {
    const auto entry = entries_.find(std::string(name));
    return entry == entries_.end() ? nullptr : &entry->second.stored;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> names;
    for (const auto& [name, entry] : entries_) names.push_back(name);
    return names;
  }
  std::string describe() const override { return "integers"; }

 private:
  struct Entry {
    std::vector<float> values;
    StoredTensor stored;
  };
  std::map<std::string, Entry> entries_;
};

}  // namespace

std::unique_ptr<WeightStore> integer_weights(const Graph& graph, uint64_t seed) {
  return std::make_unique<IntegerWeights>(graph, seed);
}

std::vector<Tensor> integer_inputs(const Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Tensor> inputs;
  for (NodeId id : graph.inputs()) {
    Tensor& tensor = inputs.emplace_back(graph[id].type);
    for (double& value : tensor.data) value = static_cast<double>(random() % 5) - 2;
  }
  return inputs;
}

}  // namespace cardinal::testing
