// Failures and what is left out, on stderr, and the exit codes that go with them.
#pragma once

#include <string>
#include <vector>

#include "ir/source.h"

namespace cardinal::driver {

inline constexpr int kDone = 0, kUserError = 1, kInternalError = 2;

// Prints the diagnostics; kInternalError if one of them begins with "internal error", as those that only a
// bug in the compiler can cause do, else kUserError.
int fail(const Diagnostics& errors, const SourceMap& sources = {});
int fail(const std::string& message);

// Says which weights of the file were left out, if any were.
void report_ignored(const std::vector<std::string>& weights, const std::string& file);

}  // namespace cardinal::driver
