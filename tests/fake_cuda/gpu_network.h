// The fake network of tests/runtime/fake_network.h for a GPU: two kernels of one thread per element, written
// by hand.
#pragma once

#include <cardinal/model.h>

#include <string>
#include <vector>

#include "tests/runtime/fake_network.h"

// PTX that the fake driver knows by its text.
inline constexpr char kGpuCode[] = "// scale and mix, compute capability 8.0";
// LLVM IR of the kernels.
std::string gpu_kernels();

// With an open batch if asked, else of one image; with this much dynamic shared memory for each step's
// blocks.
cardinal::Model gpu_model(bool open_batch = false);
// The C structure behind it, for changing; valid for ever.
cardinal_model gpu_table(bool open_batch = false);

// The expected output for several images, one after another.
std::vector<float> gpu_result(const std::vector<float>& x);
std::vector<float> gpu_input(size_t images, float first = 1);
