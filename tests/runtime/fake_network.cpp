#include "tests/runtime/fake_network.h"

#include <cardinal/hash.h>

namespace {

void scale(const cardinal_frame* frame, int64_t begin, int64_t end) noexcept {
  const auto* x = static_cast<const float*>(frame->inputs[0]);
  const auto* w = static_cast<const float*>(frame->weights);
  auto* s = static_cast<float*>(frame->workspace);
  for (int64_t i = begin; i < end; ++i) s[i] = x[i] * w[i];
}

void mix(const cardinal_frame* frame, int64_t begin, int64_t end) noexcept {
  const auto* w = static_cast<const float*>(frame->weights);
  const auto* s = static_cast<const float*>(frame->workspace);
  auto* y = static_cast<float*>(frame->outputs[0]);
  for (int64_t i = begin; i < end; ++i) y[i] = s[i] + s[kFakeElements - 1 - i] + w[kFakeElements];
}

constexpr cardinal_tensor kInput = {"x", CARDINAL_F32, CARDINAL_NCHW, 4, 0, {1, 2, 3, 4}, 96};
constexpr cardinal_tensor kOutput = {"y", CARDINAL_F32, CARDINAL_NCHW, 2, 0, {1, kFakeElements}, 96};
constexpr cardinal_step kSteps[] = {{"layer.scale", "scale", scale, kFakeElements, 1, 1, kFakeElements,
                                     3 * 96, kFakeElements, 0, 0.5, nullptr},
                                    {"layer.mix", "mix", mix, kFakeElements, 1, 1, 2 * kFakeElements, 3 * 96,
                                     2 * kFakeElements, 0, 0.5, nullptr}};
alignas(4096) constexpr auto kWeights = fake_weights();

cardinal_model describe() {
  cardinal_model model = {};
  model.abi_version = CARDINAL_ABI_VERSION;
  model.struct_bytes = sizeof model;
  model.name = "fake";
  model.target = "x86-64";
  model.compiler = "by hand";
  model.model_hash = kFakeModelHash;
  model.input_count = model.output_count = 1;
  model.step_count = 2;
  model.inputs = &kInput;
  model.outputs = &kOutput;
  model.steps = kSteps;
  model.workspace_bytes = 96;
  model.weights_bytes = sizeof kWeights;
#ifdef FAKE_WEIGHTS_FILE
  model.weights_file = FAKE_WEIGHTS_FILE;
#else
  model.weights = kWeights.data();
#endif
  model.weights_hash = cardinal::hash_bytes(kWeights.data(), sizeof kWeights);
  model.parameter_count = kWeights.size();
  model.flops = 3 * kFakeElements;
  model.run = fake_run;
  return model;
}

}  // namespace

extern "C" void fake_run(const cardinal_frame* frame, const cardinal_executor* executor) noexcept {
  for (const cardinal_step& step : kSteps) {
    if (executor) {
      executor->parallel_for(executor->context, step.units, step.grain, step.task, frame);
    } else {
      step.task(frame, 0, step.units);
    }
  }
}

const cardinal_model fake_cardinal_model = describe();
