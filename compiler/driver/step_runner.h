// A run taken apart into its steps, on the calling thread: for timing each, and for looking at what each
// wrote.
#pragma once

#include <cardinal/model.h>

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace cardinal::driver {

class StepRunner {
 public:
  // Inputs are in the model's order, each of its TensorInfo::bytes; the model must outlive the runner.
  StepRunner(const Model& model, std::vector<std::vector<std::byte>> inputs);

  void run(const cardinal_step& step) { step.task(&frame_, 0, step.units); }
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

}  // namespace cardinal::driver
