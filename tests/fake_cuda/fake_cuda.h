// A CUDA driver for tests: libcuda.so.1 over host memory, whose kernels run on the SIMT emulator. A test that
// links it has it before the runtime looks for the driver, since the dynamic loader knows a library by its
// SONAME.
//
// Adversarial where CUDA leaves a choice: work on a stream is done when the stream is waited for and not
// before, device memory is full of NaN at first, pointers are taken for what they are at the launch.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fake_cuda {

// The code that a module gets when an image with this text (PTX, or what stands for a cubin) is loaded.
// Returns what is wrong with the LLVM IR, or "".
std::string register_code(std::string_view image, std::string_view llvm_ir);

struct Settings {
  int devices = 1;
  int driver_version = 12080;
  int compute_capability = 80;
  int shared_bytes = 163 << 10;  // that a block may have; of compute capability 8.0
  int schedule = 0;              // index into cardinal::simt::kSchedules
};
Settings& settings();

// The names of the functions that have been called since the last reset, but those that release something or
// report on errors.
std::vector<std::string> calls();
// Makes the n-th of those calls from now on (from 0) fail with this CUresult.
void fail_call(size_t n, int result);
// Forgets calls and planned failures, and sets the settings back.
void reset();

// What has not been released: "2 modules, 1 stream", or "".
std::string leaks();
// Why the last kernel failed, in the emulator's words.
std::string kernel_error();
// Kernels in the order in which they ran since the last reset.
std::vector<std::string> kernels_run();

}  // namespace fake_cuda
