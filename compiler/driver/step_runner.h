// A run taken apart into its steps: for timing each, and for looking at what each wrote.
#pragma once

#include <cardinal/model.h>

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <vector>

namespace cardinal::driver {

class StepRunner {
 public:
  // Inputs are in the model's order, each of its TensorInfo::bytes; the model must outlive the runner.
  StepRunner(const Model& model, std::vector<std::vector<std::byte>> inputs);

  // On the calling thread, or as the executor does. `image`: of a step that is repeated.
  void run(const cardinal_step& step, int64_t image) {
    frame_.image = image;
    step.task(&frame_, 0, step.units);
  }
  void run(const cardinal_step& step, int64_t image, const cardinal_executor& executor) {
    frame_.image = image;
    executor.parallel_for(executor.context, step.units, step.grain, step.task, &frame_);
  }
  const float* workspace() const { return workspace_.get(); }
  const float* input(size_t i) const { return reinterpret_cast<const float*>(inputs_[i].data()); }
  const float* output(size_t i) const { return reinterpret_cast<const float*>(outputs_[i].data()); }

 private:
  struct FreeAligned {
    void operator()(float* memory) const;
  };
  std::vector<std::vector<std::byte>> inputs_, outputs_;
  std::unique_ptr<float, FreeAligned> workspace_;
  std::vector<const void*> input_pointers_;
  std::vector<void*> output_pointers_;
  cardinal_frame frame_{};
};

// visit(index of the step, image) as `run` does the steps.
void for_each_step(const Model&, const std::function<void(size_t, int64_t)>& visit);

// How long the steps of a model are timed.
struct StepTiming {
  cardinal_executor executor{};  // none: the calling thread
  double seconds = 1;
  size_t least_passes = 5, most_passes = std::numeric_limits<size_t>::max();
  std::function<bool()> stop = [] { return false; };  // asked after each pass
};
// Seconds by step and pass, of all images where a step is repeated. Whole passes, so that every step finds
// the caches as in a real run, after one that is not timed.
std::vector<std::vector<double>> time_steps(const Model& model, const StepTiming& timing);

}  // namespace cardinal::driver
