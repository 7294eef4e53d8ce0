#include "tests/support/compile_and_run.h"

#include <cardinal/cardinal.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>

#include "codegen/codegen.h"
#include "passes/pipeline.h"

namespace cardinal::testing {

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "cardinal-test-XXXXXX").string();
  path_ = mkdtemp(pattern.data());
}
TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

namespace {

// Calls f(logical index, index in the caller's buffer) for every element.
template <class F>
void for_each_element(const Shape& shape, Layout layout, F f) {
  size_t logical = 0;
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < shape.c(); ++c)
      for (int64_t h = 0; h < shape.h(); ++h)
        for (int64_t w = 0; w < shape.w(); ++w, ++logical)
          f(logical, layout == Layout::nhwc
                         ? static_cast<size_t>(((n * shape.h() + h) * shape.w() + w) * shape.c() + c)
                         : logical);
}

Result<std::vector<Tensor>> run_model(const Graph& graph, const Model& model, std::span<const Tensor> inputs,
                                      cardinal_executor executor) {
  std::vector<std::vector<float>> in, out;
  std::vector<InputBuffer> in_buffers;
  std::vector<OutputBuffer> out_buffers;
  for (const Tensor& tensor : inputs) {
    NodeId id = graph.inputs()[in.size()];
    std::vector<float>& buffer = in.emplace_back(tensor.data.size());
    for_each_element(tensor.type.shape, graph[id].as<Input>()->layout,
                     [&](size_t logical, size_t i) { buffer[i] = static_cast<float>(tensor.data[logical]); });
  }
  for (NodeId id : graph.outputs())
    out.emplace_back(static_cast<size_t>(graph[id].type.shape.elements()),
                     std::numeric_limits<float>::quiet_NaN());
  for (auto& buffer : in) in_buffers.emplace_back(std::span<const float>(buffer));
  for (auto& buffer : out) out_buffers.emplace_back(std::span<float>(buffer));

  auto session = Session::create(model, executor);
  if (!session) return Diagnostics(session.error().message());
  if (auto done = session->run(in_buffers, out_buffers); !done) return Diagnostics(done.error().message());

  std::vector<Tensor> results;
  for (NodeId id : graph.outputs()) {
    const std::vector<float>& buffer = out[results.size()];
    Tensor& tensor = results.emplace_back(graph[id].type);
    for_each_element(tensor.type.shape, graph[id].as<Output>()->layout,
                     [&](size_t logical, size_t i) { tensor.data[logical] = buffer[i]; });
  }
  return results;
}

}  // namespace

Result<std::vector<std::vector<Tensor>>> compile_and_run(const Graph& source, const WeightStore& weights,
                                                         std::span<const Tensor> inputs,
                                                         std::span<const Target> targets,
                                                         cardinal_executor executor,
                                                         const PlanOptions& options) {
  Result<Graph> graph = run_pipeline(source);
  if (!graph) return graph.take_error();
  Result<std::vector<Plan>> plans = make_plans(*graph, targets, options);
  if (!plans) return plans.take_error();
  NetworkImage image{"test_network", "", pack_weights(*graph, *plans, weights)};
  Result<std::string> object = emit_code(*graph, *plans, image, CodeKind::object);
  if (!object) return object.take_error();
  TemporaryDirectory directory;
  if (Status linked = link_shared(*object, image.symbol, directory.file("net.so")); !linked)
    return linked.take_error();
  std::vector<std::vector<Tensor>> results;
  for (const Target& target : targets) {
    auto model = Model::load(directory.file("net.so"), {.variant = target.cpu});
    if (!model) return Diagnostics(model.error().message());
    Result<std::vector<Tensor>> outputs = run_model(source, *model, inputs, executor);
    if (!outputs) return outputs.take_error();
    results.push_back(*std::move(outputs));
  }
  return results;
}

Result<std::vector<Tensor>> compile_and_run(const Graph& source, const WeightStore& weights,
                                            std::span<const Tensor> inputs, const Target& target) {
  auto results = compile_and_run(source, weights, inputs, std::span(&target, 1));
  if (!results) return results.take_error();
  return std::move(results->front());
}

bool same_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Tensor& x, const Tensor& y) {
    return x.data.size() == y.data.size() &&
           std::memcmp(x.data.data(), y.data.data(), x.data.size() * sizeof(double)) == 0;
  });
}

double relative_error(const std::vector<Tensor>& expected, const std::vector<Tensor>& actual) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (expected.size() != actual.size()) return kInfinity;
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i].type.shape != actual[i].type.shape) return kInfinity;
    double scale = 1e-30, error = 0;
    for (size_t j = 0; j < expected[i].data.size(); ++j) {
      if (!std::isfinite(actual[i].data[j])) return kInfinity;
      scale = std::max(scale, std::abs(expected[i].data[j]));
      error = std::max(error, std::abs(expected[i].data[j] - actual[i].data[j]));
    }
    worst = std::max(worst, error / scale);
  }
  return worst;
}

std::vector<std::string> runnable_targets() {
  std::vector<std::string> names;
  if (cpu_features() & CARDINAL_FEATURE_AVX2_FMA) names.push_back("x86-64-v3");
  if (cpu_features() & CARDINAL_FEATURE_AVX512) names.push_back("x86-64-v4");
  return names;
}

}  // namespace cardinal::testing
