#include <cardinal/cardinal.h>
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "compiler/driver/bench_gpu.h"
#include "compiler/driver/peak.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/report.h"
#include "compiler/driver/tensors.h"
#include "compiler/driver/timing.h"
#include "compiler/driver/verbs.h"

namespace cardinal::driver {

namespace {

// Runs until `seconds` have passed, but at least five times, after a warm-up of a tenth of that.
Timing time_runs(Session& session, double seconds) {
  constexpr size_t kLeastRuns = 5;
  std::vector<std::vector<std::byte>> inputs = random_inputs(session.model()), outputs;
  for (const TensorInfo& tensor : session.model().outputs()) outputs.emplace_back(tensor.bytes);
  std::vector<const void*> in;
  std::vector<void*> out;
  for (const auto& buffer : inputs) in.push_back(buffer.data());
  for (auto& buffer : outputs) out.push_back(buffer.data());
  auto once = [&] { session.run_raw(in.data(), out.data()); };

  Clock::time_point warm_up = Clock::now();
  do once();
  while (seconds_since(warm_up) < 0.1 * seconds);
  std::vector<double> times;
  Clock::time_point start = Clock::now();
  while (times.size() < kLeastRuns || seconds_since(start) < seconds) {
    Clock::time_point run = Clock::now();
    once();
    times.push_back(seconds_since(run));
  }
  return summarise(std::move(times));
}

struct Rates {
  double gflops = 0, percent = 0;
};
Rates rates(uint64_t flops, double seconds, double peak) {
  double rate = static_cast<double>(flops) / seconds;
  return {rate * 1e-9, peak > 0 ? 100 * rate / peak : 0};
}

}  // namespace

int bench(const BenchArgs& args) {
  Expected<Model> model = Model::load(args.model, {.variant = args.variant});
  if (!model) return fail(model.error().message());
  if (model->raw().gpu) return bench_gpu(*model, args);
  std::optional<ThreadPool> pool;
  if (args.threads > 1) pool.emplace(args.threads);
  Expected<Session> session = Session::create(*model, pool ? pool->executor() : cardinal_executor{});
  if (!session) return fail(session.error().message());

  Timing timing;
  double core_peak = measure_peak_flops();
  {
    Progress progress(fmt::format("timing {}", args.model));
    timing = time_runs(*session, args.seconds);
  }
  // Before and after: a clock that rose meanwhile would flatter the percentage.
  core_peak = std::max(core_peak, measure_peak_flops());
  int threads = pool ? pool->threads() : 1;
  double peak = core_peak * threads;
  Rates r = rates(model->flops(), timing.median, peak);

  if (args.json) {
    nlohmann::json out = {{"network", model->name()},
                          {"target", model->target()},
                          {"threads", threads},
                          {"runs", timing.times.size()},
                          {"median_ms", timing.median * 1e3},
                          {"min_ms", timing.min * 1e3},
                          {"flops", model->flops()},
                          {"gflops", r.gflops},
                          {"peak_gflops", peak * 1e-9},
                          {"percent_of_peak", r.percent}};
    for (double time : timing.times) out["times_ms"].push_back(time * 1e3);
    fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
    return kDone;
  }
  fmt::print("{:<16}{}, {} {}, {} runs\n", model->name(), model->target(), threads,
             threads == 1 ? "thread" : "threads", timing.times.size());
  fmt::print("{:<16}{:.3f}\n{:<16}{:.3f}\n", "median_ms", timing.median * 1e3, "min_ms", timing.min * 1e3);
  fmt::print("{:<16}{:.1f}\n", "gflops", r.gflops);
  fmt::print("{:<16}{:.1f}   (of {:.1f} GFLOP/s, measured)\n", "percent_of_peak", r.percent, peak * 1e-9);
  return kDone;
}

}  // namespace cardinal::driver
