#include "compiler/driver/step_runner.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "compiler/driver/tensors.h"
#include "compiler/driver/timing.h"

namespace cardinal::driver {

namespace {

constexpr std::align_val_t kHugePage{size_t{2} << 20};

}  // namespace

void StepRunner::FreeAligned::operator()(float* memory) const { ::operator delete(memory, kHugePage); }

StepRunner::StepRunner(const Model& model, std::vector<std::vector<std::byte>> inputs)
    : inputs_(std::move(inputs)) {
  for (const auto& buffer : inputs_) input_pointers_.push_back(buffer.data());
  for (const TensorInfo& tensor : model.outputs()) outputs_.emplace_back(tensor.bytes);
  for (auto& buffer : outputs_) output_pointers_.push_back(buffer.data());
  constexpr auto kPage = static_cast<size_t>(kHugePage);
  const size_t bytes = (model.workspace_bytes() + kPage - 1) / kPage * kPage;
  workspace_.reset(static_cast<float*>(::operator new(bytes, kHugePage)));
  madvise(workspace_.get(), bytes, MADV_HUGEPAGE);  // as a session's workspace, so that times are the same
  // All ones is a NaN: whatever reads memory that no step has written shows.
  std::memset(workspace_.get(), 0xff, bytes);
  frame_ = {input_pointers_.data(), output_pointers_.data(), model.weights(), workspace_.get()};
}

void for_each_step(const Model& model, const std::function<void(size_t, int64_t)>& visit) {
  const std::span<const cardinal_step> steps = model.steps();
  size_t repeated = 0;
  while (repeated < steps.size() && steps[repeated].repeats > 1) ++repeated;
  for (int64_t image = 0; repeated > 0 && image < steps[0].repeats; ++image)
    for (size_t i = 0; i < repeated; ++i) visit(i, image);
  for (size_t i = repeated; i < steps.size(); ++i) visit(i, 0);
}

std::vector<std::vector<double>> time_steps(const Model& model, const StepTiming& timing) {
  StepRunner runner(model, random_inputs(model));
  const auto run = [&](size_t i, int64_t image) {
    const cardinal_step& step = model.steps()[i];
    timing.executor.parallel_for ? runner.run(step, image, timing.executor) : runner.run(step, image);
  };
  for_each_step(model, run);
  std::vector<std::vector<double>> times(model.steps().size());
  const Clock::time_point start = Clock::now();
  const auto enough = [&](size_t passes) {
    return passes >= timing.most_passes ||
           (passes >= timing.least_passes && seconds_since(start) >= timing.seconds);
  };
  for (size_t pass = 0; !enough(pass) && !timing.stop(); ++pass) {
    for (std::vector<double>& of_step : times) of_step.push_back(0);
    for_each_step(model, [&](size_t i, int64_t image) {
      const Clock::time_point step = Clock::now();
      run(i, image);
      times[i].back() += seconds_since(step);
    });
  }
  return times;
}

}  // namespace cardinal::driver
