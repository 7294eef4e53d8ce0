// What cpuid says of a CPU that has an instruction set, for the runtime and for the code of networks with
// several variants. Bit positions: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
#pragma once

#include <cstdint>

namespace cardinal::cpu {

inline constexpr uint32_t kExtendedLeaf = 0x80000001, kLastLeafNeeded = 7;
inline constexpr uint32_t kLeaf1EcxAvx2 =
    1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29;               // FMA, MOVBE, OSXSAVE, AVX, F16C
inline constexpr uint32_t kLeaf7EbxAvx2 = 1u << 3 | 1u << 5 | 1u << 8;  // BMI1, AVX2, BMI2
inline constexpr uint32_t kExtendedEcxAvx2 = 1u << 5;                   // LZCNT
inline constexpr uint32_t kLeaf7EbxAvx512 =
    1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;  // F, DQ, CD, BW, VL
// Of XCR0, the register states that the operating system saves (Intel SDM volume 1, 13.2). Without them the
// instructions fault whatever cpuid says. It may be read if OSXSAVE is set.
inline constexpr uint32_t kSavedAvx2 = 0x6, kSavedAvx512 = 0xe6;

}  // namespace cardinal::cpu
