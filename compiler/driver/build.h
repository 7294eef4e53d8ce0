// From a graph to a plan with packed weights: what compile and verify share.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/driver/verbs.h"
#include "ir/weights.h"
#include "passes/planner.h"

namespace cardinal::driver {

// The name under which the graph as elaborated is dumped, and that of the plan.
inline constexpr std::string_view kSourcePass = "source", kPlanPass = "plan";

// `name` must be "", "source", a pass of the pipeline, or one of `others`.
Status check_pass_name(std::string_view name, std::initializer_list<std::string_view> others);

struct BuildOptions {
  TargetArgs target;
  // Called with the name and text of every stage that `wants` (by default none).
  std::function<bool(std::string_view stage)> wants;
  std::function<void(std::string_view stage, const std::string& text)> dump;
};
struct Build {
  Graph graph;              // after all passes; what the plan speaks of
  std::vector<Plan> plans;  // one for each variant
  PlanOptions options;      // that they were made with
};
// As `tune` wrote it.
Result<Tuning> read_tuning_file(SourceMap& sources, const std::string& path);
// All plans as text, with the reasons for each choice.
std::string print_plans(std::span<const Plan> plans, const Graph& graph);
Result<Build> build_plan(SourceMap& sources, const Graph& source, const BuildOptions& options);

}  // namespace cardinal::driver
