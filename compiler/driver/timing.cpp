#include "compiler/driver/timing.h"

#include <algorithm>
#include <utility>

namespace cardinal::driver {

Timing summarise(std::vector<double> times) {
  std::vector<double> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  const double median = sorted.size() % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return {std::move(times), median, sorted.front()};
}

}  // namespace cardinal::driver
