// Timing networks that run on a GPU.
#pragma once

#include <cardinal/model.h>

#include "compiler/driver/verbs.h"

namespace cardinal::driver {

int bench_gpu(const Model& model, const BenchArgs& args);

}  // namespace cardinal::driver
