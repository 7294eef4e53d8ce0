// From a graph to a plan: layouts, algorithms and tiles, memory.
#pragma once

#include <map>
#include <optional>
#include <span>

#include "ir/result.h"
#include "passes/plan.h"

namespace cardinal {

// What an override file may set for a step; see read_overrides.
struct StepOverride {
  std::optional<ConvAlgorithm> algorithm;
  std::optional<GpuConvKernel::Algorithm> gpu_algorithm;
  std::optional<int> pixels, panel, k_unroll;
  SourceLocation where;
};

struct PlanOptions {
  std::map<std::string, StepOverride> overrides;  // by step name
  bool winograd = true;  // whether Winograd convolutions may be chosen without being asked for by name
  // Whether algorithms are chosen so that results are the same bits for every target and every batch size,
  // or for this target and this batch; see choose_kernels.
  bool same_bits = true;
  DType precision = DType::f16;  // of values and weights on a GPU; sums are f32
};

// One line per step: `layer1.0.conv2 algorithm=direct pixels=7 panel=2 k_unroll=4`; `#` starts a comment.
Result<std::map<std::string, StepOverride>> read_overrides(SourceMap& sources, const std::string& path,
                                                           std::string text);

// The graph must have been through the pipeline (no batch_norm left, epilogues fused). Fails on an override
// that names no step or asks for what the target or the shape cannot do.
Result<Plan> make_plan(const Graph&, const Target&, const PlanOptions& options = {});

// A plan for each target, all reading the same packed weights.
Result<std::vector<Plan>> make_plans(const Graph&, std::span<const Target>, const PlanOptions& options = {});

// The packed weights of plans that were made together: plan.weights_floats floats, evaluated from the graph's
// constants.
class WeightStore;
std::vector<float> pack_weights(const Graph&, std::span<const Plan>, const WeightStore&);
// How many of them a plan uses.
int64_t weights_read(const Plan&);

}  // namespace cardinal
