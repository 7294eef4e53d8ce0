#include <cardinal/cardinal.h>
#include <cardinal/cuda.h>
#include <dlfcn.h>

#include <catch2/catch.hpp>

#include "tests/fake_cuda/gpu_network.h"

using Catch::Contains;

TEST_CASE("without a driver every way to the GPU is an error that says so") {
  if (void* driver = dlopen("libcuda.so.1", RTLD_NOW)) {
    dlclose(driver);
    WARN("this machine has a CUDA driver");
    return;
  }
  const auto check = [](const auto& attempt) {
    REQUIRE_FALSE(attempt.ok());
    CHECK_THAT(attempt.error().message(),
               Contains("no CUDA driver") && Contains("libcuda.so.1") && Contains("NVIDIA GPU"));
  };
  check(cardinal::cuda::device_count());
  check(cardinal::cuda::Device::open(0));
  check(cardinal::cuda::Model::load(gpu_model()));
  check(cardinal::Session::create(gpu_model()));
}
