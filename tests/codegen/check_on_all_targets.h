// Runs a batch of steps on every target that the program checks: those of this CPU, or one of them and
// AArch64.
#pragma once

#include <functional>

#include "tests/codegen/step_batch.h"

namespace cardinal::testing {

// For every target: `fill` adds steps to a batch, which is compiled and checked with its units split into
// ranges of 1, of 7, and all at once; all targets must give the same bits (but for which NaN). Says so if a
// target cannot be run here.
void check_on_all_targets(const std::function<void(StepBatch&)>& fill);

}  // namespace cardinal::testing
