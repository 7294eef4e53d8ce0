#include "runtime/src/cpu.h"

#include <cardinal/cpu.h>
#include <cardinal/model.h>
#include <sched.h>

#include <algorithm>
#include <thread>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace cardinal {

#if defined(__x86_64__)

namespace {
uint32_t saved_register_states() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool has_all(uint32_t value, uint32_t mask) { return (value & mask) == mask; }
}  // namespace

uint32_t cpu_features() {
  using namespace cpu;
  uint32_t a = 0, b = 0, leaf1_c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &leaf1_c, &d) || !has_all(leaf1_c, kLeaf1EcxAvx2)) return 0;
  uint32_t leaf7_b = 0, extended_c = 0, c = 0;
  if (!__get_cpuid_count(kLastLeafNeeded, 0, &a, &leaf7_b, &c, &d)) return 0;
  if (!__get_cpuid(kExtendedLeaf, &a, &b, &extended_c, &d)) return 0;
  const uint32_t saved = saved_register_states();
  if (!has_all(leaf7_b, kLeaf7EbxAvx2) || !has_all(extended_c, kExtendedEcxAvx2) ||
      !has_all(saved, kSavedAvx2))
    return 0;
  const bool avx512 = has_all(leaf7_b, kLeaf7EbxAvx512) && has_all(saved, kSavedAvx512);
  return CARDINAL_FEATURE_AVX2_FMA | (avx512 ? uint32_t{CARDINAL_FEATURE_AVX512} : 0);
}

#elif defined(__aarch64__)

uint32_t cpu_features() { return CARDINAL_FEATURE_NEON; }

#endif

namespace runtime {

int available_cpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

std::string missing_features(uint32_t required, uint32_t available) {
  std::string names;
  const auto lacks = [&](uint32_t bit, const std::string& name) {
    if (required & ~available & bit) names += (names.empty() ? "" : " and ") + name;
  };
  lacks(CARDINAL_FEATURE_AVX2_FMA, "AVX2 with FMA, F16C and BMI (x86-64-v3)");
  lacks(CARDINAL_FEATURE_AVX512, "AVX-512 F, CD, BW, DQ and VL (x86-64-v4)");
  lacks(CARDINAL_FEATURE_NEON, "NEON (AArch64)");
  constexpr uint32_t kKnown = CARDINAL_FEATURE_AVX2_FMA | CARDINAL_FEATURE_AVX512 | CARDINAL_FEATURE_NEON;
  for (int bit = 0; bit < 32; ++bit) {
    if (!(kKnown >> bit & 1u))
      lacks(1u << bit,
            "an instruction set that this runtime does not know (bit " + std::to_string(bit) + ")");
  }
  return names;
}

}  // namespace runtime
}  // namespace cardinal
