// Each step of a compiled network: how long it takes, was predicted to take, and would take at best.
#include <cardinal/cardinal.h>
#include <cardinal/packaging.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compiler/driver/artefacts.h"
#include "compiler/driver/peak.h"
#include "compiler/driver/profile_file.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/report.h"
#include "compiler/driver/step_runner.h"
#include "compiler/driver/timing.h"
#include "compiler/driver/verbs.h"

namespace cardinal::driver {

namespace {

// Per microsecond, as all threads together have it. A buffer of half the L2 stays there.
Ceilings measure_ceilings(int threads) {
  const Target usual;
  const auto cores = static_cast<double>(threads);
  const double cache = measure_read_bandwidth(static_cast<size_t>(usual.l2_bytes) / 4);
  const double memory = measure_read_bandwidth(static_cast<size_t>(usual.l3_bytes) * 4);
  return {cores * measure_peak_flops() * 1e-6, memory * 1e-6, cores * cache * 1e-6};
}

Ceilings highest(const Ceilings& a, const Ceilings& b) {
  return {std::max(a.flops, b.flops), std::max(a.memory_bytes, b.memory_bytes),
          std::max(a.cache_bytes, b.cache_bytes)};
}

Profile measure(const Model& model, const ProfileArgs& args, std::optional<ThreadPool>& pool) {
  Progress progress(fmt::format("timing the steps of {}", args.model));
  Profile profile{std::string(model.name()), model.raw().target};
  profile.threads = pool ? pool->threads() : 1;
  profile.ceilings = measure_ceilings(profile.threads);
  StepTiming timing;
  if (pool) timing.executor = pool->executor();
  timing.seconds = args.seconds;
  const std::vector<std::vector<double>> times = time_steps(model, timing);
  // Before and after: a clock that rose meanwhile would flatter the percentages.
  profile.ceilings = highest(profile.ceilings, measure_ceilings(profile.threads));
  profile.passes = times.empty() ? 0 : static_cast<int64_t>(times.front().size());
  const bool cold = model.raw().weights_read > static_cast<uint64_t>(Target{}.l3_bytes);
  for (size_t i = 0; i < times.size(); ++i) {
    const cardinal_step& step = model.steps()[i];
    const Work work{static_cast<double>(step.arithmetic), static_cast<double>(step.bytes),
                    static_cast<double>(step.weight_bytes)};
    profile.steps.push_back({step.name, step.kernel, median(times[i]) * 1e6,
                             *std::min_element(times[i].begin(), times[i].end()) * 1e6, step.predicted_us,
                             floor_of(work, cold, profile.ceilings)});
  }
  return profile;
}

// Indices of the steps in the order asked for.
std::vector<size_t> order_of(const Profile& profile, const std::string& sort) {
  std::vector<size_t> order(profile.steps.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto weight = [&](size_t i) {
    const ProfileStep& step = profile.steps[i];
    return sort == "time" ? step.median_us : step.median_us - step.floor.us();
  };
  if (sort != "order")
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weight(a) > weight(b); });
  return order;
}

double percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

void print_table(const Profile& profile, const std::string& sort) {
  fmt::print(
      "{} for {}, {} {}, median of {} passes; {:.1f} GFLOP/s, {:.0f} GB/s from L2, {:.0f} GB/s from "
      "memory at best, measured\n",
      profile.network, profile.target, profile.threads, profile.threads == 1 ? "thread" : "threads",
      profile.passes, profile.ceilings.flops * 1e-3, profile.ceilings.cache_bytes * 1e-3,
      profile.ceilings.memory_bytes * 1e-3);
  fmt::print("{:>4} {:<32} {:<22} {:>10} {:>10} {:>10} {:<10} {:>8}\n", "", "step", "kernel", "median us",
             "predicted", "floor", "bound by", "% floor");
  double median_us = 0, predicted_us = 0, floor_us = 0;
  for (size_t i : order_of(profile, sort)) {
    const ProfileStep& step = profile.steps[i];
    fmt::print("{:>4} {:<32} {:<22} {:>10.1f} {:>10.1f} {:>10.1f} {:<10} {:>8.1f}\n", i, step.name,
               step.kernel, step.median_us, step.predicted_us, step.floor.us(), step.floor.bound(),
               percent(step.floor.us(), step.median_us));
    median_us += step.median_us;
    predicted_us += step.predicted_us;
    floor_us += step.floor.us();
  }
  fmt::print("{:>4} {:<32} {:<22} {:>10.1f} {:>10.1f} {:>10.1f} {:<10} {:>8.1f}\n", "", "all steps", "",
             median_us, predicted_us, floor_us, "", percent(floor_us, median_us));
}

}  // namespace

int profile(const ProfileArgs& args) {
  const std::string read[] = {args.model};
  if (!args.output.empty())
    if (Status good = check_output(args.output, read); !good) return fail(good.error());
  Expected<Model> model = Model::load(args.model, {.variant = args.variant});
  if (!model) return fail(model.error().message());
  if (model->raw().gpu)
    return fail(
        "profile is for networks that run on a CPU; `cardinal bench --json` times each step of one on a GPU");
  std::optional<ThreadPool> pool;
  if (args.threads > 1) pool.emplace(args.threads);
  const Profile profile = measure(*model, args, pool);
  if (args.output == "-") {
    fmt::print("{}", print_profile(profile));
    return kDone;
  }
  print_table(profile, args.sort);
  if (args.output.empty()) return kDone;
  const std::string text = print_profile(profile);
  const std::string_view pieces[] = {text};
  const Expected<void> written = write_file(args.output, pieces);
  return written ? kDone : fail(written.error().message());
}

}  // namespace cardinal::driver
