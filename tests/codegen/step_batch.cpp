#include "tests/codegen/step_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <span>

#include "codegen/codegen.h"
#include "codegen/llvm_target.h"
#include "tests/aarch64/emulated_network.h"
#include "tests/codegen/loaded_network.h"
#include "tests/support/compile_and_run.h"

namespace cardinal::testing {

namespace {

constexpr int64_t kGuardFloats = 16;

size_t offset_of(const View& view, int64_t n, int64_t c, int64_t h, int64_t w) {
  return static_cast<size_t>(view.offset + n * view.stride_n + c / kChannelBlock * view.stride_block +
                             c % kChannelBlock * view.stride_c + h * view.stride_h + w * view.stride_w);
}

struct Free {
  void operator()(float* p) const { std::free(p); }
};
using AlignedFloats = std::unique_ptr<float[], Free>;

AlignedFloats aligned_copy(const std::vector<float>& values) {
  const size_t bytes = (values.size() * sizeof(float) / CARDINAL_ALIGNMENT + 1) * CARDINAL_ALIGNMENT;
  AlignedFloats copy(static_cast<float*>(std::aligned_alloc(CARDINAL_ALIGNMENT, bytes)));
  std::memcpy(copy.get(), values.data(), values.size() * sizeof(float));
  return copy;
}

// A memory on which steps run.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual std::span<float> memory() = 0;
  // Steps [first, last], `grain` units at a time.
  virtual Status run(size_t first, size_t last, int64_t grain) = 0;
};

class ThisMachine : public Machine {
 public:
  ThisMachine(LoadedNetwork network, const std::vector<float>& contents)
      : network_(std::move(network)), memory_(aligned_copy(contents)), floats_(contents.size()) {}
  std::span<float> memory() override { return {memory_.get(), floats_}; }
  Status run(size_t first, size_t last, int64_t grain) override {
    const cardinal_frame frame{nullptr, nullptr, network_.model->weights, memory_.get()};
    for (size_t i = first; i <= last; ++i) {
      const cardinal_step& step = network_.model->steps[i];
      for (int64_t begin = 0; begin < step.units; begin += grain)
        step.task(&frame, begin, std::min(begin + grain, step.units));
    }
    return ok();
  }

 private:
  LoadedNetwork network_;
  AlignedFloats memory_;
  size_t floats_;
};

class EmulatedMachine : public Machine {
 public:
  EmulatedMachine(EmulatedNetwork network, const std::vector<float>& contents)
      : network_(std::move(network)) {
    std::copy(contents.begin(), contents.end(), network_.memory().begin());
  }
  std::span<float> memory() override { return network_.memory(); }
  Status run(size_t first, size_t last, int64_t grain) override {
    return network_.run_steps(first, last, grain);
  }

 private:
  EmulatedNetwork network_;
};

Result<std::unique_ptr<Machine>> load(const std::string& object, const std::string& path,
                                      const Target& target, const std::vector<float>& contents) {
  if (!is_aarch64(target)) {
    Result<LoadedNetwork> network = link_and_load(object, "batch", path);
    if (!network) return network.take_error();
    return std::unique_ptr<Machine>(std::make_unique<ThisMachine>(*std::move(network), contents));
  }
  if (Status linked = link_shared({object}, "batch", path); !linked) return linked.take_error();
  Result<EmulatedNetwork> network = EmulatedNetwork::load(path, contents.size());
  if (!network) return network.take_error();
  return std::unique_ptr<Machine>(std::make_unique<EmulatedMachine>(*std::move(network), contents));
}

}  // namespace

StepBatch::StepBatch(Target target) { plan_.target = std::move(target); }

View StepBatch::place(const Shape& shape, Layout layout) {
  View view = make_view(Space::workspace, 0, static_cast<int64_t>(memory_.size()), shape, layout);
  std::mt19937 random(static_cast<uint32_t>(memory_.size()));
  std::uniform_real_distribution<float> values(-2, 2);
  const int64_t floats = round_up(view_elements(shape, layout), kGuardFloats) + kGuardFloats;
  for (int64_t i = 0; i < floats; ++i) memory_.push_back(values(random));
  plan_.workspace_floats = static_cast<int64_t>(memory_.size());
  return view;
}

PackedWeight StepBatch::place_constants(const std::vector<float>& values) {
  PackedWeight weight;
  weight.offset = static_cast<int64_t>(weights_.size());
  weight.floats = round_up(static_cast<int64_t>(values.size()), kChannelBlock);
  weights_.insert(weights_.end(), values.begin(), values.end());
  weights_.resize(static_cast<size_t>(weight.offset + weight.floats), 0.0f);
  plan_.weights_floats = static_cast<int64_t>(weights_.size());
  return weight;
}

double StepBatch::at(const View& view, int64_t n, int64_t c, int64_t h, int64_t w) const {
  return memory_[offset_of(view, n, c, h, w)];
}

Tensor StepBatch::read(const View& view) const {
  Tensor tensor({DType::f32, view.shape});
  const Shape& s = view.shape;
  for (int64_t n = 0; n < s.n(); ++n)
    for (int64_t c = 0; c < s.c(); ++c)
      for (int64_t h = 0; h < s.h(); ++h)
        for (int64_t w = 0; w < s.w(); ++w) tensor.at(n, c, h, w) = at(view, n, c, h, w);
  return tensor;
}

void StepBatch::add(Step step, Reference reference, double tolerance, int64_t zero_lanes) {
  add_chain({std::move(step)}, std::move(reference), tolerance);
  cases_.back().zero_lanes = zero_lanes;
}

void StepBatch::add_chain(std::vector<Step> steps, Reference reference, double tolerance) {
  const size_t first = plan_.steps.size();
  for (Step& step : steps) {
    step.name = fmt::format("step {} {}", plan_.steps.size(), kernel_name(step.kernel));
    constexpr int64_t kStrips[] = {0, 1, 2, 3, 7};
    if (step.strip == 0) step.strip = kStrips[plan_.steps.size() % std::size(kStrips)];
    plan_.steps.push_back(std::move(step));
  }
  const size_t begin = cases_.empty() ? 0 : cases_.back().end;
  cases_.push_back(
      {first, plan_.steps.size() - 1, std::move(reference), tolerance, 0, begin, memory_.size()});
}

std::string StepBatch::check(std::vector<std::vector<float>>* results) const {
  Graph graph;
  graph.name = "batch";
  graph.add(Output{}, {graph.add(Input{DType::f32, Shape{1, 1}}, {}, "x")}, "y");
  const NetworkImage image{"batch", "", weights_};
  const Result<std::string> code = emit_code(graph, std::span(&plan_, 1), image, CodeKind::object);
  if (!code) return code.error().render(SourceMap());
  const std::string object = fmt::format("{}", fmt::join(object_file(*code, image), ""));
  const ScratchDirectory directory;
  const std::string path = directory.file("batch.so");
  const Result<std::unique_ptr<Machine>> machine = load(object, path, plan_.target, memory_);
  if (!machine) return machine.error().render(SourceMap());
  const std::span<float> memory = (*machine)->memory().first(memory_.size());

  for (const Case& c : cases_) {
    const std::string& name = plan_.steps[c.last].name;
    const std::span<float> part = memory.subspan(c.begin, c.end - c.begin);
    std::vector<float> first;
    constexpr int64_t kAll = std::numeric_limits<int64_t>::max() / 2;
    for (int64_t grain : {kAll, int64_t{1}, int64_t{7}}) {
      const Status done = (*machine)->run(c.first, c.last, grain);
      if (!done) return fmt::format("{}: {}", name, done.error().render(SourceMap()));
      std::vector<float> after(part.begin(), part.end());
      forget_scratch(c, after);
      std::copy_n(memory_.begin() + static_cast<std::ptrdiff_t>(c.begin), part.size(), part.begin());
      const std::string problem = check_case(c, after);
      if (!problem.empty()) return fmt::format("{}, {} units at a time: {}", name, grain, problem);
      if (first.empty()) first = after;
      if (std::memcmp(first.data(), after.data(), after.size() * sizeof(float)) != 0)
        return fmt::format("{}: {} units at a time give other bits than all at once", name, grain);
    }
    if (results) results->push_back(output_of(c, first));
  }
  const auto strayed = std::mismatch(memory.begin(), memory.end(), memory_.begin()).first;
  if (strayed != memory.end())
    return fmt::format("float {} was written by a step of another part of the memory",
                       strayed - memory.begin());
  return "";
}

void StepBatch::forget_scratch(const Case& c, std::vector<float>& after) const {
  for (size_t i = c.first; i <= c.last; ++i) {
    const std::optional<View>& scratch = plan_.steps[i].scratch;
    if (!scratch) continue;
    const auto begin = static_cast<std::ptrdiff_t>(scratch->offset - static_cast<int64_t>(c.begin));
    std::copy_n(memory_.begin() + scratch->offset, scratch->shape.n() * scratch->stride_n,
                after.begin() + begin);
  }
}

std::vector<float> StepBatch::output_of(const Case& c, const std::vector<float>& after) const {
  const View& out = plan_.steps[c.last].output;
  std::vector<float> values;
  for (int64_t n = 0; n < out.shape.n(); ++n)
    for (int64_t channel = 0; channel < out.shape.c(); ++channel)
      for (int64_t h = 0; h < out.shape.h(); ++h)
        for (int64_t w = 0; w < out.shape.w(); ++w)
          values.push_back(after[offset_of(out, n, channel, h, w) - c.begin]);
  return values;
}

std::string StepBatch::check_case(const Case& expected, const std::vector<float>& after) const {
  std::vector<char> may_change(after.size());
  // Calls f(n, c, h, w, place) for the elements of an output and the lanes that are written with them.
  auto each_written = [&](const View& out, auto f) {
    const int64_t channels = out.shape.c();
    const int64_t lanes = out.padded ? round_up(channels, kChannelBlock) : channels + expected.zero_lanes;
    for (int64_t n = 0; n < out.shape.n(); ++n)
      for (int64_t c = 0; c < lanes; ++c)
        for (int64_t h = 0; h < out.shape.h(); ++h)
          for (int64_t w = 0; w < out.shape.w(); ++w)
            f(n, c, h, w, offset_of(out, n, c, h, w) - expected.begin);
  };
  for (size_t i = expected.first; i <= expected.last; ++i) {
    const auto allow = [&](auto, auto, auto, auto, size_t place) { may_change.at(place) = true; };
    each_written(plan_.steps[i].output, allow);
    if (plan_.steps[i].second_output) each_written(*plan_.steps[i].second_output, allow);
  }

  const View& out = plan_.steps[expected.last].output;
  const int64_t channels = out.shape.c();
  std::string problem;
  each_written(out, [&](int64_t n, int64_t c, int64_t h, int64_t w, size_t place) {
    if (!problem.empty()) return;
    const bool is_pad = c >= channels;
    if (is_pad && c >= channels + expected.zero_lanes) {
      if (!std::isfinite(after[place]))
        problem = fmt::format("pad lane {} of {} is not finite", c, to_string(out.shape));
      return;
    }
    const double wanted = is_pad ? 0 : expected.reference(n, c, h, w);
    if (!(std::abs(after[place] - wanted) <= expected.tolerance))
      problem = fmt::format("element ({}, {}, {}, {}) of {} is {}, expected {}", n, c, h, w,
                            to_string(out.shape), after[place], wanted);
  });
  if (!problem.empty()) return problem;
  for (size_t place = 0; place < after.size(); ++place)
    if (!may_change[place] && after[place] != memory_[expected.begin + place])
      return fmt::format("writes float {}, which is not part of its output {} at {}", expected.begin + place,
                         to_string(out.shape), out.offset);
  return "";
}

std::vector<Shape> test_shapes() {
  return {Shape{1, 1, 1, 1},   Shape{1, 16, 4, 4},  Shape{2, 5, 3, 7},  Shape{1, 3, 5, 33},
          Shape{1, 35, 9, 19}, Shape{3, 48, 1, 17}, Shape{2, 33, 6, 6}, Shape{1, 1, 16, 16},
          Shape{2, 17},        Shape{1, 100}};
}

}  // namespace cardinal::testing
