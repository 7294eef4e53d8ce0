// What a kernel should take, from its shape and the target's facts alone: enough to rank choices, not to
// promise times.
#pragma once

#include <optional>
#include <vector>

#include "passes/plan.h"

namespace cardinal {

// What an override file may set for a step; see read_overrides.
struct StepOverride {
  std::optional<ConvAlgorithm> algorithm;
  std::optional<GpuConvKernel::Algorithm> gpu_algorithm;
  std::optional<bool> paired;  // on a GPU: in one kernel with the convolution before it
  std::optional<int> pixels, rows, panel, k_unroll;
  SourceLocation where;
  std::optional<GpuTile> gpu_tile;  // with mma and wgmma
};

// What the prediction for a convolution depends on besides the target.
struct ConvProblem {
  ConvShape shape;
  int epilogue_operands = 0;    // tensors read in the epilogue
  int64_t network_weights = 0;  // bytes of all weights of the network: decides where a layer finds its own
};

struct ConvChoice {
  ConvAlgorithm algorithm = ConvAlgorithm::direct;
  int pixels = 0;  // of the widest tile
  int rows = 1;    // of them, see ConvKernel
  int panel = 1;
  int k_unroll = 1;
  bool blocked_sums = false;
  double microseconds = 0;  // predicted
  double measured_us = 0;   // by `cardinal tune`; 0: not measured
  // Of them, for Winograd's transforms; input_us: for Strassen's sums of x.
  double input_us = 0, output_us = 0;
};

// Every choice of one kernel that fits the registers and obeys `wanted`, best first.
std::vector<ConvChoice> conv_choices(const ConvProblem&, const Target&, const StepOverride& wanted = {});
// The same for each Winograd algorithm that the shape allows; the tile is that of the products.
std::vector<ConvChoice> winograd_choices(const ConvProblem&, const Target&, const StepOverride& wanted = {});
// The best choice for each number of levels of fast matrix multiplication up to `levels`, if the shape allows
// any.
std::vector<ConvChoice> strassen_choices(const ConvProblem&, const Target&, int levels,
                                         const StepOverride& wanted = {});
// Why there is no choice at all.
std::string why_no_choice(const ConvShape&, const Target&, const StepOverride& wanted);

bool lanes_possible(const ConvShape&);
// Whether a network with so many bytes of weights finds them in memory, not in L3, when it runs again.
bool weights_in_memory(int64_t network_weights, const Target&);
// Vector registers that a tile keeps live. `pixels`: of all its rows.
int64_t conv_registers(const ConvShape&, const Target&, ConvAlgorithm, int64_t pixels, int64_t panel);
int pool_pixels(const ConvShape&, const Target&);           // the widest tile of a pooling kernel
double traffic_microseconds(int64_t bytes, const Target&);  // of a step that computes next to nothing

}  // namespace cardinal
