#include "tests/codegen/check_on_all_targets.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>

#include "codegen/codegen.h"
#include "tests/aarch64/emulated_network.h"
#include "tests/support/compile_and_run.h"

namespace cardinal::testing {

namespace {

// Those that the program was built to check.
constexpr const char* kTargets[] = {CHECKED_TARGETS};

bool can_run(const std::string& name) {
  if (name == "aarch64") return can_emulate_aarch64();
  const std::vector<std::string> runnable = runnable_targets();
  if (std::find(runnable.begin(), runnable.end(), name) != runnable.end()) return true;
  WARN("skipped for " << name << ": this CPU lacks its instructions");
  return false;
}

// Which NaN an operation makes depends on the CPU.
bool same_value(float a, float b) {
  return std::memcmp(&a, &b, sizeof a) == 0 || (std::isnan(a) && std::isnan(b));
}

}  // namespace

void check_on_all_targets(const std::function<void(StepBatch&)>& fill) {
  std::vector<std::vector<float>> first;  // results of the first target
  for (const std::string name : kTargets) {
    if (!can_run(name)) continue;
    Result<Target> target = resolve_target(name);
    REQUIRE(target);
    StepBatch batch(*target);
    fill(batch);
    INFO(name);
    std::vector<std::vector<float>> results;
    REQUIRE(batch.check(&results) == "");
    if (first.empty()) first = results;
    REQUIRE(results.size() == first.size());
    for (size_t i = 0; i < first.size(); ++i) {
      INFO("case " << i);
      REQUIRE(std::equal(first[i].begin(), first[i].end(), results[i].begin(), results[i].end(), same_value));
    }
  }
}

}  // namespace cardinal::testing
