// The promise that results are the same bits, checked for one network.
#pragma once

#include "tests/support/compile_and_run.h"

namespace cardinal::testing {

// Checks that a network of a batch of images gives the same bits on every target that this CPU can run and on
// one, two and three threads, in stages too, and that the same network of one image gives them for the last
// image. Returns the batch's outputs; none, with a warning, on a CPU that can run nothing.
std::vector<Tensor> check_bits(const Graph& batch, const Graph& single, const WeightStore&,
                               const std::vector<Tensor>& inputs, const PlanOptions& = {});

}  // namespace cardinal::testing
