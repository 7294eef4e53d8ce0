// From steps whose buffers have no place yet to a plan: which buffers may be one, and where each lies.
#pragma once

#include <vector>

#include "passes/placement.h"

namespace cardinal {

// A step whose views' offsets count from the start of their buffers, which are named by Placement::buffers.
struct DraftStep {
  Step step;
  std::vector<int> input_buffers;
  int output_buffer = -1, second_output_buffer = -1, scratch_buffer = -1;
};

// The plan's steps, views and workspace. Where an elementwise operand dies in the step that reads it (a
// residual, the x of an activation), the result is written over it.
Plan assign_buffers(std::vector<DraftStep> steps, Placement placement);

}  // namespace cardinal
