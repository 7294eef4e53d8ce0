// The whole compiler in one call, for tests that compare compiled code with the interpreter.
#pragma once

#include <cardinal/abi.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ir/interpreter.h"
#include "passes/planner.h"
#include "tests/runtime/scratch_directory.h"

namespace cardinal::testing {

// A network that was compiled, a variant for each of some targets of one architecture in one shared object.
// AArch64's run under qemu (see can_emulate_aarch64), on threads of their own.
class CompiledNetwork {
 public:
  // Passes, plan, code, link.
  static Result<std::unique_ptr<CompiledNetwork>> make(const Graph&, const WeightStore&,
                                                       std::span<const Target>, const PlanOptions& = {});
  // Load, run. The outputs in logical order, or what went wrong.
  Result<std::vector<Tensor>> run(std::span<const Tensor> inputs, const Target&,
                                  cardinal_executor executor = {}) const;

 private:
  explicit CompiledNetwork(const Graph& graph) : graph_(graph) {}
  const Graph& graph_;
  ScratchDirectory directory_;
};

// The same in one call.
Result<std::vector<Tensor>> compile_and_run(const Graph&, const WeightStore&, std::span<const Tensor> inputs,
                                            const Target&);

// The outputs for each target; those that follow each other and have one architecture share an object.
Result<std::vector<std::vector<Tensor>>> compile_and_run(const Graph&, const WeightStore&,
                                                         std::span<const Tensor> inputs,
                                                         std::span<const Target>);
bool same_bits(const std::vector<Tensor>&, const std::vector<Tensor>&);

// The largest |a - b| over an output's elements relative to that output's largest |a|; infinity if the shapes
// differ or a value is not finite.
double relative_error(const std::vector<Tensor>& expected, const std::vector<Tensor>& actual);

// Names of the targets this CPU can run, the widest vectors last.
std::vector<std::string> runnable_targets();

}  // namespace cardinal::testing
