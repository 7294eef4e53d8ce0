#include <fmt/format.h>

#include <cmath>
#include <unordered_map>

#include "ir/weights.h"

namespace cardinal {

namespace {

// Steele, Lea and Flood 2014: the finaliser of SplitMix64. Hashing a counter with it passes BigCrush.
uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ x >> 27) * 0x94d049bb133111ebull;
  return x ^ x >> 31;
}
uint64_t draw(uint64_t key, uint64_t counter) { return mix(key + counter * 0x9e3779b97f4a7c15ull); }

uint64_t stream_key(uint64_t seed, std::string_view name, const Weight& weight) {
  uint64_t key = mix(seed + 0x9e3779b97f4a7c15ull);
  auto absorb = [&key](uint64_t value) { key = mix((key ^ value) + 0x9e3779b97f4a7c15ull); };
  for (unsigned char c : name) absorb(c);
  for (int64_t dim : weight.shape.dims()) absorb(static_cast<uint64_t>(dim));
  absorb(static_cast<uint64_t>(weight.role));
  return key;
}

// A uniform value in [0, 1), in steps of 2^-24.
float uniform(uint64_t bits) { return static_cast<float>(bits >> 40) * 0x1p-24f; }

// A nearly normal value of mean 0 and variance 1, within 3.47 of 0: the sum of four uniform 16-bit integers.
// Integers and one multiplication, so that every machine draws the same bits, without a logarithm a value.
float normal(uint64_t bits) {
  constexpr float kMean = 2 * 65535.0f;
  constexpr float kPerDeviation =
      1 / 37837.2272f;  // 4 uniform integers in [0, 2^16): variance 4 * (2^32 - 1) / 12
  auto sum =
      static_cast<int32_t>((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48));
  return (static_cast<float>(sum) - kMean) * kPerDeviation;
}

// He et al. 2015: keeps the second moment through a ReLU.
float he_deviation(const Shape& shape) {
  double fan_in = shape.rank() ? static_cast<double>(shape.elements() / shape[0]) : 1.0;
  return static_cast<float>(std::sqrt(2.0 / fan_in));
}

// Scales lie below 1 so that a branch adds less than its shortcut brings: with scales around 1 every residual
// block would multiply the variance by four or so, and ResNet-152 has fifty of them.
void fill(std::span<float> out, uint64_t key, const Weight& weight) {
  float deviation = he_deviation(weight.shape);
  auto each = [&](auto value) {
    for (size_t i = 0; i < out.size(); ++i) out[i] = value(draw(key, i));
  };
  switch (weight.role) {
    case Role::kernel:
      return each([deviation](uint64_t bits) { return normal(bits) * deviation; });
    case Role::scale:
      return each([](uint64_t bits) { return 0.5f + 0.5f * uniform(bits); });
    case Role::slope:
      return each([](uint64_t bits) { return 0.5f * uniform(bits); });
    case Role::variance:
      return each([](uint64_t bits) { return 0.5f + uniform(bits); });
    case Role::bias:
    case Role::shift:
    case Role::mean:
      return each([](uint64_t bits) { return 0.1f * normal(bits); });
  }
}

class RandomWeights final : public WeightStore {
 public:
  RandomWeights(const Graph& graph, uint64_t seed) : seed_(seed) {
    for (NodeId id : graph.weights()) {
      const Node& node = graph[id];
      const Weight& weight = *node.as<Weight>();
      auto count = static_cast<size_t>(weight.shape.elements());
      const auto& buffer = buffers_.emplace_back(std::make_unique_for_overwrite<float[]>(count));
      std::span<float> values(buffer.get(), count);
      fill(values, stream_key(seed, node.name, weight), weight);
      names_.push_back(node.name);
      tensors_.emplace(node.name, StoredTensor{{DType::f32, shape_in_file(weight)}, std::as_bytes(values)});
    }
  }
  const StoredTensor* find(std::string_view name) const override {
    auto it = tensors_.find(std::string(name));
    return it == tensors_.end() ? nullptr : &it->second;
  }
  std::vector<std::string> names() const override { return names_; }
  std::string describe() const override { return fmt::format("random:{}", seed_); }

 private:
  uint64_t seed_;
  std::vector<std::unique_ptr<float[]>> buffers_;
  std::vector<std::string> names_;
  std::unordered_map<std::string, StoredTensor> tensors_;
};

}  // namespace

std::unique_ptr<WeightStore> random_weights(const Graph& graph, uint64_t seed) {
  return std::make_unique<RandomWeights>(graph, seed);
}

}  // namespace cardinal
