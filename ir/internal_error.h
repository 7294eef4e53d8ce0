// For broken invariants that a release build must not run past.
#pragma once

#include <string_view>

namespace cardinal {

// Says on stderr that the compiler is at fault and ends the process with exit code 2.
[[noreturn]] void internal_error(std::string_view message);

}  // namespace cardinal
