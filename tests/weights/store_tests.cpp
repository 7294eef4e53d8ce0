// ir/weights.h: widening, checking, random weights.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>

#include "ir/weights.h"
#include "tests/weights/file_makers.h"

namespace cardinal {

using testing::small_network;
using testing::weights_only;

namespace {

class MapStore final : public WeightStore {
 public:
  void set(const std::string& name, const Shape& shape, std::vector<float> values) {
    data_[name] = std::move(values);
    tensors_[name] = {{DType::f32, shape}, std::as_bytes(std::span(data_[name]))};
  }
  void erase(const std::string& name) { tensors_.erase(name); }
  void set_unusable(const std::string& name, const std::string& why) {
    erase(name);
    unusable_[name] = why;
  }
  const StoredTensor* find(std::string_view name) const override {
    auto it = tensors_.find(name);
    return it == tensors_.end() ? nullptr : &it->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, tensor] : tensors_) out.push_back(name);
    for (const auto& [name, why] : unusable_) out.push_back(name);
    return out;
  }
  std::string unusable(std::string_view name) const override {
    auto it = unusable_.find(name);
    return it == unusable_.end() ? "" : it->second;
  }
  std::string describe() const override { return "a.weights"; }

 private:
  std::map<std::string, std::vector<float>> data_;
  std::map<std::string, StoredTensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> unusable_;
};

MapStore right_store() {
  MapStore store;
  store.set("conv.weight", {3, 2, 1, 1}, {1, 2, 3, 4, 5, 6});
  for (const char* name : {"conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"})
    store.set(name, {3}, {1, 2, 3});
  return store;
}

std::string check_text(const WeightStore& store, const Graph& graph = small_network()) {
  Status status = check_weights(graph, store);
  return status ? std::string() : status.error().render(SourceMap());
}

bool has(const std::string& text, const std::string& part) {
  UNSCOPED_INFO(text);
  return text.find(part) != std::string::npos;
}

StoredTensor halves(DType dtype, const std::vector<uint16_t>& bits) {
  return {{dtype, {static_cast<int64_t>(bits.size())}}, std::as_bytes(std::span(bits))};
}

}  // namespace

TEST_CASE("every f16 widens to its value") {
  std::vector<uint16_t> bits(65536);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  std::vector<float> wide = to_floats(halves(DType::f16, bits));
  size_t wrong = 0;
  for (size_t i = 0; i < bits.size(); ++i) {
    int exponent = static_cast<int>(i >> 10 & 31), mantissa = static_cast<int>(i & 1023);
    double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
    if (exponent == 31) magnitude = std::numeric_limits<double>::infinity();
    bool is_nan = exponent == 31 && mantissa;
    double expected = i >> 15 ? -magnitude : magnitude;
    bool same = is_nan ? std::isnan(wide[i]) : wide[i] == expected && std::signbit(wide[i]) == (i >> 15 == 1);
    wrong += !same;
  }
  CHECK(wrong == 0);
}

TEST_CASE("bf16 widens to the upper half of f32") {
  std::vector<float> wide = to_floats(halves(DType::bf16, {0x3f80, 0xc000, 0x0001, 0x7f80}));
  CHECK(wide ==
        std::vector<float>{1.0f, -2.0f, std::ldexp(1.0f, -133), std::numeric_limits<float>::infinity()});
}

TEST_CASE("unaligned tensors are read") {
  std::vector<float> values{1.5f, -2.5f};
  std::vector<std::byte> bytes(1 + 8);
  std::memcpy(&bytes[1], values.data(), 8);
  CHECK(to_floats({{DType::f32, {2}}, std::span(bytes).subspan(1)}) == values);
}

TEST_CASE("right weights pass, batch counters are ignored") {
  MapStore store = right_store();
  CHECK(check_text(store) == "");
  store.set_unusable("bn.num_batches_tracked", "its dtype is I64");
  CHECK(check_text(store) == "");
}

TEST_CASE("everything wrong with the weights is reported at once") {
  MapStore store = right_store();
  store.erase("conv.weight");
  store.set("conv.wieght", {3, 2, 1, 1}, {1, 2, 3, 4, 5, 6});
  store.set("conv.bias", {4}, {1, 2, 3, 4});
  store.set("bn.bias", {3}, {1, std::nanf(""), std::numeric_limits<float>::infinity()});
  store.set("bn.running_var", {3}, {1, -0.5f, 2});
  store.set_unusable("bn.weight", "its dtype is I64, expected F32, F16 or BF16");
  std::string text = check_text(store);
  CHECK(has(text, "a.weights: 1 weight is missing"));
  CHECK(has(text,
            "conv.weight, expected with shape [3, 2, 1, 1]; the closest name in the file is conv.wieght"));
  CHECK(has(text, "a.weights: 1 weight the network does not have"));
  CHECK(has(text, "conv.wieght; the closest name that is missing is conv.weight"));
  CHECK(has(text, "conv.bias has shape [4], expected [3]"));
  CHECK(has(text, "bn.bias: 2 of 3 values are not finite, the first is nan at index 1"));
  CHECK(has(text, "bn.running_var: 1 of 3 values are negative or not finite, the first is -0.5 at index 1"));
  CHECK(has(text, "bn.weight: its dtype is I64, expected F32, F16 or BF16"));
}

TEST_CASE("a zero variance and a negative mean are fine") {
  MapStore store = right_store();
  store.set("bn.running_var", {3}, {0, 0, 0});
  store.set("bn.running_mean", {3}, {-1, -2, -3});
  CHECK(check_text(store) == "");
}

TEST_CASE("what a file has more may be left out on purpose") {
  MapStore store = right_store();
  for (const char* name : {"fc.weight", "fc.bias", "aux.fc.weight"}) store.set(name, {1}, {0});
  const Graph graph = small_network();
  const auto says = [&](const std::vector<std::string>& patterns) {
    Status status = check_weights(graph, store, patterns);
    return status ? std::string() : status.error().render(SourceMap());
  };
  CHECK(has(says({}), "3 weights the network does not have"));
  CHECK(has(says({}), "--ignore-weights"));
  CHECK(has(says({"fc.*"}), "1 weight the network does not have"));
  CHECK(has(says({"fc"}), "3 weights the network does not have"));
  CHECK(says({"*fc.*"}).empty());
  CHECK(says({"fc.*", "aux.fc.weigh?"}).empty());
  CHECK(says({"*"}).empty());
  const std::vector<std::string> all{"*"}, some{"*.bias"};
  CHECK(ignored_weights(graph, store, all) ==
        std::vector<std::string>{"aux.fc.weight", "fc.bias", "fc.weight"});
  CHECK(ignored_weights(graph, store, some) == std::vector<std::string>{"fc.bias"});
  // Nothing that the network needs is left out.
  store.erase("conv.weight");
  CHECK(has(says({"*"}), "1 weight is missing"));
}

TEST_CASE("a wrapper's prefix is recognised") {
  MapStore store;
  MapStore inner = right_store();
  for (const std::string& name : inner.names())
    store.set("module." + name, inner.find(name)->type.shape, to_floats(*inner.find(name)));
  CHECK(has(check_text(store),
            "bn.weight, expected with shape [3]; the closest name in the file is module.bn.weight"));
}

TEST_CASE("missing running statistics are explained") {
  MapStore store = right_store();
  store.erase("bn.running_mean");
  store.erase("bn.running_var");
  CHECK(has(check_text(store), "note: the file has no running statistics: PyTorch has none with"));
  store.erase("bn.weight");
  CHECK_FALSE(has(check_text(store), "running statistics"));
}

TEST_CASE("an input that was written with its channels last is recognised") {
  MapStore store;
  store.set("c.weight", {8, 3, 3, 3}, std::vector<float>(8 * 3 * 9, 1.0f));
  const auto says = [&](const Shape& input) {
    Graph graph;
    const NodeId x = graph.add(Input{DType::f32, input, Layout::nhwc}, {}, "image");
    const NodeId weight = graph.add(Weight{{8, input.c(), 3, 3}, Role::kernel}, {}, "c.weight");
    Conv conv;
    conv.channels = 8;
    conv.kernel = {3, 3};
    graph.add(conv, {x, weight}, "c");
    return check_weights(graph, store).error().render(SourceMap());
  };
  CHECK(has(says({1, 32, 24, 3}),
            "an input's dimensions are written in the order N, C, H, W, whatever the caller's layout: "
            "image: f32[1, 3, 32, 24]"));
  CHECK_FALSE(has(says({1, 32, 24, 4}), "an input's dimensions"));
}

TEST_CASE("long lists are cut") {
  MapStore store = right_store();
  for (int i = 0; i < 53; ++i) store.set(fmt::format("unrelated{:02}", i), {1}, {0});
  std::string text = check_text(store);
  CHECK(has(text, "53 weights the network does not have"));
  CHECK(has(text, "unrelated19"));
  CHECK_FALSE(has(text, "unrelated20"));
  CHECK(has(text, "and 33 more"));
}

// ---- stored orders and conventions

TEST_CASE("kernels with the output channels last are read into their own order") {
  // Element [o, i, h, w] of [2, 3, 1, 2] is 1000 o + 100 i + 10 h + w.
  const Weight conv{{2, 3, 1, 2}, Role::kernel, StoredOrder::hwio};
  MapStore store;
  store.set("k", {1, 2, 3, 2}, {0, 1000, 100, 1100, 200, 1200, 1, 1001, 101, 1101, 201, 1201});
  CHECK(weight_values(*store.find("k"), conv) ==
        std::vector<float>{0, 1, 100, 101, 200, 201, 1000, 1001, 1100, 1101, 1200, 1201});
  const Weight linear{{2, 3}, Role::kernel, StoredOrder::io};
  store.set("l", {3, 2}, {0, 10, 1, 11, 2, 12});
  CHECK(weight_values(*store.find("l"), linear) == std::vector<float>{0, 1, 2, 10, 11, 12});
  CHECK(shape_in_file(conv) == Shape{1, 2, 3, 2});
  CHECK(shape_in_file(linear) == Shape{3, 2});
}

TEST_CASE("which stored shapes serve a weight") {
  const Weight pointwise{{8, 4, 1, 1}, Role::kernel, StoredOrder::hwio};
  CHECK(serves({1, 1, 4, 8}, pointwise));
  CHECK(serves({4, 8}, pointwise));
  CHECK_FALSE(serves({8, 4}, pointwise));
  CHECK_FALSE(serves({8, 4, 1, 1}, pointwise));
  // Keras keeps the two factors of a depthwise convolution's channels apart.
  const Weight depthwise{{8, 1, 3, 5}, Role::kernel, StoredOrder::hwio};
  CHECK(serves({3, 5, 1, 8}, depthwise));
  CHECK(serves({3, 5, 8, 1}, depthwise));
  CHECK(serves({3, 5, 4, 2}, depthwise));
  CHECK_FALSE(serves({3, 5, 3, 2}, depthwise));
  CHECK_FALSE(serves({5, 3, 8, 1}, depthwise));
  CHECK_FALSE(serves({3, 5, 4, 2}, {{8, 2, 3, 5}, Role::kernel, StoredOrder::hwio}));
  CHECK_FALSE(serves({3, 5, 8, 1}, {{8, 1, 3, 5}, Role::kernel}));
  // Frameworks keep a value a channel as they broadcast it.
  const Weight per_channel{{1, 8, 1, 1}, Role::scale};
  CHECK(serves({8}, per_channel));
  CHECK(serves({8, 1, 1}, per_channel));
  CHECK(serves({1, 1, 1, 8}, per_channel));
  CHECK_FALSE(serves({4, 2}, per_channel));
  CHECK_FALSE(serves({1}, per_channel));
  CHECK(serves({}, {{1, 1, 1, 1}, Role::scale}));
}

TEST_CASE("a kernel in another convention's order names that convention") {
  const Graph graph =
      weights_only({{"c.weight", {{8, 4, 3, 3}, Role::kernel}}, {"fc.weight", {{10, 8}, Role::kernel}}});
  MapStore store;
  store.set("c.weight", {3, 3, 4, 8}, std::vector<float>(288, 1));
  store.set("fc.weight", {8, 10}, std::vector<float>(80, 1));
  std::string text = check_text(store, graph);
  CHECK(has(text, "a.weights: 2 weights with the wrong shape"));
  CHECK(has(text, "c.weight has shape [3, 3, 4, 8], expected [8, 4, 3, 3]; keras and flax store it so"));
  CHECK(has(text, "fc.weight has shape [8, 10], expected [10, 8]; keras and flax store it so"));
  CHECK(has(text, "if the file is of keras or flax, write `convention keras` as the first statement"));
  store.set("c.weight", {3, 3, 4, 7}, std::vector<float>(252, 1));
  store.set("fc.weight", {10, 8}, std::vector<float>(80, 1));
  CHECK_FALSE(has(check_text(store, graph), "convention"));

  const Graph keras = weights_only({{"c.kernel", {{8, 4, 3, 3}, Role::kernel, StoredOrder::hwio}}});
  MapStore planar;
  planar.set("c.kernel", {8, 4, 3, 3}, std::vector<float>(288, 1));
  text = check_text(planar, keras);
  CHECK(has(text, "c.kernel has shape [8, 4, 3, 3], expected [3, 3, 4, 8]; pytorch and mxnet store it so"));
}

TEST_CASE("names of another convention name it") {
  MapStore store;
  store.set("conv.kernel", {1, 1, 2, 3}, {1, 2, 3, 4, 5, 6});
  for (const char* name : {"conv.bias", "bn.gamma", "bn.beta", "bn.moving_mean", "bn.moving_variance"})
    store.set(name, {3}, {1, 2, 3});
  CHECK(has(check_text(store),
            "the file has the names that keras gives: write `convention keras` as the first "
            "statement of the network"));

  MapStore mxnet = right_store();
  mxnet.erase("bn.weight");
  mxnet.erase("bn.bias");
  mxnet.set("bn.gamma", {3}, {1, 2, 3});
  mxnet.set("bn.beta", {3}, {1, 2, 3});
  CHECK(has(check_text(mxnet), "the names that mxnet gives"));

  MapStore flax;
  flax.set("params.conv.kernel", {1, 1, 2, 3}, {1, 2, 3, 4, 5, 6});
  for (const char* name :
       {"params.conv.bias", "params.bn.scale", "params.bn.bias", "batch_stats.bn.mean", "batch_stats.bn.var"})
    flax.set(name, {3}, {1, 2, 3});
  CHECK(has(check_text(flax), "the names that flax gives"));

  MapStore some = right_store();
  some.erase("bn.weight");
  CHECK_FALSE(has(check_text(some), "convention"));
}

// ---- random weights

namespace {

struct Statistics {
  double mean = 0, deviation = 0, min = 0, max = 0;
};
Statistics statistics(Shape shape, Role role) {
  auto store = random_weights(weights_only({{"w", {shape, role}}}), 1);
  std::vector<float> values = to_floats(*store->find("w"));
  Statistics s{0, 0, values[0], values[0]};
  for (float v : values) {
    s.mean += v / static_cast<double>(values.size());
    s.min = std::min<double>(s.min, v);
    s.max = std::max<double>(s.max, v);
  }
  for (float v : values) s.deviation += (v - s.mean) * (v - s.mean) / static_cast<double>(values.size());
  s.deviation = std::sqrt(s.deviation);
  return s;
}

}  // namespace

TEST_CASE("random weights depend on seed, name, shape and role alone") {
  Weight kernel{{8, 4, 3, 3}, Role::kernel}, scale{{8}, Role::scale};
  auto a = random_weights(weights_only({{"a", kernel}, {"b", kernel}, {"s", scale}}), 7);
  auto b = random_weights(weights_only({{"s", scale}, {"b", kernel}}), 7);
  CHECK(to_floats(*a->find("b")) == to_floats(*b->find("b")));
  CHECK(to_floats(*a->find("s")) == to_floats(*b->find("s")));
  CHECK(to_floats(*a->find("a")) != to_floats(*a->find("b")));
  auto other_seed = random_weights(weights_only({{"b", kernel}}), 8);
  CHECK(to_floats(*a->find("b")) != to_floats(*other_seed->find("b")));
  CHECK(a->describe() == "random:7");
  CHECK(a->find("c") == nullptr);
}

TEST_CASE("the first random values stay what they are") {
  // Networks compiled with the same seed by different builds must agree, so the generator is part of the
  // interface.
  auto store = random_weights(weights_only({{"conv1.weight", {{1, 2, 1, 1}, Role::kernel}}}), 0);
  std::vector<float> values = to_floats(*store->find("conv1.weight"));
  CHECK(values[0] == Approx(0.271531552).epsilon(1e-6));
  CHECK(values[1] == Approx(0.496653765).epsilon(1e-6));
}

TEST_CASE("random weights are distributed as documented") {
  Statistics kernel = statistics({64, 32, 3, 3}, Role::kernel);
  double he = std::sqrt(2.0 / (32 * 9));
  CHECK(std::abs(kernel.mean) < 0.02 * he);
  CHECK(kernel.deviation == Approx(he).epsilon(0.02));
  Statistics variance = statistics({4096}, Role::variance);
  CHECK(variance.min >= 0.5);
  CHECK(variance.max < 1.5);
  CHECK(variance.mean == Approx(1.0).epsilon(0.02));
  Statistics scale = statistics({4096}, Role::scale);
  CHECK(scale.min >= 0.5);
  CHECK(scale.max < 1.0);
  for (Role role : {Role::mean, Role::shift, Role::bias}) {
    Statistics s = statistics({4096}, role);
    CHECK(std::abs(s.mean) < 0.01);
    CHECK(s.deviation == Approx(0.1).epsilon(0.05));
  }
}

TEST_CASE("random weights pass the check") {
  const Graph stored = weights_only({{"k", {{8, 4, 3, 5}, Role::kernel, StoredOrder::hwio}},
                                     {"l", {{8, 4}, Role::kernel, StoredOrder::io}}});
  CHECK(check_text(*random_weights(stored, 3), stored) == "");
  Graph graph = small_network();
  CHECK(check_text(*random_weights(graph, 3), graph) == "");
}

TEST_CASE("dimensions of 1 at the end of a shape do not matter") {
  MapStore store = right_store();
  store.set("conv.weight", {3, 2}, {1, 2, 3, 4, 5, 6});
  store.set("conv.bias", {3, 1, 1}, {1, 2, 3});
  CHECK(check_text(store) == "");
  store.set("conv.weight", {1, 3, 2}, {1, 2, 3, 4, 5, 6});
  CHECK(check_text(store) != "");
}

}  // namespace cardinal
