#include "runtime/src/cpu.h"

#include <cardinal/model.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace cardinal {

#if defined(__x86_64__)

namespace {
// Intel SDM volume 1, 13.2: the register states that the operating system saves. Without them the
// instructions fault whatever cpuid says.
uint64_t saved_register_states() {
  uint32_t low = 0, high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

bool has_all(uint64_t value, uint64_t mask) { return (value & mask) == mask; }
}  // namespace

// Bit positions: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
uint32_t cpu_features() {
  uint32_t a = 0, b = 0, leaf1_c = 0, d = 0;
  constexpr uint32_t kFmaMovbeOsxsaveAvxF16c = 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;
  if (!__get_cpuid(1, &a, &b, &leaf1_c, &d) || !has_all(leaf1_c, kFmaMovbeOsxsaveAvxF16c)) return 0;
  uint32_t leaf7_b = 0, extended_c = 0, c = 0;
  if (!__get_cpuid_count(7, 0, &a, &leaf7_b, &c, &d)) return 0;
  if (!__get_cpuid(0x80000001, &a, &b, &extended_c, &d)) return 0;
  const uint64_t saved = saved_register_states();

  constexpr uint32_t kBmi1Avx2Bmi2 = 1u << 3 | 1u << 5 | 1u << 8, kLzcnt = 1u << 5;
  constexpr uint64_t kXmmYmm = 0x6, kZmm = 0xe6;
  uint32_t features = 0;
  if (has_all(leaf7_b, kBmi1Avx2Bmi2) && has_all(extended_c, kLzcnt) && has_all(saved, kXmmYmm)) {
    features |= CARDINAL_FEATURE_AVX2_FMA;
  }
  constexpr uint32_t kAvx512FDqCdBwVl = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;
  if (features && has_all(leaf7_b, kAvx512FDqCdBwVl) && has_all(saved, kZmm))
    features |= CARDINAL_FEATURE_AVX512;
  return features;
}

#else

uint32_t cpu_features() { return 0; }

#endif

namespace runtime {

std::string missing_features(uint32_t required, uint32_t available) {
  std::string names;
  const auto lacks = [&](uint32_t bit, const std::string& name) {
    if (required & ~available & bit) names += (names.empty() ? "" : " and ") + name;
  };
  lacks(CARDINAL_FEATURE_AVX2_FMA, "AVX2 with FMA, F16C and BMI (x86-64-v3)");
  lacks(CARDINAL_FEATURE_AVX512, "AVX-512 F, CD, BW, DQ and VL (x86-64-v4)");
  constexpr uint32_t kKnown = CARDINAL_FEATURE_AVX2_FMA | CARDINAL_FEATURE_AVX512;
  for (int bit = 0; bit < 32; ++bit) {
    if (!(kKnown >> bit & 1u))
      lacks(1u << bit,
            "an instruction set that this runtime does not know (bit " + std::to_string(bit) + ")");
  }
  return names;
}

}  // namespace runtime
}  // namespace cardinal
