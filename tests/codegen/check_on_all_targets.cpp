#include "tests/codegen/check_on_all_targets.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "codegen/codegen.h"
#include "tests/support/compile_and_run.h"

namespace cardinal::testing {

void check_on_all_targets(const std::function<void(StepBatch&)>& fill) {
  const std::vector<std::string> runnable = runnable_targets();
  for (const std::string name : {"x86-64-v3", "x86-64-v4"}) {
    if (std::find(runnable.begin(), runnable.end(), name) == runnable.end()) {
      WARN("skipped for " << name << ": this CPU lacks its instructions");
      continue;
    }
    Result<Target> target = resolve_target(name);
    REQUIRE(target);
    StepBatch batch(*target);
    fill(batch);
    INFO(name);
    REQUIRE(batch.check() == "");
  }
}

}  // namespace cardinal::testing
