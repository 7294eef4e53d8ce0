// The number of images that a network takes at once.
#pragma once

#include "ir/graph.h"
#include "ir/result.h"

namespace cardinal {

// The network for `images` images at once: the first dimension of every input becomes that, and is no longer
// open. Fails on a network whose inputs have another first dimension than 1, or that fixes the batch itself.
Result<Graph> set_batch(const Graph&, int64_t images);

}  // namespace cardinal
