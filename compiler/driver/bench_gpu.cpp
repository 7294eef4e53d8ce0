#include "compiler/driver/bench_gpu.h"

#include <cardinal/cuda.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "compiler/driver/progress.h"
#include "compiler/driver/report.h"
#include "compiler/driver/tensors.h"
#include "compiler/driver/timing.h"

namespace cardinal::driver {

namespace {

// Everything that a run needs on the device.
struct GpuRun {
  cuda::Session session;
  cuda::Stream stream;
  cuda::Stopwatch watch;
  std::vector<cuda::Memory> inputs, outputs;
  cuda::Memory eraser;  // writing it leaves nothing else in the level 2 cache

  Expected<double> once(bool flushed);
};

Expected<GpuRun> prepare(const cuda::Model& model) {
  const cuda::Device& device = model.device();
  Expected<cuda::Session> session = cuda::Session::create(model);
  if (!session) return session.error();
  Expected<cuda::Stream> stream = cuda::Stream::create(device);
  if (!stream) return stream.error();
  Expected<cuda::Stopwatch> watch = cuda::Stopwatch::create(device);
  if (!watch) return watch.error();
  Expected<cuda::Memory> eraser = cuda::Memory::allocate(device, 2 * device.l2_bytes());
  if (!eraser) return eraser.error();
  GpuRun run{std::move(*session), std::move(*stream), std::move(*watch), {}, {}, std::move(*eraser)};
  for (const TensorInfo& tensor : model.model().inputs()) {
    Expected<cuda::Memory> memory = cuda::Memory::allocate(device, tensor.bytes);
    if (!memory) return memory.error();
    const std::vector<std::byte> values = random_buffer(tensor, run.inputs.size());
    Expected<void> uploaded = memory->upload(values.data(), values.size(), run.stream.handle());
    if (uploaded) uploaded = run.stream.wait();
    if (!uploaded) return uploaded.error();
    run.inputs.push_back(std::move(*memory));
  }
  for (const TensorInfo& tensor : model.model().outputs()) {
    Expected<cuda::Memory> memory = cuda::Memory::allocate(device, tensor.bytes);
    if (!memory) return memory.error();
    run.outputs.push_back(std::move(*memory));
  }
  return run;
}

Expected<double> GpuRun::once(bool flushed) {
  std::vector<cuda::DeviceInput> in;
  std::vector<cuda::DeviceOutput> out;
  for (const cuda::Memory& memory : inputs) in.emplace_back(memory.data(), memory.bytes());
  for (const cuda::Memory& memory : outputs) out.emplace_back(memory.data(), memory.bytes());
  Expected<void> done;
  if (flushed) done = eraser.fill(0, stream.handle());
  if (done) done = watch.start(stream.handle());
  if (done) done = session.run(in, out, stream.handle());
  if (done) done = watch.stop(stream.handle());
  if (!done) return done.error();
  return watch.seconds();
}

// Runs until `seconds` have passed, but at least twenty times, after a warm-up of a tenth of that.
Expected<Timing> time_runs(GpuRun& run, double seconds, bool flushed) {
  constexpr size_t kLeastRuns = 20;
  std::vector<double> times;
  const auto repeat = [&](double limit, size_t least) -> Expected<void> {
    times.clear();
    const Clock::time_point start = Clock::now();
    while (times.size() < least || seconds_since(start) < limit) {
      Expected<double> time = run.once(flushed);
      if (!time) return time.error();
      times.push_back(*time);
    }
    return {};
  };
  Expected<void> done = repeat(0.1 * seconds, 1);
  if (done) done = repeat(seconds, kLeastRuns);
  if (!done) return done.error();
  return summarise(std::move(times));
}

struct Report {
  const cuda::Model& on_gpu;
  Timing warm, flushed;
  std::vector<double> steps;  // seconds

  const Model& model() const { return on_gpu.model(); }
  int64_t images() const { return model().inputs()[0].shape[0]; }
  double teraflops() const { return static_cast<double>(model().flops()) / warm.median * 1e-12; }
};

double gigabytes_per_second(const cardinal_step& step, double seconds) {
  return static_cast<double>(step.bytes) / seconds * 1e-9;
}

void print_json(const Report& r) {
  nlohmann::json out = {{"network", r.model().name()},
                        {"target", r.model().target()},
                        {"device", r.on_gpu.device().name()},
                        {"code", r.on_gpu.code()},
                        {"images", r.images()},
                        {"runs", r.warm.times.size()},
                        {"median_us", r.warm.median * 1e6},
                        {"min_us", r.warm.min * 1e6},
                        {"median_us_flushed", r.flushed.median * 1e6},
                        {"images_per_second", static_cast<double>(r.images()) / r.warm.median},
                        {"flops", r.model().flops()},
                        {"teraflops", r.teraflops()}};
  for (size_t i = 0; i < r.steps.size(); ++i) {
    const cardinal_step& step = r.model().steps()[i];
    out["steps"].push_back({{"name", step.name},
                            {"kernel", step.kernel},
                            {"min_us", r.steps[i] * 1e6},
                            {"gigabytes_per_second", gigabytes_per_second(step, r.steps[i])}});
  }
  fmt::print("{}\n", out.dump(2, ' ', false, nlohmann::json::error_handler_t::replace));
}

void print_text(const Report& r) {
  fmt::print("{:<16}{}, {} on {}, {} {}, {} runs\n", r.model().name(), r.on_gpu.code(), r.model().target(),
             r.on_gpu.device().name(), r.images(), r.images() == 1 ? "image" : "images", r.warm.times.size());
  fmt::print("{:<16}{:.1f}\n{:<16}{:.1f}\n", "median_us", r.warm.median * 1e6, "min_us", r.warm.min * 1e6);
  fmt::print("{:<16}{:.1f}   (the level 2 cache flushed before each run)\n", "flushed_us",
             r.flushed.median * 1e6);
  fmt::print("{:<16}{:.0f}\n", "images_per_s", static_cast<double>(r.images()) / r.warm.median);
  fmt::print("{:<16}{:.2f}\n", "teraflops", r.teraflops());
}

Expected<Report> measure(const cuda::Model& model, const BenchArgs& args) {
  Expected<GpuRun> run = prepare(model);
  if (!run) return run.error();
  Expected<Timing> warm = time_runs(*run, args.seconds, false);
  if (!warm) return warm.error();
  Expected<Timing> flushed = time_runs(*run, args.seconds, true);
  if (!flushed) return flushed.error();
  constexpr int kPasses = 50;
  Expected<std::vector<double>> steps = run->session.time_steps(kPasses);
  if (!steps) return steps.error();
  return Report{model, std::move(*warm), std::move(*flushed), std::move(*steps)};
}

}  // namespace

int bench_gpu(const Model& model, const BenchArgs& args) {
  if (args.threads > 1) return fail("--threads is for networks that run on a CPU; this one runs on a GPU");
  Expected<cuda::Model> on_gpu = cuda::Model::load(model);
  if (!on_gpu) return fail(on_gpu.error().message());
  Progress progress(fmt::format("timing {}", args.model));
  Expected<Report> report = measure(*on_gpu, args);
  if (!report) return fail(report.error().message());
  if (args.json)
    print_json(*report);
  else
    print_text(*report);
  return kDone;
}

}  // namespace cardinal::driver
