// What `cardinal profile` measured, in JSON, and how `cardinal plan` finds it again.
#pragma once

#include <string>
#include <vector>

#include "ir/result.h"
#include "passes/floor.h"

namespace cardinal::driver {

struct ProfileStep {
  std::string name, kernel;
  double median_us = 0, min_us = 0, predicted_us = 0;
  Floor floor;
};

struct Profile {
  std::string network, target;
  int threads = 1;
  int64_t passes = 0;
  Ceilings ceilings;  // of all threads together, measured
  std::vector<ProfileStep> steps;
};

std::string print_profile(const Profile&);
// Fails if the file was not written by print_profile.
Result<Profile> read_profile(const std::string& path);

// The measured times of a plan's steps, found by name and kernel; 0 where the profile has none.
std::vector<double> match_profile(const Plan&, const Profile&);

}  // namespace cardinal::driver
