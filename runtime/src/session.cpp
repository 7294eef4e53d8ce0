#include <cardinal/cuda.h>
#include <cardinal/session.h>

#include <atomic>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/src/binding.h"
#include "runtime/src/mapped_file.h"

namespace cardinal {

struct Session::State {
  Model model;
  cardinal_executor executor;
  runtime::Arena workspace;
  runtime::Bound bound;
  std::optional<cuda::Session> gpu;  // for networks that run on one
  std::atomic<bool> running{false};

  void run(const void* const* in, void* const* out) noexcept {
    const cardinal_frame frame = {in, out, model.weights(), workspace.data(), 0};
    model.raw().run(&frame, executor.parallel_for ? &executor : nullptr);
  }

  // Moves the bound pointers from one image to the next.
  void advance() noexcept {
    const auto step = [](const TensorInfo& tensor) { return tensor.open_batch ? tensor.bytes : 0; };
    for (size_t i = 0; i < bound.inputs.size(); ++i)
      bound.inputs[i] = static_cast<const std::byte*>(bound.inputs[i]) + step(model.inputs()[i]);
    for (size_t i = 0; i < bound.outputs.size(); ++i)
      bound.outputs[i] = static_cast<std::byte*>(bound.outputs[i]) + step(model.outputs()[i]);
  }
};

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Expected<Session> Session::create(const Model& model, cardinal_executor executor) {
  auto state = std::unique_ptr<State>(new State{.model = model,
                                                .executor = executor,
                                                .bound = {std::vector<const void*>(model.inputs().size()),
                                                          std::vector<void*>(model.outputs().size())}});
  if (model.raw().gpu) {
    auto on_gpu = cuda::Model::load(model);
    if (!on_gpu) return on_gpu.error();
    auto session = cuda::Session::create(*on_gpu);
    if (!session) return session.error();
    state->gpu = std::move(*session);
    return Session(std::move(state));
  }
  auto workspace = runtime::Arena::allocate(model.workspace_bytes(),
                                            "the workspace of network '" + std::string(model.name()) + "'");
  if (!workspace) return workspace.error();
  state->workspace = std::move(*workspace);
  return Session(std::move(state));
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
  Expected<void> done;
  if (state_->gpu) {
    done = state_->gpu->run(inputs, outputs);
  } else {
    runtime::Bound& bound = state_->bound;
    done = runtime::bind(model(), inputs, outputs, 0, bound);
    for (size_t image = 0; done && image < bound.images; ++image) {
      if (image) state_->advance();
      state_->run(bound.inputs.data(), bound.outputs.data());
    }
  }
  state_->running.store(false, std::memory_order_release);
  return done;
}

void Session::run_raw(const void* const* inputs, void* const* outputs) noexcept {
  if (!state_->gpu) return state_->run(inputs, outputs);
  std::vector<InputBuffer> in;
  std::vector<OutputBuffer> out;
  for (const TensorInfo& tensor : model().inputs())
    in.emplace_back(std::span(static_cast<const std::byte*>(inputs[in.size()]), tensor.bytes));
  for (const TensorInfo& tensor : model().outputs())
    out.emplace_back(std::span(static_cast<std::byte*>(outputs[out.size()]), tensor.bytes));
  state_->gpu->run(in, out).value();
}

}  // namespace cardinal
