#include "tests/frameworks/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compiler/weights/npy.h"
#include "ir/weights.h"

namespace cardinal::testing {

Result<double> difference(const std::string& actual_path, const std::string& expected_path) {
  Result<NpyArray> actual = read_npy(actual_path), expected = read_npy(expected_path);
  if (!actual) return actual.take_error();
  if (!expected) return expected.take_error();
  if (actual->type != expected->type)
    return Diagnostics(fmt::format("the output is {}, the framework's {}", to_string(actual->type),
                                   to_string(expected->type)));
  std::vector<float> a = to_floats({actual->type, actual->bytes}),
                     b = to_floats({expected->type, expected->bytes});
  double largest = 0, error = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return Diagnostics(fmt::format("output {} is not finite", i));
    largest = std::max(largest, std::abs(double{b[i]}));
    error = std::max(error, std::abs(double{a[i]} - double{b[i]}));
  }
  return error / largest;
}

}  // namespace cardinal::testing
