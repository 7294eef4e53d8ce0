// A plan with its reasons: what `cardinal plan` and `cardinal compile --emit plan` print.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "passes/floor.h"

namespace cardinal {

struct ExplainOptions {
  int threads = 1;                   // whose shares of each step's units are shown, if more than one
  std::vector<double> measured_us;   // by step, on one thread; 0 where not measured; may be empty
  std::optional<Ceilings> ceilings;  // of the core measured on; by default the target's
};

// Each step as print has it, and below it its floor and what binds it, what was measured, the threads'
// shares, and the kernels that were considered: the chosen one first, then the best of each algorithm, all of
// those that were measured.
std::string explain(const Plan&, const Graph&, const ExplainOptions& options = {});

// Whether the weights that a plan reads come from memory, since they exceed the L3.
bool cold_weights(const Plan&);

}  // namespace cardinal
