#include "tests/support/compile_and_run.h"

#include <cardinal/cardinal.h>
#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "codegen/codegen.h"
#include "codegen/llvm_target.h"
#include "passes/pipeline.h"
#include "tests/aarch64/emulated_network.h"

namespace cardinal::testing {

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

using Buffers = std::vector<std::vector<float>>;
// Runs a network on buffers in the callers' layout.
using RunNetwork = std::function<Status(const Buffers& in, Buffers& out)>;

Status run_session(const Model& model, cardinal_executor executor, const Buffers& in, Buffers& out) {
  std::vector<InputBuffer> in_buffers;
  std::vector<OutputBuffer> out_buffers;
  for (const auto& buffer : in) in_buffers.emplace_back(std::span<const float>(buffer));
  for (auto& buffer : out) out_buffers.emplace_back(std::span<float>(buffer));
  auto session = Session::create(model, executor);
  if (!session) return Diagnostics(session.error().message());
  if (auto done = session->run(in_buffers, out_buffers); !done) return Diagnostics(done.error().message());
  return ok();
}

Status run_emulated(const std::string& path, const Buffers& in, Buffers& out) {
  size_t floats = 0;
  for (const auto& buffer : in) floats += buffer.size();
  for (const auto& buffer : out) floats += buffer.size();
  Result<EmulatedNetwork> network = EmulatedNetwork::load(path, floats);
  if (!network) return network.take_error();
  auto place = network->memory().begin();
  for (const auto& buffer : in) place = std::copy(buffer.begin(), buffer.end(), place);
  constexpr int kThreads = 2;
  if (Status done = network->run(kThreads); !done) return done;
  for (auto& buffer : out) {
    const auto end = place + static_cast<std::ptrdiff_t>(buffer.size());
    std::copy(place, end, buffer.begin());
    place = end;
  }
  return ok();
}

Result<std::vector<Tensor>> run_model(const Graph& graph, std::span<const Tensor> inputs,
                                      const RunNetwork& run) {
  Buffers in, out;
  for (const Tensor& tensor : inputs) {
    NodeId id = graph.inputs()[in.size()];
    std::vector<float>& buffer = in.emplace_back(tensor.data.size());
    for_each_element(tensor.type.shape, graph[id].as<Input>()->layout,
                     [&](size_t logical, size_t i) { buffer[i] = static_cast<float>(tensor.data[logical]); });
  }
  for (NodeId id : graph.outputs())
    out.emplace_back(static_cast<size_t>(graph[id].type.shape.elements()),
                     std::numeric_limits<float>::quiet_NaN());
  if (Status done = run(in, out); !done) return done.take_error();

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

Result<std::unique_ptr<CompiledNetwork>> CompiledNetwork::make(const Graph& source,
                                                               const WeightStore& weights,
                                                               std::span<const Target> targets,
                                                               const PlanOptions& options) {
  Result<Graph> graph = run_pipeline(source);
  if (!graph) return graph.take_error();
  Result<std::vector<Plan>> plans = make_plans(*graph, targets, options);
  if (!plans) return plans.take_error();
  NetworkImage image{"test_network", "", pack_weights(*graph, *plans, weights)};
  Result<std::string> object = emit_code(*graph, *plans, image, CodeKind::object);
  if (!object) return object.take_error();
  std::unique_ptr<CompiledNetwork> network(new CompiledNetwork(source));
  if (Status linked =
          link_shared(object_file(*object, image), image.symbol, network->directory_.file("net.so"));
      !linked)
    return linked.take_error();
  return network;
}

Result<std::vector<Tensor>> CompiledNetwork::run(std::span<const Tensor> inputs, const Target& target,
                                                 cardinal_executor executor) const {
  const std::string path = directory_.file("net.so");
  return run_model(graph_, inputs, [&](const Buffers& in, Buffers& out) -> Status {
    if (is_aarch64(target)) return run_emulated(path, in, out);
    auto model = Model::load(path, {.variant = target.cpu});
    if (!model) return Diagnostics(model.error().message());
    return run_session(*model, executor, in, out);
  });
}

Result<std::vector<std::vector<Tensor>>> compile_and_run(const Graph& source, const WeightStore& weights,
                                                         std::span<const Tensor> inputs,
                                                         std::span<const Target> targets) {
  std::vector<std::vector<Tensor>> results;
  while (results.size() < targets.size()) {
    const auto rest = targets.subspan(results.size());
    const auto other = std::find_if(rest.begin(), rest.end(), [&](const Target& target) {
      return is_aarch64(target) != is_aarch64(rest.front());
    });
    const auto alike = rest.first(static_cast<size_t>(other - rest.begin()));
    auto network = CompiledNetwork::make(source, weights, alike);
    if (!network) return network.take_error();
    for (const Target& target : alike) {
      Result<std::vector<Tensor>> outputs = (*network)->run(inputs, target);
      if (!outputs) return outputs.take_error();
      results.push_back(*std::move(outputs));
    }
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
