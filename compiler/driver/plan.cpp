// What the compiler would do with a network, and why.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "compiler/driver/build.h"
#include "compiler/driver/network_source.h"
#include "compiler/driver/profile_file.h"
#include "compiler/driver/report.h"
#include "passes/explain.h"

namespace cardinal::driver {

namespace {

// Why a profile says nothing about these plans, or "".
std::string find_mismatch(const Profile& profile, const Build& build, const std::string& path) {
  if (profile.network != build.graph.name)
    return fmt::format("{} is a profile of network {}, not {}", path, profile.network, build.graph.name);
  if (profile.threads != 1)
    return fmt::format("{} was measured on {} threads; a plan's times are those of one", path,
                       profile.threads);
  std::vector<std::string> targets;
  for (const Plan& plan : build.plans) targets.push_back(plan.target.cpu);
  if (std::find(targets.begin(), targets.end(), profile.target) == targets.end())
    return fmt::format("{} was measured on code for {}, the plan is for {}", path, profile.target,
                       fmt::join(targets, " and "));
  return "";
}

}  // namespace

int print_plan(const PlanArgs& args) {
  SourceMap sources;
  Result<Graph> source = load_graph(sources, args.source);
  if (!source) return fail(source.error(), sources);
  std::optional<Profile> profile;
  if (!args.profile.empty()) {
    Result<Profile> read = read_profile(args.profile);
    if (!read) return fail(read.error());
    profile = *std::move(read);
  }
  Result<Build> build = build_plan(sources, *source, BuildOptions{args.target, {}, {}});
  if (!build) return fail(build.error(), sources);
  if (profile)
    if (const std::string why = find_mismatch(*profile, *build, args.profile); !why.empty()) return fail(why);
  for (const Plan& plan : build->plans) {
    if (args.choices) {
      fmt::print("# {} for {}\n{}", build->graph.name, plan.target.cpu, print_overrides(plan, build->graph));
      continue;
    }
    ExplainOptions options{args.threads, {}, {}};
    if (profile && profile->target == plan.target.cpu) {
      options.measured_us = match_profile(plan, *profile);
      options.ceilings = profile->ceilings;
    }
    fmt::print("{}", explain(plan, build->graph, options));
  }
  return kDone;
}

}  // namespace cardinal::driver
