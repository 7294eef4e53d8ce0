#include <cardinal/session.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "runtime/src/mapped_file.h"
#include "runtime/src/validate.h"

namespace cardinal {

struct Session::State {
  Model model;
  cardinal_executor executor;
  runtime::Arena workspace;
  std::vector<const void*> inputs;
  std::vector<void*> outputs;
  std::atomic<bool> running{false};

  void run(const void* const* in, void* const* out) noexcept {
    const cardinal_frame frame = {in, out, model.weights(), workspace.data()};
    model.raw().run(&frame, executor.parallel_for ? &executor : nullptr);
  }

  // Moves the bound pointers from one image to the next.
  void advance() noexcept {
    const auto step = [](const TensorInfo& tensor) { return tensor.open_batch ? tensor.bytes : 0; };
    for (size_t i = 0; i < inputs.size(); ++i)
      inputs[i] = static_cast<const std::byte*>(inputs[i]) + step(model.inputs()[i]);
    for (size_t i = 0; i < outputs.size(); ++i)
      outputs[i] = static_cast<std::byte*>(outputs[i]) + step(model.outputs()[i]);
  }
};

namespace {

std::string list_names(std::span<const TensorInfo> tensors) {
  std::string names;
  for (const TensorInfo& tensor : tensors) names += (names.empty() ? "" : ", ") + std::string(tensor.name);
  return names;
}

// What is wrong with giving `buffer` for `tensor`, or "".
template <class Buffer>
std::string find_misfit(const TensorInfo& tensor, const Buffer& buffer) {
  const size_t element_bytes = runtime::element_bytes(tensor.dtype);
  if (buffer.element_bytes && buffer.element_bytes != element_bytes) {
    return "elements of " + std::to_string(element_bytes) + " bytes are needed, the buffer has elements of " +
           std::to_string(buffer.element_bytes);
  }
  const bool fits =
      tensor.open_batch ? buffer.bytes && buffer.bytes % tensor.bytes == 0 : buffer.bytes == tensor.bytes;
  if (!fits) {
    const char* needed =
        tensor.open_batch ? " for each image are needed, the buffer has " : " are needed, the buffer has ";
    if (!buffer.element_bytes)
      return std::to_string(tensor.bytes) + " bytes" + needed + std::to_string(buffer.bytes);
    return std::to_string(tensor.elements) + " elements" + needed +
           std::to_string(buffer.bytes / buffer.element_bytes);
  }
  if (!buffer.data) return "the buffer is null";
  if (reinterpret_cast<uintptr_t>(buffer.data) % element_bytes) {
    return "the buffer is not aligned to its elements of " + std::to_string(element_bytes) + " bytes";
  }
  return "";
}

// Puts each buffer's pointer where its tensor is in the model's order. `kind` is "input" or "output";
// `images` is how many the buffers of tensors with an open batch hold, 0 as long as none was seen.
template <class Buffer, class Pointer>
Expected<void> bind(const char* kind, std::span<const TensorInfo> tensors, std::span<const Buffer> buffers,
                    std::vector<Pointer>& pointers, size_t& images) {
  if (buffers.size() != tensors.size()) {
    return Error("the network has " + std::to_string(tensors.size()) + " " + kind + "s (" +
                 list_names(tensors) + "), " + std::to_string(buffers.size()) + " were given");
  }
  std::fill(pointers.begin(), pointers.end(), nullptr);
  for (size_t i = 0; i < buffers.size(); ++i) {
    size_t at = i;
    if (!buffers[i].name.empty()) {
      at = 0;
      while (at < tensors.size() && tensors[at].name != buffers[i].name) ++at;
      if (at == tensors.size()) {
        return Error("the network has no " + std::string(kind) + " '" + std::string(buffers[i].name) +
                     "'; it has " + list_names(tensors));
      }
    }
    const auto refuse = [&](const std::string& why) {
      return Error(std::string(kind) + " " + describe(tensors[at]) + why);
    };
    if (pointers[at]) return refuse(" was given twice");
    const std::string misfit = find_misfit(tensors[at], buffers[i]);
    if (!misfit.empty()) return refuse(": " + misfit);
    if (tensors[at].open_batch) {
      const size_t held = buffers[i].bytes / tensors[at].bytes;
      if (images && held != images) {
        return refuse(": the buffer is of " + std::to_string(held) + " images, the others of " +
                      std::to_string(images));
      }
      images = held;
    }
    pointers[at] = buffers[i].data;
  }
  return {};
}

bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto a_begin = reinterpret_cast<uintptr_t>(a), b_begin = reinterpret_cast<uintptr_t>(b);
  return a_begin < b_begin + b_bytes && b_begin < a_begin + a_bytes;
}

// Two inputs may share memory, since neither is written.
template <class Inputs, class Outputs>
Expected<void> check_aliasing(const Model& model, const Inputs& inputs, const Outputs& outputs,
                              size_t images) {
  const auto bytes = [&](const TensorInfo& tensor) {
    return tensor.open_batch ? images * tensor.bytes : tensor.bytes;
  };
  const auto message = [](const TensorInfo& output, const char* kind, const TensorInfo& other) {
    return Error("the buffer of output " + describe(output) + " overlaps that of " + kind + " " +
                 describe(other) + "; give each its own");
  };
  for (size_t i = 0; i < outputs.size(); ++i) {
    const TensorInfo& output = model.outputs()[i];
    for (size_t j = 0; j < inputs.size(); ++j) {
      const TensorInfo& input = model.inputs()[j];
      if (overlap(outputs[i], bytes(output), inputs[j], bytes(input))) return message(output, "input", input);
    }
    for (size_t j = 0; j < i; ++j) {
      const TensorInfo& other = model.outputs()[j];
      if (overlap(outputs[i], bytes(output), outputs[j], bytes(other)))
        return message(output, "output", other);
    }
  }
  return {};
}

}  // namespace

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Expected<Session> Session::create(const Model& model, cardinal_executor executor) {
  if (model.raw().gpu) {
    return Error("network '" + std::string(model.name()) + "' was compiled for an NVIDIA GPU (" +
                 std::string(model.target()) + "); a Session runs networks on a CPU");
  }
  auto workspace = runtime::Arena::allocate(model.workspace_bytes(),
                                            "the workspace of network '" + std::string(model.name()) + "'");
  if (!workspace) return workspace.error();
  return Session(std::unique_ptr<State>(new State{.model = model,
                                                  .executor = executor,
                                                  .workspace = std::move(*workspace),
                                                  .inputs = std::vector<const void*>(model.inputs().size()),
                                                  .outputs = std::vector<void*>(model.outputs().size())}));
}

const Model& Session::model() const { return state_->model; }

Expected<void> Session::run(std::span<const float> input, std::span<float> output) {
  const InputBuffer inputs[] = {input};
  const OutputBuffer outputs[] = {output};
  return run(inputs, outputs);
}

Expected<void> Session::run(std::span<const InputBuffer> inputs, std::span<const OutputBuffer> outputs) {
  if (state_->running.exchange(true, std::memory_order_acquire)) {
    return Error("this session is running on another thread; give each thread a session of its own");
  }
  size_t images = 0;
  Expected<void> done = bind("input", model().inputs(), inputs, state_->inputs, images);
  if (done) done = bind("output", model().outputs(), outputs, state_->outputs, images);
  if (done) done = check_aliasing(model(), state_->inputs, state_->outputs, images);
  if (done) {
    state_->run(state_->inputs.data(), state_->outputs.data());
    for (size_t image = 1; image < images; ++image) {
      state_->advance();
      state_->run(state_->inputs.data(), state_->outputs.data());
    }
  }
  state_->running.store(false, std::memory_order_release);
  return done;
}

void Session::run_raw(const void* const* inputs, void* const* outputs) noexcept {
  state_->run(inputs, outputs);
}

}  // namespace cardinal
