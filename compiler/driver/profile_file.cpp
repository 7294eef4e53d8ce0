#include "compiler/driver/profile_file.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "compiler/weights/mapped_file.h"

namespace cardinal::driver {

namespace {

using nlohmann::json;

constexpr int kVersion = 1;

json step_json(const ProfileStep& step) {
  return {{"name", step.name},
          {"kernel", step.kernel},
          {"median_us", step.median_us},
          {"min_us", step.min_us},
          {"predicted_us", step.predicted_us},
          {"floor_us", step.floor.us()},
          {"floor_arithmetic_us", step.floor.arithmetic_us},
          {"floor_bytes_us", step.floor.bytes_us},
          {"bound", step.floor.bound()}};
}

// A time or a rate. JSON spells no infinity, but a number may be too large for a double.
double number_at(const json& object, const char* key) {
  const double value = object.at(key).get<double>();
  if (!std::isfinite(value) || value < 0) throw json::out_of_range::create(401, key, &object);
  return value;
}

ProfileStep read_step(const json& j) {
  return {
      j.at("name").get<std::string>(), j.at("kernel").get<std::string>(),
      number_at(j, "median_us"),       number_at(j, "min_us"),
      number_at(j, "predicted_us"),    {number_at(j, "floor_arithmetic_us"), number_at(j, "floor_bytes_us")}};
}

Profile read_fields(const json& j) {
  Profile profile;
  profile.network = j.at("network").get<std::string>();
  profile.target = j.at("target").get<std::string>();
  profile.threads = j.at("threads").get<int>();
  profile.passes = j.at("passes").get<int64_t>();
  for (const char* rate : {"peak_gflops", "memory_gb_s", "cache_gb_s"})
    if (number_at(j, rate) == 0) throw json::out_of_range::create(401, fmt::format("{} is 0", rate), &j);
  profile.ceilings = {number_at(j, "peak_gflops") * 1e3, number_at(j, "memory_gb_s") * 1e3,
                      number_at(j, "cache_gb_s") * 1e3};
  for (const json& step : j.at("steps")) profile.steps.push_back(read_step(step));
  return profile;
}

}  // namespace

std::string print_profile(const Profile& profile) {
  double median_us = 0, predicted_us = 0, floor_us = 0;
  json steps = json::array();
  for (const ProfileStep& step : profile.steps) {
    steps.push_back(step_json(step));
    median_us += step.median_us;
    predicted_us += step.predicted_us;
    floor_us += step.floor.us();
  }
  const json out = {{"cardinal_profile", kVersion},
                    {"network", profile.network},
                    {"target", profile.target},
                    {"threads", profile.threads},
                    {"passes", profile.passes},
                    {"peak_gflops", profile.ceilings.flops * 1e-3},
                    {"memory_gb_s", profile.ceilings.memory_bytes * 1e-3},
                    {"cache_gb_s", profile.ceilings.cache_bytes * 1e-3},
                    {"median_us", median_us},
                    {"predicted_us", predicted_us},
                    {"floor_us", floor_us},
                    {"steps", steps}};
  return out.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

Result<Profile> read_profile(const std::string& path) {
  const Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.error();
  const auto refused = [&](const std::string& why) {
    return Diagnostics(fmt::format(
        "{} is not a profile: {}; write one with `cardinal profile MODEL.so -o {}`", path, why, path));
  };
  try {
    const auto* text = reinterpret_cast<const char*>(file->bytes().data());
    const json j = json::parse(text, text + file->bytes().size());
    if (!j.is_object() || !j.contains("cardinal_profile")) return refused("it has no 'cardinal_profile'");
    if (j.at("cardinal_profile") != kVersion)
      return refused(
          fmt::format("it is of version {}, this is version {}", j.at("cardinal_profile").dump(), kVersion));
    return read_fields(j);
  } catch (const json::exception& error) {
    return refused(error.what());
  }
}

std::vector<double> match_profile(const Plan& plan, const Profile& profile) {
  // Bands of one layer have the same name and kernel and come in order.
  std::map<std::pair<std::string, std::string>, std::vector<double>> times;
  for (const ProfileStep& step : profile.steps) times[{step.name, step.kernel}].push_back(step.median_us);
  std::map<std::pair<std::string, std::string>, size_t> used;
  std::vector<double> matched;
  for (const Step& step : plan.steps) {
    const std::pair<std::string, std::string> key{step.name, kernel_name(step.kernel)};
    const auto found = times.find(key);
    const size_t at = used[key]++;
    matched.push_back(found != times.end() && at < found->second.size() ? found->second[at] : 0);
  }
  return matched;
}

}  // namespace cardinal::driver
