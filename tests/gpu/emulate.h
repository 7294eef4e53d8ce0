// A network compiled for a GPU, run kernel by kernel in the SIMT emulator.
#pragma once

#include <span>
#include <vector>

#include "ir/interpreter.h"
#include "passes/planner.h"
#include "tests/simt/simt.h"

namespace cardinal::testing {

struct EmulationOptions {
  std::string target = "sm_80";
  PlanOptions plan;
  simt::Schedule schedule = simt::Schedule::forward;
};

// Passes, plan, kernels' LLVM IR, emulator. The network's outputs in logical order, or what went wrong.
// Buffers that no kernel has written hold NaNs.
Result<std::vector<Tensor>> emulate(const Graph&, const WeightStore&, std::span<const Tensor> inputs,
                                    const EmulationOptions& options = {});

// The plan for a graph that has not been through the passes, for tests that ask what was chosen.
Result<Plan> plan_for_gpu(const Graph&, const EmulationOptions& options = {});

}  // namespace cardinal::testing
