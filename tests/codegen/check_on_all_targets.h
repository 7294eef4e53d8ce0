// Runs a batch of steps on every target this CPU has.
#pragma once

#include <functional>

#include "tests/codegen/step_batch.h"

namespace cardinal::testing {

// For every target: `fill` adds steps to a batch, which is compiled and checked with its units split into
// ranges of 1, of 7, and all at once; all targets must give the same bits. Says so if a target cannot be run
// here.
void check_on_all_targets(const std::function<void(StepBatch&)>& fill);

}  // namespace cardinal::testing
