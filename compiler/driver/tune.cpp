// Measures the kernels that the cost model thinks best, each in its place in the network: caches, weights and
// layouts are as they will be. A trial is the network with one kernel for each convolution, in all layers
// that compute it. Trials are compiled some at a time and run in turn, several times, so that what else the
// machine does for a while does not fall on a few of them.
#include <cardinal/packaging.h>
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>

#include "compiler/driver/artefacts.h"
#include "compiler/driver/build.h"
#include "compiler/driver/load_plans.h"
#include "compiler/driver/memory.h"
#include "compiler/driver/network_source.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/report.h"
#include "compiler/driver/step_runner.h"
#include "compiler/driver/timing.h"
#include "compiler/weights/open_weights.h"
#include "passes/kernel_choice.h"

namespace cardinal::driver {

namespace {

constexpr size_t kTrialsInTurn = 8;
constexpr int kTurns = 4;
constexpr double kSecondsPerTurn = 0.25;
constexpr size_t kLeastPasses = 3, kMostPasses = 25;  // of a turn
// Of the machine's memory, for the trials in turn.
constexpr double kMemoryShare = 0.25;
// What is predicted to take so many times longer than the best is not measured.
constexpr double kHopeless = 1.6;
constexpr int kUnrolls[] = {2, 4, 8, 16};

// Ctrl-C ends the measuring, a second one the process.
volatile std::sig_atomic_t interrupted = 0;

void end_on_interrupt() {
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = 1; };
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
}

// What the process would have died of without the handler.
[[noreturn]] void die_of_interrupt() {
  std::fflush(stdout);
  std::signal(SIGINT, SIG_DFL);
  std::raise(SIGINT);
  std::abort();
}

// A convolution of the network: the layers that compute it, and its kernels.
struct Subject {
  std::vector<NodeId> layers;
  ConvChoice untuned;            // what the cost model would take
  std::vector<ConvChoice> left;  // to measure, the most promising first
};

// The candidates worth measuring: of each algorithm that may be chosen the best tiles, and the best tile with
// its loop unrolled in other ways.
std::vector<ConvChoice> worth_measuring(const Step& step, bool same_bits, int most) {
  std::vector<ConvChoice> all, picked;
  for (const Candidate& c : step.candidates) {
    ConvChoice choice = parse_choice(c.text).value();
    choice.microseconds = c.microseconds;
    if (!same_bits || c.algorithm == step.candidates.front().algorithm) all.push_back(choice);
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const ConvChoice& a, const ConvChoice& b) { return a.microseconds < b.microseconds; });
  std::map<ConvAlgorithm, int> count;
  for (const ConvChoice& c : all)
    if (c.microseconds <= kHopeless * all[0].microseconds && count[c.algorithm]++ < most) picked.push_back(c);
  if (all[0].algorithm == ConvAlgorithm::lanes) return picked;
  for (int unroll : kUnrolls)
    if (unroll != all[0].k_unroll) {
      picked.push_back(all[0]);
      picked.back().k_unroll = unroll;
    }
  return picked;
}

struct Trial {
  std::map<std::string, ConvChoice> kernels;  // by tuning_key
  std::vector<Plan> plans;                    // one
  LoadedPlans loaded;
  std::map<std::string, double> us;  // by tuning_key, the least of the turns
};

class Tuner {
 public:
  Tuner(const TuneArgs& args, const Build& build, const WeightStore& weights, Tuning known)
      : args_(args), build_(build), weights_(weights), known_(std::move(known)) {
    for (const Step& step : plan().steps) {
      if (step.candidates.empty()) continue;
      const auto [place, is_new] = subjects_.try_emplace(step.tuning_key);
      Subject& subject = place->second;
      subject.layers.push_back(step.node);
      if (!is_new) continue;
      subject.left = worth_measuring(step, args.target.same_bits, args.candidates);
      subject.untuned = subject.left.front();
      const auto* measured = known_.find(step.tuning_key, plan().target.cpu);
      std::erase_if(subject.left,
                    [&](const ConvChoice& c) { return measured && measured->contains(describe(c)); });
    }
  }

  Status run(const std::string& path) {
    Progress progress(progress_text());
    // However short the time, something is measured.
    for (bool some = false; left() > 0 && !(some && over()) && !interrupted; some = true) {
      std::vector<std::unique_ptr<Trial>> trials;
      for (size_t i = 0; i < trials_in_turn() && !(i > 0 && over()); ++i) {
        Result<std::unique_ptr<Trial>> trial = compile_trial(i);
        if (!trial) return trial.take_error();
        trials.push_back(*std::move(trial));
      }
      for (int turn = 0; turn < kTurns; ++turn)
        for (const auto& trial : trials)
          if (!interrupted) time_trial(*trial);
      for (const auto& trial : trials) record(*trial);
      if (Status written = write(path); !written) return written;
      progress.say(progress_text());
    }
    return write(path);
  }

  size_t left() const {
    size_t count = 0;
    for (const auto& [key, subject] : subjects_) count += subject.left.size();
    return count;
  }

  // What was done and what it brings, by the sum of the layers' times.
  std::string summary(const std::string& path) const {
    double untuned_us = 0, tuned_us = 0;
    for (const auto& [key, subject] : subjects_) {
      const auto* measured = known_.find(key, plan().target.cpu);
      if (!measured || !measured->contains(describe(subject.untuned))) continue;
      const double usual = measured->at(describe(subject.untuned)).choice.measured_us;
      double best = usual;
      for (const auto& [kernel, entry] : *measured)
        if (!args_.target.same_bits || entry.choice.algorithm == subject.untuned.algorithm)
          best = std::min(best, entry.choice.measured_us);
      untuned_us += usual * static_cast<double>(subject.layers.size());
      tuned_us += best * static_cast<double>(subject.layers.size());
    }
    std::string text = fmt::format("{}: measured {} kernels of {} convolutions of {} for {}, {} left\n", path,
                                   measured_, subjects_.size(), build_.graph.name, plan().target.cpu, left());
    if (tuned_us > 0)
      text +=
          fmt::format("convolutions: {:.1f} us as predicted best, {:.1f} us as measured best ({:+.1f}%)\n",
                      untuned_us, tuned_us, 100 * (tuned_us / untuned_us - 1));
    return text;
  }

 private:
  const Plan& plan() const { return build_.plans.front(); }

  std::string progress_text() const {
    return fmt::format("tuning {}: {} kernels measured, {} left", build_.graph.name, measured_, left());
  }

  Status write(const std::string& path) const {
    const std::string text = known_.print();
    const std::string_view pieces[] = {text};
    const Expected<void> written = write_file(path, pieces);
    return written ? ok() : Diagnostics(written.error().message());
  }

  bool over() const { return interrupted || (args_.seconds > 0 && seconds_since(start_) >= args_.seconds); }

  size_t trials_in_turn() const {
    size_t most = 0;
    for (const auto& [key, subject] : subjects_) most = std::max(most, subject.left.size());
    const double fit = kMemoryShare * machine_memory() / memory_to_compile(build_.graph);
    return std::min({most, kTrialsInTurn, std::max<size_t>(1, static_cast<size_t>(fit))});
  }

  // The network with the i-th kernel that is left of each convolution.
  Result<std::unique_ptr<Trial>> compile_trial(size_t i) const {
    auto trial = std::make_unique<Trial>();
    PlanOptions options = build_.options;
    options.tuning.add(known_);
    for (const auto& [key, subject] : subjects_) {
      if (i >= subject.left.size()) continue;
      const ConvChoice& c = trial->kernels[key] = subject.left[i];
      for (NodeId layer : subject.layers)
        options.overrides[step_name(build_.graph, layer)] = {.algorithm = c.algorithm,
                                                             .pixels = c.pixels,
                                                             .rows = c.rows,
                                                             .panel = c.panel,
                                                             .k_unroll = c.k_unroll};
    }
    Result<std::vector<Plan>> plans = make_plans(build_.graph, std::span(&plan().target, 1), options);
    if (!plans) return plans.take_error();
    trial->plans = *std::move(plans);
    Result<LoadedPlans> loaded = load_plans(build_.graph, trial->plans, weights_);
    if (!loaded) return loaded.take_error();
    trial->loaded = *std::move(loaded);
    return trial;
  }

  // A layer takes the sum of its steps' times, a convolution the mean of its layers'.
  void time_trial(Trial& trial) const {
    const StepTiming timing{{}, kSecondsPerTurn, kLeastPasses, kMostPasses, [] { return interrupted != 0; }};
    const std::vector<std::vector<double>> times = time_steps(trial.loaded.variants.front().model, timing);
    if (times.front().size() < kLeastPasses) return;
    std::map<NodeId, double> layer_us;
    for (size_t i = 0; i < times.size(); ++i) {
      const Step& step = trial.plans.front().steps[i];
      layer_us[step.node] += median(times[i]) * 1e6 / static_cast<double>(step.repeats);
    }
    for (const auto& [key, choice] : trial.kernels) {
      const std::vector<NodeId>& layers = subjects_.at(key).layers;
      double us = 0;
      for (NodeId layer : layers) us += layer_us.at(layer) / static_cast<double>(layers.size());
      const auto [place, is_new] = trial.us.try_emplace(key, us);
      place->second = std::min(place->second, us);
    }
  }

  void record(const Trial& trial) {
    for (const auto& [key, us] : trial.us) {
      TuningEntry entry{trial.kernels.at(key), {}};
      entry.choice.measured_us = us;
      known_.set(key, plan().target.cpu, entry);
      std::erase_if(subjects_.at(key).left,
                    [&](const ConvChoice& c) { return describe(c) == describe(entry.choice); });
      ++measured_;
    }
  }

  const TuneArgs& args_;
  const Build& build_;
  const WeightStore& weights_;
  Tuning known_;
  std::map<std::string, Subject> subjects_;  // by tuning_key
  const Clock::time_point start_ = Clock::now();
  size_t measured_ = 0;
};

// What an earlier run measured, if there was one.
Result<Tuning> read_earlier(SourceMap& sources, const std::string& path) {
  if (std::error_code ignored; !std::filesystem::exists(path, ignored)) return Tuning();
  return read_tuning_file(sources, path);
}

}  // namespace

int tune(const TuneArgs& args) {
  SourceMap sources;
  Result<Graph> source = load_graph(sources, args.source);
  if (!source) return fail(source.error(), sources);
  const std::string path = args.output.empty() ? source->name + ".tuning" : args.output;
  std::vector<std::string> read{args.source.path, args.weights, args.target.plan};
  for (uint32_t file = 1; file <= sources.count(); ++file) read.emplace_back(sources.path(file));
  if (path == "-") return fail("tune adds to a file: give its name to -o");
  if (Status good = check_output(path, read); !good) return fail(good.error());
  Result<Tuning> known = read_earlier(sources, path);
  if (!known) return fail(known.error(), sources);
  if (Status fits = check_memory(memory_to_compile(*source), "compiling this network"); !fits)
    return fail(fits.error());
  Result<std::unique_ptr<WeightStore>> weights = open_weights(args.weights, *source, {});
  if (!weights) return fail(weights.error(), sources);
  Result<Build> build = build_plan(sources, *source, BuildOptions{args.target, {}, {}});
  if (!build) return fail(build.error(), sources);
  if (build->plans.front().target.gpu)
    return fail(
        "tune measures kernels on this CPU; those of a GPU are chosen by prediction, and --plan FILE "
        "overrides them");
  if (build->plans.size() != 1)
    return fail(fmt::format("--target {} is several targets; tune one, such as {}", args.target.target,
                            build->plans.front().target.cpu));
  end_on_interrupt();
  Tuner tuner(args, *build, **weights, *std::move(known));
  if (Status done = tuner.run(path); !done) return fail(done.error(), sources);
  fmt::print("{}", tuner.summary(path));
  if (interrupted) die_of_interrupt();
  return kDone;
}

}  // namespace cardinal::driver
