// Convolutions and linear layers as steps of a GPU: a kernel, or two where the reduction is split.
#pragma once

#include "passes/lowering.h"
#include "passes/planner.h"

namespace cardinal {

// An override on a GPU names a convolution or linear layer and an algorithm for it.
Diagnostics check_gpu_overrides(const Graph&, const std::vector<bool>& live, const PlanOptions&);

// Fails on an override that wants what the shape or the precision does not allow.
Status lower_gpu_conv(Lowering&, NodeId, const PlanOptions&);

}  // namespace cardinal
