// From a graph to a plan: layouts, algorithms and tiles, memory.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <span>

#include "ir/result.h"
#include "passes/plan.h"
#include "passes/tuning.h"

namespace cardinal {

struct PlanOptions {
  std::map<std::string, StepOverride> overrides;  // by step name
  Tuning tuning;                                  // what was measured, of any CPU
  bool winograd = true;  // whether Winograd convolutions may be chosen without being asked for by name
  // Levels of fast matrix multiplication that may be chosen without being asked for by name: 0, 1 or 2.
  int fast_matmul = 2;
  // Whether direct convolutions add up long sums in blocks (see blocked_sum), which is more exact and takes
  // up to 4% longer. By default, if none of the faster and less exact algorithms may be chosen.
  std::optional<bool> blocked_sums;
  // How many times as large as a direct convolution's the packed kernel of an algorithm may be that is not
  // asked for by name: 1.75 for one level of fast matrix multiplication, 3.06 for two, 1.78 for Winograd's
  // F(2x2), 4 for F(4x4).
  double max_weight_growth = std::numeric_limits<double>::infinity();
  // Whether algorithms are chosen so that results are the same bits for every target and every batch size,
  // or for this target and this batch; see choose_kernels.
  bool same_bits = true;
  bool stages = true;            // whether layers may be computed image by image; see stages.h
  DType precision = DType::f16;  // of values and weights on a GPU; sums are f32
  bool tf32 = false;  // f32 only: whether they may be rounded to 11 bits, to be multiplied on tensor cores
  // On sm_90a, where values have 16 bits: wgmma in place of mma for convolutions without groups.
  bool use_wgmma = false;
  // Whether a GPU may compute two convolutions in one kernel without being asked for by name; see
  // GpuConvPairKernel. By mma, so not where wgmma takes its place.
  bool conv_pairs = true;
};

// One line per step: `layer1.0.conv2 algorithm=direct pixels=7 panel=2 k_unroll=4`; `#` starts a comment.
Result<std::map<std::string, StepOverride>> read_overrides(SourceMap& sources, const std::string& path,
                                                           std::string text);
// A plan's choices in that form.
std::string print_overrides(const Plan&, const Graph&);

// The graph must have been through the pipeline (no batch_norm left, epilogues fused). Fails on an override
// that names no step or asks for what the target or the shape cannot do.
Result<Plan> make_plan(const Graph&, const Target&, const PlanOptions& options = {});

// A plan for each target, all reading the same packed weights.
Result<std::vector<Plan>> make_plans(const Graph&, std::span<const Target>, const PlanOptions& options = {});

// The packed weights of plans that were made together: plan.weights_floats floats, evaluated from the graph's
// constants. If asked, also what a compact weight file holds instead.
class WeightStore;
struct CompactWeights;
std::vector<float> pack_weights(const Graph&, std::span<const Plan>, const WeightStore&,
                                CompactWeights* compact = nullptr);
// How many of them a plan uses.
int64_t weights_read(const Plan&);

}  // namespace cardinal
