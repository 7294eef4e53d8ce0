#include "compiler/driver/peak.h"

#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace cardinal::driver {

namespace {

// Twelve independent chains: more than the latency of 4 to 5 cycles times the 2 a cycle that any core so far
// retires. Assembly, so that neither the compiler nor the build type changes the loop. Each instruction is
// acc = acc * a + b with a = 0.5, which keeps the values near 2 b: no subnormals, no overflow.
constexpr int kChains = 12;

#define CARDINAL_FMA_CHAINS(width)                                             \
  "vfmadd132ps %[a], %[b], %%" width "mm2\n vfmadd132ps %[a], %[b], %%" width  \
  "mm3\n"                                                                      \
  "vfmadd132ps %[a], %[b], %%" width "mm4\n vfmadd132ps %[a], %[b], %%" width  \
  "mm5\n"                                                                      \
  "vfmadd132ps %[a], %[b], %%" width "mm6\n vfmadd132ps %[a], %[b], %%" width  \
  "mm7\n"                                                                      \
  "vfmadd132ps %[a], %[b], %%" width "mm8\n vfmadd132ps %[a], %[b], %%" width  \
  "mm9\n"                                                                      \
  "vfmadd132ps %[a], %[b], %%" width "mm10\n vfmadd132ps %[a], %[b], %%" width \
  "mm11\n"                                                                     \
  "vfmadd132ps %[a], %[b], %%" width "mm12\n vfmadd132ps %[a], %[b], %%" width "mm13\n"
#define CARDINAL_CLOBBERS \
  "cc", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13"

__attribute__((target("avx2,fma"))) void fma_loop_avx2(int64_t iterations) {
  __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(1.0f);
  asm volatile("1:\n" CARDINAL_FMA_CHAINS("y") "dec %[n]\n jnz 1b\n"
               : [n] "+r"(iterations)
               : [a] "x"(a), [b] "x"(b)
               : CARDINAL_CLOBBERS);
}

__attribute__((target("avx512f"))) void fma_loop_avx512(int64_t iterations) {
  __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(1.0f);
  asm volatile("1:\n" CARDINAL_FMA_CHAINS("z") "dec %[n]\n jnz 1b\n"
               : [n] "+r"(iterations)
               : [a] "v"(a), [b] "v"(b)
               : CARDINAL_CLOBBERS);
}

double best_rate(void (*loop)(int64_t), int lanes) {
  constexpr int kRuns = 40;
  constexpr int64_t kIterations = 100'000;  // about half a millisecond
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    auto start = std::chrono::steady_clock::now();
    loop(kIterations);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, 2.0 * lanes * kChains * kIterations / seconds);
  }
  return best;
}

}  // namespace

double measure_peak_flops() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
  double narrow = best_rate(fma_loop_avx2, 8);
  return __builtin_cpu_supports("avx512f") ? std::max(narrow, best_rate(fma_loop_avx512, 16)) : narrow;
}

}  // namespace cardinal::driver
