// Statistics of repeated measurements.
#pragma once

#include <cstddef>
#include <vector>

namespace cardinal::driver {

struct Timing {
  std::vector<double> times;  // seconds, in the order of the runs
  double median = 0, min = 0;
};

Timing summarise(std::vector<double> times);  // at least one

}  // namespace cardinal::driver
