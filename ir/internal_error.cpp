#include "ir/internal_error.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

namespace cardinal {

void internal_error(std::string_view message) {
  fmt::print(stderr, "cardinal: internal error: {}\n", message);
  std::fflush(nullptr);
  std::_Exit(2);
}

}  // namespace cardinal
