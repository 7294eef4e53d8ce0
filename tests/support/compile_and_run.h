// The whole compiler in one call, for tests that compare compiled code with the interpreter.
#pragma once

#include <cardinal/abi.h>

#include <span>
#include <string>
#include <vector>

#include "ir/interpreter.h"
#include "passes/planner.h"

namespace cardinal::testing {

// A directory that is removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Passes, plan, code, link, load, run. The network's outputs in logical order, or what went wrong.
Result<std::vector<Tensor>> compile_and_run(const Graph&, const WeightStore&, std::span<const Tensor> inputs,
                                            const Target&);

// The same with a variant for each target, those that follow each other and have one architecture in one
// shared object: the outputs of each. AArch64's run under qemu (see can_emulate_aarch64), on threads of their
// own.
Result<std::vector<std::vector<Tensor>>> compile_and_run(const Graph&, const WeightStore&,
                                                         std::span<const Tensor> inputs,
                                                         std::span<const Target>,
                                                         cardinal_executor executor = {},
                                                         const PlanOptions& options = {});
bool same_bits(const std::vector<Tensor>&, const std::vector<Tensor>&);

// The largest |a - b| over an output's elements relative to that output's largest |a|; infinity if the shapes
// differ or a value is not finite.
double relative_error(const std::vector<Tensor>& expected, const std::vector<Tensor>& actual);

// Names of the targets this CPU can run, the widest vectors last.
std::vector<std::string> runnable_targets();

}  // namespace cardinal::testing
