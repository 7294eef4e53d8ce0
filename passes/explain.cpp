#include "passes/explain.h"

#include <fmt/format.h>

#include <map>

#include "passes/planner.h"

namespace cardinal {

namespace {

// Tiles beyond the best few of an algorithm say little.
constexpr int kShownOfEachAlgorithm = 3;

std::string describe(const Candidate& c, bool chosen) {
  std::string text = fmt::format("        {} {:<24} {:9.1f} us", chosen ? '*' : ' ', c.text, c.microseconds);
  if (c.measured_us > 0) text += fmt::format(", measured {:.1f} us", c.measured_us);
  if (c.rounding.bound > 0)
    text += fmt::format(", error {:.0e}, at most {:.0e}, weights {:.1f} KiB", c.rounding.expected,
                        c.rounding.bound, static_cast<double>(c.weight_bytes) / 1024);
  return text + "\n";
}

std::string describe_candidates(const Step& step) {
  std::string text;
  std::map<ConvAlgorithm, int> shown;
  int left_out = 0;
  double slowest = 0;
  for (const Candidate& c : step.candidates) {
    if (shown[c.algorithm]++ < kShownOfEachAlgorithm || c.measured_us > 0) {
      text += describe(c, &c == &step.candidates.front());
    } else {
      ++left_out;
      slowest = std::max(slowest, c.microseconds);
    }
  }
  if (!step.remark.empty()) text += "          " + step.remark + "\n";
  if (left_out > 0) text += fmt::format("          and {} more, up to {:.1f} us\n", left_out, slowest);
  return text;
}

// ThreadPool's partition: contiguous ranges, of which the first may have a unit more.
std::string describe_shares(const Step& step, int threads) {
  const int64_t most = ceil_div(step.units, threads), least = step.units / threads;
  const int64_t larger = most == least ? threads : step.units % threads;
  std::string shares = fmt::format("{} x {}", larger, most);
  if (larger < threads) shares += fmt::format(" + {} x {}", threads - larger, least);
  return fmt::format("        {} threads: {} units, grain {}, predicted {:.1f} us\n", threads, shares,
                     step.grain,
                     predicted_us(step) * static_cast<double>(most) / static_cast<double>(step.units));
}

std::string describe_floor(const Step& step, const Floor& floor, double measured_us) {
  std::string text = fmt::format("        floor {:.1f} us ({})", floor.us(), floor.bound());
  if (measured_us > 0)
    text +=
        fmt::format(", measured {:.1f} us: {:.0f}% of the floor's rate, {:+.0f}% of predicted", measured_us,
                    100 * floor.us() / measured_us, 100 * (measured_us / predicted_us(step) - 1));
  return text + "\n";
}

}  // namespace

bool cold_weights(const Plan& plan) {
  return weights_read(plan) * static_cast<int64_t>(sizeof(float)) > plan.target.l3_bytes;
}

std::string explain(const Plan& plan, const Graph& graph, const ExplainOptions& options) {
  const Ceilings most = options.ceilings.value_or(ceilings_of(plan));
  const bool cold = cold_weights(plan);
  std::string steps;
  double floor_us = 0, measured_us = 0;
  size_t measured_steps = 0;
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    const Step& step = plan.steps[i];
    const Floor floor = floor_of(work_of(step), cold, most);
    const double measured = i < options.measured_us.size() ? options.measured_us[i] : 0;
    steps += print_step(plan, i) + describe_floor(step, floor, measured);
    if (options.threads > 1) steps += describe_shares(step, options.threads);
    steps += describe_candidates(step);
    floor_us += floor.us();
    measured_us += measured;
    measured_steps += measured > 0;
  }
  std::string text = print_heading(plan, graph);
  if (plan.target.gpu)
    text += fmt::format("floor {:.1f} us at {:.0f} TFLOP/s and {:.0f} GB/s", floor_us, most.flops * 1e-6,
                        most.memory_bytes * 1e-3);
  else
    text += fmt::format(
        "floor {:.1f} us at {:.1f} GFLOP/s, {:.0f} GB/s from L2 and, for weights, {:.0f} GB/s from {}",
        floor_us, most.flops * 1e-3, most.cache_bytes * 1e-3,
        (cold ? most.memory_bytes : most.cache_bytes) * 1e-3, cold ? "memory" : "L2");
  if (!options.measured_us.empty())
    text +=
        fmt::format("; measured {:.1f} us in {} of {} steps", measured_us, measured_steps, plan.steps.size());
  return text + "\n" + steps;
}

}  // namespace cardinal
