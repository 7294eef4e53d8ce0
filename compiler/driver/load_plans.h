// Plans compiled and loaded into this process: for verifying them and for measuring what they are made of.
#pragma once

#include <cardinal/model.h>

#include <span>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/result.h"
#include "ir/weights.h"
#include "passes/plan.h"

namespace cardinal::driver {

struct Variant {
  const Plan& plan;
  Model model;
};
struct LoadedPlans {
  std::vector<Variant> variants;     // those that this CPU can run
  std::vector<std::string> refused;  // why it cannot run the others
};
// The plans were made together and must outlive the result. Nothing stays on disk. Fails if this CPU can run
// none.
Result<LoadedPlans> load_plans(const Graph&, std::span<const Plan>, const WeightStore&);

}  // namespace cardinal::driver
