// What everything that measures time needs.
#pragma once

#include <chrono>
#include <vector>

namespace cardinal::driver {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start);
double median(std::vector<double> values);  // of at least one

}  // namespace cardinal::driver
