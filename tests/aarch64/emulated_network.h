// Networks compiled for AArch64, run under qemu's user mode in a process of their own.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "ir/result.h"

namespace cardinal::testing {

// Whether qemu and a cross compiler were there when the tests were configured; says so in the test's output
// if not.
bool can_emulate_aarch64();

class EmulatedNetwork {
 public:
  // Starts the process, which loads the shared object with the runtime.
  static Result<EmulatedNetwork> load(const std::string& shared_object, size_t memory_floats);

  // What the process and this one share.
  std::span<float> memory() const;

  // Steps [first, last], `grain` units at a time, with the memory as their workspace.
  Status run_steps(size_t first, size_t last, int64_t grain);
  // A session's run on `threads` threads. All inputs are taken from the start of the memory, one after the
  // other; all outputs are put behind them.
  Status run(int threads);

 private:
  struct Process;
  explicit EmulatedNetwork(std::shared_ptr<Process> process) : process_(std::move(process)) {}
  std::shared_ptr<Process> process_;
};

}  // namespace cardinal::testing
