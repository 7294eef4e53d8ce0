#include "codegen/nvptx/target.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace cardinal {

namespace {

// Names are LLVM's and ptxas's. Multiprocessors, shared memory and rates are those of one product each, from
// its data sheet; rates are about 80% of the data sheet's, for sm_90 those measured on an H200.
struct Row {
  std::string_view name;
  GpuFacts facts;
};
constexpr std::array kGpus = {
    Row{"sm_80", {80, false, 108, 163 << 10, 1700, 250, 15}},  // A100 80 GB
    Row{"sm_86", {86, false, 84, 99 << 10, 600, 120, 30}},     // A40
    Row{"sm_89", {89, false, 142, 99 << 10, 750, 290, 70}},    // L40S
    Row{"sm_90", {90, false, 132, 227 << 10, 4300, 490, 50}},  // H200; mma.sync reaches some 62% of its 790
    Row{"sm_90a", {90, true, 132, 227 << 10, 4300, 490, 50, 790}},
    Row{"sm_100", {100, false, 148, 227 << 10, 6400, 900, 60}},  // B200
    Row{"sm_100a", {100, true, 148, 227 << 10, 6400, 900, 60}},  //
    Row{"sm_120", {120, false, 188, 99 << 10, 1400, 400, 90}},   // RTX PRO 6000
    Row{"sm_120a", {120, true, 188, 99 << 10, 1400, 400, 90}},   //
};

Target target_of(const Row& row) {
  Target target;
  target.triple = "nvptx64-nvidia-cuda";
  target.cpu = row.name;
  target.gpu = row.facts;
  return target;
}

}  // namespace

bool names_gpu(const std::string& name) { return name.starts_with("sm_"); }

Result<Target> resolve_gpu_target(const std::string& name) {
  const auto row = std::find_if(kGpus.begin(), kGpus.end(), [&](const Row& r) { return r.name == name; });
  if (row != kGpus.end()) return target_of(*row);
  std::vector<std::string_view> names;
  for (const Row& known : kGpus) names.push_back(known.name);
  return Diagnostics(fmt::format("unknown target '{}'; the GPUs are {}", name, fmt::join(names, ", ")));
}

const Target& base_gpu_target() {
  static const Target target = target_of(kGpus.front());
  return target;
}

}  // namespace cardinal
