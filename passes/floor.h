// The least time that a step can take: its arithmetic at the rate of the FMA peak, its bytes at the rate at
// which they can be read. What is measured is held against it.
#pragma once

#include <algorithm>
#include <string_view>

#include "passes/plan.h"

namespace cardinal {

// What cores can do at most: per microsecond.
struct Ceilings {
  double flops = 0;
  double memory_bytes = 0;  // from DRAM, however many cores read
  double cache_bytes = 0;   // from L2
};
// By a target's facts, of one core.
Ceilings ceilings_of(const Target&);
// The same, or of a whole GPU, whose tensors are all taken to be in its memory.
Ceilings ceilings_of(const Plan&);

// What a step has to do. Multiply-adds with padding and what a fast algorithm saves do not count.
struct Work {
  double flops = 0;         // 2 per multiply-add
  double bytes = 0;         // operands read once and the result written once
  double weight_bytes = 0;  // of them, weights
};

Work work_of(const Step&);

struct Floor {
  double arithmetic_us = 0, bytes_us = 0;
  double us() const { return std::max(arithmetic_us, bytes_us); }
  std::string_view bound() const { return arithmetic_us >= bytes_us ? "arithmetic" : "bytes"; }
};
// Weights come from memory if those of the network exceed the L3 (`cold_weights`), all else from L2.
Floor floor_of(const Work&, bool cold_weights, const Ceilings&);

}  // namespace cardinal
