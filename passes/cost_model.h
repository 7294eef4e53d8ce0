// What a kernel should take, from its shape and the target's facts alone: enough to rank choices, not to
// promise times.
#pragma once

#include <vector>

#include "passes/plan.h"
#include "passes/planner.h"

namespace cardinal {

// What the prediction for a convolution depends on besides the target.
struct ConvProblem {
  ConvShape shape;
  int epilogue_operands = 0;    // tensors read in the epilogue
  int64_t network_weights = 0;  // bytes of all weights of the network: decides where a layer finds its own
};

struct ConvChoice {
  ConvAlgorithm algorithm = ConvAlgorithm::direct;
  int pixels = 0;  // of the widest tile
  int panel = 1;
  int k_unroll = 1;
  double microseconds = 0;
  double input_us = 0,
         output_us = 0;  // of them, for Winograd's transforms; input_us: for Strassen's sums of x
};

// Every choice of one kernel that fits the registers and obeys `wanted`, best first.
std::vector<ConvChoice> conv_choices(const ConvProblem&, const Target&, const StepOverride& wanted = {});
// The best choice for each Winograd algorithm, if the shape allows any; its tile is that of the products.
std::vector<ConvChoice> winograd_choices(const ConvProblem&, const Target&, const StepOverride& wanted = {});
// The best choice for each number of levels of fast matrix multiplication up to `levels`, if the shape allows
// any.
std::vector<ConvChoice> strassen_choices(const ConvProblem&, const Target&, int levels,
                                         const StepOverride& wanted = {});
// Why there is no choice at all.
std::string why_no_choice(const ConvShape&, const Target&, const StepOverride& wanted);

bool lanes_possible(const ConvShape&);
// Vector registers that a tile keeps live.
int64_t conv_registers(const Target&, ConvAlgorithm, int64_t pixels, int64_t panel);
int pool_pixels(const ConvShape&, const Target&);           // the widest tile of a pooling kernel
double traffic_microseconds(int64_t bytes, const Target&);  // of a step that computes next to nothing

}  // namespace cardinal
