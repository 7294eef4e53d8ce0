// What a compiled network computed against what the framework did.
#pragma once

#include <string>

#include "ir/result.h"

namespace cardinal::testing {

// A share of the largest output. What float32 rounds away in these networks is about 1e-6; the least that two
// conventions differ by in them, in GELU, is 3e-5.
inline constexpr double kTolerance = 5e-6;

// The largest difference between two .npy files as a share of the largest expected value, or why they cannot
// be compared.
Result<double> difference(const std::string& actual, const std::string& expected);

}  // namespace cardinal::testing
