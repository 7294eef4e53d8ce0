// What this core can do at most.
#pragma once

namespace cardinal::driver {

// Single-precision FLOP/s of a loop of fused multiply-adds that touches registers only, with the widest
// vectors that the CPU has: the best of several short runs, some 50 ms in all. 0 without AVX2 and FMA.
double measure_peak_flops();

}  // namespace cardinal::driver
