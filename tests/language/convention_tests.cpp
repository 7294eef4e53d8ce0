// `convention`: what it changes in the graph, and what is said where it is wrong.
#include <catch2/catch.hpp>

#include "tests/language/support.h"

using namespace cardinal;
using test::contains;
using test::errors_of;

namespace {

std::string network(const std::string& convention) {
  return R"(block Stem(x) {
  return x |> conv: conv(8, kernel=3, stride=2) |> bn: batch_norm |> leaky_relu
}
network n(framework: string = flax) {
)" + convention +
         R"(
  input x: f32[1, 3, 8, 8]
  y = x |> stem: Stem |> max_pool(2, padding=same) |> ln: layer_norm |> gelu |> avg_pool(2)
  return map = y, logits = y |> flatten |> fc: linear(10)
}
)";
}

bool has(const std::string& text, const std::string& part) {
  UNSCOPED_INFO(text);
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("without a convention, or with pytorch's, ops keep their own defaults") {
  const std::string graph = test::graph_of(network(""));
  CHECK(graph == test::graph_of(network("  convention pytorch")));
  for (const char* word : {"stored=", "layout=", "same_upper", "eps=", "order=", "count_include_pad"})
    CHECK_FALSE(has(graph, word));
  CHECK(has(graph, "@stem.bn.running_var"));
}

TEST_CASE("keras") {
  const std::string graph = test::graph_of(network("  convention keras"));
  CHECK(has(graph, "%x = input {dtype=f32, shape=[1, 3, 8, 8], layout=nhwc}"));
  CHECK(has(graph, "@stem.conv.kernel = weight {shape=[8, 3, 3, 3], role=kernel, stored=hwio}"));
  CHECK(has(graph, "conv(%x, @stem.conv.kernel) {channels=8, kernel=3, stride=2, padding=same_upper}"));
  CHECK(has(graph,
            "@stem.bn.gamma, @stem.bn.beta, @stem.bn.moving_mean, @stem.bn.moving_variance) {eps=0.001}"));
  CHECK(has(graph, "{negative_slope=0.3}"));
  CHECK(has(graph, "{kernel=2, padding=same_upper}"));
  CHECK(has(graph, "layer_norm(%9, @ln.gamma, @ln.beta) {eps=0.001}"));
  CHECK_FALSE(has(graph, "approximate"));
  CHECK(has(graph, "{kernel=2, count_include_pad=false}"));
  CHECK(has(graph, "{order=hwc}"));
  CHECK(has(graph, "@fc.kernel = weight {shape=[10, 8], role=kernel, stored=io}"));
  CHECK(has(graph, "%map = output(%14) {layout=nhwc}"));
  CHECK(has(graph, "%logits = output(%fc) :"));
}

TEST_CASE("flax, by a parameter") {
  const std::string graph = test::graph_of(network("  convention framework"));
  CHECK(has(graph, "@params.stem.bn.scale, @params.stem.bn.bias, @batch_stats.stem.bn.mean"));
  CHECK(has(graph, "{eps=1e-06}"));
  CHECK(has(graph, "{approximate=true}"));
  CHECK(test::graph_of(network("  convention framework"), {"", {{"framework", "keras"}}}) ==
        test::graph_of(network("  convention \"keras\"")));
  CHECK(contains(errors_of(network("  convention framework"), {"", {{"framework", "tensorflow"}}}),
                 "5:14: there is no convention \"tensorflow\"; there are pytorch, mxnet, keras, flax"));
}

TEST_CASE("mxnet differs from pytorch in names") {
  const std::string graph = test::graph_of(network("  convention mxnet"));
  CHECK(has(graph, "@stem.bn.gamma, @stem.bn.beta, @stem.bn.running_mean, @stem.bn.running_var"));
  CHECK_FALSE(has(graph, "stored="));
}

TEST_CASE("what is written overrules the convention") {
  const std::string graph = test::graph_of(R"(network n {
  convention keras
  input x: f32[1, 3, 8, 8] layout=nchw
  y = x |> conv: conv(8, kernel=3, padding=1) |> bn: batch_norm(eps=0.1) |> flatten(order=chw)
  return y
}
)");
  for (const char* word : {"layout=nhwc", "same_upper", "eps=0.001", "order=hwc"})
    CHECK_FALSE(has(graph, word));
  CHECK(has(graph, "padding=1"));
}

TEST_CASE("conventions are formatted as they are written") {
  const std::string text = "network n {\n  convention keras\n  input x: f32[1, 3]\n  return relu(x)\n}\n";
  test::SourceDirectory directory;
  SourceMap sources;
  Result<std::string> formatted = format_source(
      sources,
      directory.write("f.nn", "network n{\nconvention   keras\n  input x:f32[1,3]\n  return relu(x)\n}"));
  REQUIRE(formatted);
  CHECK(*formatted == text);
}
