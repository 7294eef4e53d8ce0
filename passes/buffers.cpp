#include "passes/buffers.h"

#include <algorithm>
#include <optional>

#include "passes/memory.h"

namespace cardinal {

namespace {

// How far into its space a buffer begins, in floats. Images are often whole pages apart, and where a kernel
// reads and writes buffers that lie alike within their pages, a CPU that compares the low 12 bits of
// addresses takes loads for reads of what was just stored (Zen 3: a grouped 3x3 convolution at 56 instead of
// 80% of FMA peak).
int64_t page_colour(size_t buffer, int64_t floats) {
  constexpr size_t kLines = 64;               // of 64 bytes, in a page
  constexpr size_t kStride = 21;              // neighbours and their neighbours are far apart
  constexpr int64_t kLargeFloats = 32 << 10;  // smaller images were not seen to suffer
  return floats < kLargeFloats ? 0 : static_cast<int64_t>(buffer * kStride % kLines) * 16;
}

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
      if (draft.step.second_output) resolve(*draft.step.second_output, draft.second_output_buffer);
      if (draft.step.scratch) resolve(*draft.step.scratch, draft.scratch_buffer);
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
      if (steps_[at(i)].step.second_output) touch(steps_[at(i)].second_output_buffer);
    }
  }

  // Whether a step's result replaces just the elements that it reads of input j, one by one. A convolution
  // reads its x (or products, of another shape), and pooling, softmax and reorder their operand, elsewhere
  // too.
  static bool replaces(const Step& step, size_t j) {
    const auto* direct = std::get_if<ConvKernel>(&step.kernel);
    if (direct && direct->pass_blocks) return false;  // partial sums would be written over it
    const bool conv = direct || std::holds_alternative<WinogradKernel>(step.kernel) ||
                      std::holds_alternative<StrassenKernel>(step.kernel) ||
                      std::holds_alternative<GpuConvKernel>(step.kernel) ||
                      std::holds_alternative<GpuConvPairKernel>(step.kernel) ||
                      std::holds_alternative<SplitSumKernel>(step.kernel);
    if (!conv && !std::holds_alternative<PointwiseKernel>(step.kernel)) return false;
    View view = step.inputs[j];
    view.padded = step.output.padded;
    return view == step.output && !(conv && j == 0);
  }

  // The buffer that step i, the first to write its output, may write it over: one that has the same steps as
  // its last, each of which replaces what it reads. They are those of one node, which makes a part of its
  // value in each.
  std::optional<int> overwritable(int i) const {
    const int out_buffer = steps_[at(i)].output_buffer;
    const BufferLife& out = lives_[at(out_buffer)];
    if (!in_workspace(out_buffer) || out.first != i) return std::nullopt;
    int end = i;  // of the node's steps
    while (end < static_cast<int>(steps_.size()) && steps_[at(end)].step.node == steps_[at(i)].step.node)
      ++end;
    for (int buffer : steps_[at(i)].input_buffers) {
      const BufferLife& in = lives_[at(buffer)];
      if (buffer == out_buffer || !in_workspace(buffer) || in.last >= end || in.floats != out.floats)
        continue;
      bool safe = true;
      for (int user = i; user < end && safe; ++user)
        safe = may_write_over(steps_[at(user)], out_buffer, buffer);
      if (safe) return buffer;
    }
    return std::nullopt;
  }

  static bool may_write_over(const DraftStep& draft, int out, int in) {
    if (draft.second_output_buffer == out || draft.second_output_buffer == in) return false;
    const bool writes = draft.output_buffer == out;
    bool reads_in = false;
    for (size_t j = 0; j < draft.input_buffers.size(); ++j) {
      if (draft.input_buffers[j] == out) return false;
      if (draft.input_buffers[j] != in) continue;
      if (!writes || !replaces(draft.step, j)) return false;
      reads_in = true;
    }
    return reads_in || !writes;
  }

  void write_over(int out, int in) {
    lives_[at(in)].last = lives_[at(out)].last;
    lives_[at(out)] = {0, 0, -1};
    for (DraftStep& draft : steps_) {
      std::replace(draft.input_buffers.begin(), draft.input_buffers.end(), out, in);
      if (draft.output_buffer == out) draft.output_buffer = in;
      if (draft.second_output_buffer == out) draft.second_output_buffer = in;
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
      used.back().floats += page_colour(b, lives_[b].floats);
      buffers.push_back(b);
    }
    const Arena arena = plan_memory(used);
    workspace_floats_ = arena.floats;
    offsets_.assign(lives_.size(), 0);
    // Behind everything else. Most of it is used by many threads only, and buffers that would have to lie
    // behind it would be in memory that no earlier step has brought into the caches.
    for (const DraftStep& draft : steps_)
      if (draft.step.scratch) {
        offsets_[at(draft.scratch_buffer)] = arena.floats;
        workspace_floats_ = arena.floats + placement_.buffers[at(draft.scratch_buffer)].floats;
      }
    for (size_t i = 0; i < buffers.size(); ++i)
      offsets_[buffers[i]] = arena.offsets[i] + page_colour(buffers[i], lives_[buffers[i]].floats);
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
