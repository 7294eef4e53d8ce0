// Which kernel computes each convolution and linear layer: what was measured to be the fastest, else the cost
// model's first choice, unless an override wants another. The bits of a result depend on the algorithm, which
// is therefore, unless options.same_bits is off, the one that would be the fastest for a single image on
// three CPUs of reference.
#pragma once

#include "ir/window.h"
#include "passes/cost_model.h"
#include "passes/planner.h"

namespace cardinal {

inline bool is_conv(const Node& node) { return node.is<Conv>() || node.is<Linear>(); }

ConvShape conv_shape(const Shape& x, const Shape& out, const Window&, int64_t groups);
ConvShape shape_of_conv(const Graph&, NodeId);
bool has_bias(const Node&);  // of a convolution or linear layer
// Bytes of the weights of all convolutions and linear layers, as if Winograd's F(4x4) were chosen wherever it
// may be.
int64_t network_weights(const Graph&, const std::vector<bool>& live, bool winograd);
ConvProblem conv_problem(const Graph&, NodeId, int64_t network_weights);
std::string tuning_key(const Graph&, NodeId, const ConvProblem&, const Target&);

// A step's name: the node's, or its number if it has none.
std::string step_name(const Graph&, NodeId);

using KernelChoices =
    std::vector<std::vector<ConvChoice>>;  // by NodeId, the chosen one first; none for other nodes
// `network_weights` are those of the network that the graph is or is a part of.
Result<KernelChoices> choose_kernels(const Graph&, const std::vector<bool>& live, const Target&,
                                     const PlanOptions&, int64_t network_weights);
std::vector<Candidate> candidates(const ConvShape&, const std::vector<ConvChoice>&);

// A choice as the plan has it, without bias and epilogue.
ConvKernel conv_kernel(const ConvShape&, const ConvChoice&, const Target&);
int64_t conv_units(const ConvKernel&);

}  // namespace cardinal
