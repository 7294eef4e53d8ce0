// The order in which a kernel's units are done: strip by strip of the image, so that what a strip reads stays
// in the caches, and so that a thread works on the same part of the image from step to step.
#pragma once

#include "passes/plan.h"

namespace cardinal {

// By how many blocks or panels of channels units are counted: they are `channel_parts` times the same parts
// of the images. 1 for kernels that are counted otherwise.
int64_t channel_parts(const Step&);

// Floats of the packed weights from those of one such part to the next one's, if a kernel fetches them ahead,
// else 0.
int64_t fetched_floats(const Step&);

// For Step::strip; the step's traffic is known.
int64_t choose_strip(const Step&, const Target&);
// For Step::grain; the step's strip and predicted time are known.
int64_t choose_grain(const Step&);

}  // namespace cardinal
