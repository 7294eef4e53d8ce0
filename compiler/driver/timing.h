// What everything that measures time needs.
#pragma once

#include <chrono>
#include <vector>

namespace cardinal::driver {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start);
double median(std::vector<double> values);  // of at least one

struct Timing {
  std::vector<double> times;  // seconds, in the order of the runs
  double median = 0, min = 0;
};

Timing summarise(std::vector<double> times);  // at least one

}  // namespace cardinal::driver
