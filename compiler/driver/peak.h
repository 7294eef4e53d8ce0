// What this core can do at most.
#pragma once

#include <cstddef>

namespace cardinal::driver {

// Single-precision FLOP/s of a loop of fused multiply-adds that touches registers only, with the widest
// vectors that the CPU has: the best of several short runs, some 50 ms in all. 0 without AVX2 and FMA.
double measure_peak_flops();

// Bytes a second that one core reads from a buffer of this size, again and again: the best of several runs,
// some 50 ms in all. 0 if there is no memory for it.
double measure_read_bandwidth(size_t bytes);

}  // namespace cardinal::driver
