#include "compiler/driver/timing.h"

#include <algorithm>
#include <utility>

namespace cardinal::driver {

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Timing summarise(std::vector<double> times) {
  const double middle = median(times), least = *std::min_element(times.begin(), times.end());
  return {std::move(times), middle, least};
}

}  // namespace cardinal::driver
