#include "passes/buffers.h"

#include <algorithm>
#include <optional>

#include "passes/memory.h"

namespace cardinal {

namespace {

class BufferAssignment {
 public:
  BufferAssignment(std::vector<DraftStep> steps, Placement placement)
      : steps_(std::move(steps)), placement_(std::move(placement)) {}

  Plan run() {
    find_lifetimes();
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i)
      if (const std::optional<int> operand = overwritable(i))
        write_over(steps_[at(i)].output_buffer, *operand);
    place_workspace();
    Plan plan;
    plan.workspace_floats = workspace_floats_;
    for (DraftStep& draft : steps_) {
      for (size_t i = 0; i < draft.input_buffers.size(); ++i)
        resolve(draft.step.inputs[i], draft.input_buffers[i]);
      resolve(draft.step.output, draft.output_buffer);
      plan.steps.push_back(std::move(draft.step));
    }
    for (Location& value : placement_.values) {
      if (value.buffer >= 0) resolve(value.view, value.buffer);
      plan.views.push_back(value.view);
    }
    return plan;
  }

 private:
  static size_t at(int i) { return static_cast<size_t>(i); }
  bool in_workspace(int buffer) const { return placement_.buffers[at(buffer)].space == Space::workspace; }

  // From the first step that touches a buffer to the last; first > last if none does.
  void find_lifetimes() {
    for (const Buffer& buffer : placement_.buffers)
      lives_.push_back({buffer.floats, static_cast<int>(steps_.size()), -1});
    for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
      const auto touch = [&](int buffer) {
        BufferLife& life = lives_[at(buffer)];
        life.first = std::min(life.first, i);
        life.last = std::max(life.last, i);
      };
      for (int buffer : steps_[at(i)].input_buffers) touch(buffer);
      touch(steps_[at(i)].output_buffer);
    }
  }

  // The buffer that step i may write its result over: one whose last use is a read of just the elements that
  // the result replaces. A convolution reads its x (or products, of another shape), and pooling, softmax and
  // reorder their operand, elsewhere too.
  std::optional<int> overwritable(int i) const {
    const DraftStep& draft = steps_[at(i)];
    const bool conv = std::holds_alternative<ConvKernel>(draft.step.kernel) ||
                      std::holds_alternative<GpuConvKernel>(draft.step.kernel) ||
                      std::holds_alternative<SplitSumKernel>(draft.step.kernel) ||
                      std::holds_alternative<WinogradKernel>(draft.step.kernel);
    if (!conv && !std::holds_alternative<PointwiseKernel>(draft.step.kernel)) return std::nullopt;
    const BufferLife& out = lives_[at(draft.output_buffer)];
    if (!in_workspace(draft.output_buffer) || out.first != i) return std::nullopt;
    const auto replaced = [&](size_t j) {
      View view = draft.step.inputs[j];
      view.padded = draft.step.output.padded;
      return view == draft.step.output && !(conv && j == 0);
    };
    for (size_t j = 0; j < draft.step.inputs.size(); ++j) {
      const int buffer = draft.input_buffers[j];
      const BufferLife& in = lives_[at(buffer)];
      bool safe = in_workspace(buffer) && in.last == i && in.floats == out.floats;
      for (size_t other = 0; other < draft.step.inputs.size(); ++other)
        safe = safe && (draft.input_buffers[other] != buffer || replaced(other));
      if (safe) return buffer;
    }
    return std::nullopt;
  }

  void write_over(int out, int in) {
    lives_[at(in)].last = lives_[at(out)].last;
    lives_[at(out)] = {0, 0, -1};
    for (DraftStep& draft : steps_) {
      std::replace(draft.input_buffers.begin(), draft.input_buffers.end(), out, in);
      if (draft.output_buffer == out) draft.output_buffer = in;
    }
    for (Location& value : placement_.values)
      if (value.buffer == out) value.buffer = in;
  }

  void place_workspace() {
    std::vector<BufferLife> used;
    std::vector<size_t> buffers;
    for (size_t b = 0; b < lives_.size(); ++b) {
      if (placement_.buffers[b].space != Space::workspace || lives_[b].first > lives_[b].last) continue;
      used.push_back(lives_[b]);
      buffers.push_back(b);
    }
    const Arena arena = plan_memory(used);
    workspace_floats_ = arena.floats;
    offsets_.assign(lives_.size(), 0);
    for (size_t i = 0; i < buffers.size(); ++i) offsets_[buffers[i]] = arena.offsets[i];
  }

  void resolve(View& view, int buffer) const {
    view.space = placement_.buffers[at(buffer)].space;
    view.index = placement_.buffers[at(buffer)].index;
    view.offset += offsets_[at(buffer)] * int64_t{sizeof(float)} / dtype_bytes(view.dtype);
  }

  std::vector<DraftStep> steps_;
  Placement placement_;
  std::vector<BufferLife> lives_;  // by buffer
  std::vector<int64_t> offsets_;   // by buffer; 0 for the caller's
  int64_t workspace_floats_ = 0;
};

}  // namespace

Plan assign_buffers(std::vector<DraftStep> steps, Placement placement) {
  return BufferAssignment(std::move(steps), std::move(placement)).run();
}

}  // namespace cardinal
