#include "compiler/driver/report.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>

namespace cardinal::driver {

int fail(const Diagnostics& errors, const SourceMap& sources) {
  fmt::print(stderr, "{}", errors.render(sources));
  bool internal = std::any_of(errors.list().begin(), errors.list().end(),
                              [](const Diagnostic& d) { return d.message.starts_with("internal error"); });
  if (internal) fmt::print(stderr, "cardinal: note: this is a fault of the compiler, not of your network\n");
  return internal ? kInternalError : kUserError;
}

int fail(const std::string& message) { return fail(Diagnostics(message)); }

void report_ignored(const std::vector<std::string>& weights, const std::string& file) {
  if (!weights.empty())
    fmt::print(stderr, "{}: ignored {} weight{}: {}\n", file, weights.size(), weights.size() == 1 ? "" : "s",
               fmt::join(weights, ", "));
}

}  // namespace cardinal::driver
