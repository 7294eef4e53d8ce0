// Where each packed weight lies.
#pragma once

#include <span>

#include "passes/plan.h"

namespace cardinal {

// Sets size and offset of every step's weights and plan.weights_floats: in execution order, so that running
// reads them front to back. A constant that is packed twice in the same way, by one plan or by several, is
// there once.
void lay_out_weights(std::span<Plan>);

}  // namespace cardinal
