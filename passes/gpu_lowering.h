// Convolutions and linear layers as steps of a GPU: a kernel for each, or two where the reduction is split,
// or one for two layers where the second reads the first's result pixel by pixel.
#pragma once

#include <set>

#include "passes/gpu_conv_choice.h"
#include "passes/lowering.h"
#include "passes/planner.h"

namespace cardinal {

class GpuConvs {
 public:
  GpuConvs(const Graph&, const std::vector<bool>& live, const PlanOptions&);

  // Overrides that name no convolution or linear layer, or set what cannot be.
  Diagnostics check_overrides() const;
  // The layers must come in the graph's order. Fails on an override that wants what the shape or the
  // precision does not allow.
  Status lower(Lowering&, NodeId);

 private:
  const StepOverride* wanted(NodeId) const;
  bool sets_algorithm(NodeId) const;
  GpuConvProblem problem(const Lowering&, NodeId) const;
  bool reads_pixel_by_pixel(NodeId) const;
  // Makes a step of both if that is predicted to be faster, or wanted. `remark`: what was considered.
  Result<bool> lower_pair(Lowering&, NodeId first, NodeId second, const std::vector<GpuConvChoice>& apart,
                          std::string& remark);

  const Graph& graph_;
  const PlanOptions& options_;
  std::vector<NodeId> layers_;                     // convolutions and linear layers that are computed
  std::map<NodeId, NodeId> second_of_, first_of_;  // of layers that may be one kernel
  std::set<NodeId> done_;                          // second ones, with their first
};

}  // namespace cardinal
