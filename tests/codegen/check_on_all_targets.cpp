#include "tests/codegen/check_on_all_targets.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>

#include "codegen/codegen.h"
#include "tests/support/compile_and_run.h"

namespace cardinal::testing {

void check_on_all_targets(const std::function<void(StepBatch&)>& fill) {
  const std::vector<std::string> runnable = runnable_targets();
  std::vector<std::vector<float>> first;  // results of the first target
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
    std::vector<std::vector<float>> results;
    REQUIRE(batch.check(&results) == "");
    if (first.empty()) first = results;
    REQUIRE(results.size() == first.size());
    for (size_t i = 0; i < first.size(); ++i) {
      INFO("case " << i);
      REQUIRE(std::memcmp(first[i].data(), results[i].data(), first[i].size() * sizeof(float)) == 0);
    }
  }
}

}  // namespace cardinal::testing
