// Looking for the driver. Only success is remembered, so the failures come first.
#include <cardinal/cuda.h>

#include <catch2/catch.hpp>

#include "tests/fake_cuda/fake_cuda.h"

using Catch::Contains;

TEST_CASE("a driver without a GPU, one that is too old, one that fails, and then one that works") {
  const auto problem = [] { return cardinal::cuda::device_count().error().message(); };
  fake_cuda::settings().devices = 0;
  CHECK_THAT(problem(),
             Contains("cuInit failed: CUDA_ERROR_NO_DEVICE") && Contains("no NVIDIA GPU is visible"));
  fake_cuda::reset();
  fake_cuda::settings().driver_version = 11020;
  CHECK_THAT(problem(), Contains("too old: it supports CUDA 11.2; install one for CUDA 11.4 or later"));
  fake_cuda::reset();
  fake_cuda::fail_call(1, 999);
  CHECK_THAT(problem(), Contains("cuDriverGetVersion failed: error 999"));
  fake_cuda::reset();
  fake_cuda::settings().devices = 3;
  CHECK(cardinal::cuda::device_count().value() == 3);
}
