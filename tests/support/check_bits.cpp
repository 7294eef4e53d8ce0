#include "tests/support/check_bits.h"

#include <cardinal/thread_pool.h>

#include <catch2/catch.hpp>

#include "codegen/codegen.h"

namespace cardinal::testing {

namespace {

// The last image of every tensor.
std::vector<Tensor> last_image(const std::vector<Tensor>& batch) {
  std::vector<Tensor> images;
  for (const Tensor& tensor : batch) {
    TensorType type = tensor.type;
    type.shape[0] = 1;
    Tensor& image = images.emplace_back(type);
    image.data.assign(tensor.data.end() - static_cast<std::ptrdiff_t>(image.data.size()), tensor.data.end());
  }
  return images;
}

template <class T>
T value(Result<T> result) {
  if (!result) FAIL(result.error().render(SourceMap()));
  return *std::move(result);
}

}  // namespace

std::vector<Tensor> check_bits(const Graph& batch, const Graph& single, const WeightStore& weights,
                               const std::vector<Tensor>& inputs, const PlanOptions& options) {
  std::vector<Target> targets;
  for (const std::string& name : runnable_targets()) targets.push_back(value(resolve_target(name)));
  if (targets.empty()) {
    WARN("this CPU has neither AVX2 nor AVX-512: nothing was run");
    return {};
  }
  const auto network = value(CompiledNetwork::make(batch, weights, targets, options));
  // As if no batch fitted the caches: computed in stages, the first image by image.
  std::vector<Target> small = targets;
  for (Target& target : small) target.l2_bytes = 1 << 10;
  const auto staged = value(CompiledNetwork::make(batch, weights, small, options));
  const auto single_network = value(CompiledNetwork::make(single, weights, targets, options));
  const std::vector<Tensor> expected = value(network->run(inputs, targets.front()));
  for (const Target& target : targets) {
    INFO(target.cpu);
    CHECK(same_bits(value(network->run(inputs, target)), expected));
    CHECK(same_bits(value(staged->run(inputs, target)), expected));
    for (int threads : {2, 3}) {
      INFO(threads << " threads");
      ThreadPool pool(threads);
      CHECK(same_bits(value(network->run(inputs, target, pool.executor())), expected));
      CHECK(same_bits(value(staged->run(inputs, target, pool.executor())), expected));
    }
    CHECK(same_bits(value(single_network->run(last_image(inputs), target)), last_image(expected)));
  }
  return expected;
}

}  // namespace cardinal::testing
