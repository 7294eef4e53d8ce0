#include <algorithm>
#include <atomic>
#include <limits>
#include <map>

#include "runtime/src/cuda_graph.h"

namespace cardinal::cuda {

namespace {

constexpr size_t kDeviceAlignment = 16;  // of the widest load of a kernel
// One for each number of images; beyond that all are made anew.
constexpr size_t kMaxGraphs = 16;

}  // namespace

struct Session::State {
  State(const Model& on_gpu, Memory memory, Stream own)
      : model(on_gpu), workspace(std::move(memory)), stream(std::move(own)) {}
  ~State() {
    // Runs may be in flight, on whatever stream.
    (void)with_context(model.device(), [](const runtime::Driver& d) { return d.ctx_synchronize(); });
  }

  Model model;
  Memory workspace;
  Stream stream;  // for runs on host memory
  std::map<size_t, Graph> graphs;
  runtime::Bound bound;
  std::vector<Memory> staged_inputs, staged_outputs;  // of runs on host memory
  size_t staged_images = 0;
  std::atomic<bool> running{false};

  Expected<void> queue(const runtime::Bound& buffers, void* on_stream);
  Expected<Graph*> graph_for(const runtime::Bound& buffers);
  Expected<void> stage(size_t images);
  Expected<void> run_on_host();
  Expected<double> time_step(size_t step, Stopwatch& watch, const runtime::Bound& buffers);
  // Runs f unless another thread is in the session, and puts the network's name before its error.
  template <class F>
  Expected<void> exclusively(F f);
};

template <class F>
Expected<void> Session::State::exclusively(F f) {
  if (running.exchange(true, std::memory_order_acquire))
    return Error("this session is running on another thread; give each thread a session of its own");
  Expected<void> done = f();
  running.store(false, std::memory_order_release);
  return done;
}

static Error named(const Model& model, const Error& error) {
  return runtime::in_context(
      "network '" + std::string(model.model().name()) + "' on " + describe(model.device()), error);
}

Session::Session(std::unique_ptr<State> state) : state_(std::move(state)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Expected<Session> Session::create(const Model& model) {
  Expected<Memory> workspace = Memory::allocate(model.device(), model.model().workspace_bytes());
  if (!workspace) return named(model, workspace.error());
  Expected<Stream> stream = Stream::create(model.device());
  if (!stream) return named(model, stream.error());
  return Session(std::make_unique<State>(model, std::move(*workspace), std::move(*stream)));
}

const Model& Session::model() const { return state_->model; }

// The graph for as many images, made if there is none and directed to the buffers.
Expected<Graph*> Session::State::graph_for(const runtime::Bound& buffers) {
  if (const auto found = graphs.find(buffers.images); found != graphs.end()) {
    Expected<void> redirected = found->second.redirect(buffers);
    if (redirected) return &found->second;
    graphs.erase(found);
    return redirected.error();
  }
  if (graphs.size() >= kMaxGraphs) {
    Expected<void> idle = Access::state(model.device()).driver->ctx_synchronize();
    if (!idle) return idle.error();
    graphs.clear();
  }
  Expected<Graph> made = Graph::create(Access::state(model), workspace.data(), buffers);
  if (!made) return made.error();
  return &graphs.emplace(buffers.images, std::move(*made)).first->second;
}

Expected<void> Session::State::queue(const runtime::Bound& buffers, void* on_stream) {
  return with_context(model.device(), [&](const runtime::Driver&) -> Expected<void> {
    Expected<Graph*> graph = graph_for(buffers);
    if (!graph) return graph.error();
    return (*graph)->launch(on_stream);
  });
}

Expected<void> Session::run(std::span<const DeviceInput> inputs, std::span<const DeviceOutput> outputs,
                            void* stream) {
  return state_->exclusively([&]() -> Expected<void> {
    Expected<void> done = runtime::bind(model().model(), inputs, outputs, kDeviceAlignment, state_->bound);
    if (!done) return done;
    done = state_->queue(state_->bound, stream);
    return done ? done : named(model(), done.error());
  });
}

// Device memory for inputs and outputs of so many images.
Expected<void> Session::State::stage(size_t images) {
  if (images <= staged_images) return {};
  staged_inputs.clear();
  staged_outputs.clear();
  staged_images = 0;
  const auto allocate = [&](const TensorInfo& tensor, std::vector<Memory>& list) -> Expected<void> {
    Expected<Memory> memory = Memory::allocate(model.device(), runtime::bytes_of(tensor, images));
    if (!memory) return memory.error();
    list.push_back(std::move(*memory));
    return {};
  };
  Expected<void> done;
  for (const TensorInfo& tensor : model.model().inputs())
    if (done) done = allocate(tensor, staged_inputs);
  for (const TensorInfo& tensor : model.model().outputs())
    if (done) done = allocate(tensor, staged_outputs);
  if (done) staged_images = images;
  return done;
}

// Copies what `bound` has on the host there, runs, and copies the results back.
Expected<void> Session::State::run_on_host() {
  Expected<void> done = stage(bound.images);
  runtime::Bound device{.inputs = {}, .outputs = {}, .images = bound.images};
  const auto bytes = [&](const TensorInfo& tensor) { return runtime::bytes_of(tensor, bound.images); };
  for (size_t i = 0; done && i < staged_inputs.size(); ++i) {
    device.inputs.push_back(staged_inputs[i].data());
    done = staged_inputs[i].upload(bound.inputs[i], bytes(model.model().inputs()[i]), stream.handle());
  }
  for (const Memory& memory : staged_outputs) device.outputs.push_back(memory.data());
  if (done) done = queue(device, stream.handle());
  for (size_t i = 0; done && i < staged_outputs.size(); ++i)
    done = staged_outputs[i].download(bound.outputs[i], bytes(model.model().outputs()[i]), stream.handle());
  // Even after a failure: the device may still be reading the caller's buffers.
  Expected<void> waited = stream.wait();
  return done ? waited : done;
}

Expected<void> Session::run(std::span<const InputBuffer> inputs, std::span<const OutputBuffer> outputs) {
  return state_->exclusively([&]() -> Expected<void> {
    Expected<void> done = runtime::bind(model().model(), inputs, outputs, 0, state_->bound);
    if (!done) return done;
    done = state_->run_on_host();
    return done ? done : named(model(), done.error());
  });
}

Expected<double> Session::State::time_step(size_t step, Stopwatch& watch, const runtime::Bound& buffers) {
  const LaunchParameters parameters(Access::state(model), step, 0, workspace.data(), buffers);
  const runtime::CuKernelNodeParams& n = parameters.node();
  Expected<void> done = watch.start(stream.handle());
  if (done)
    done = with_context(model.device(), [&](const runtime::Driver& d) {
      return d.launch_kernel(n.function, n.grid_x, n.grid_y, n.grid_z, n.block_x, n.block_y, n.block_z,
                             n.shared_bytes, as_stream(stream.handle()), n.parameters, nullptr);
    });
  if (done) done = watch.stop(stream.handle());
  if (!done) return done.error();
  return watch.seconds();
}

Expected<std::vector<double>> Session::time_steps(int repeats) {
  std::vector<double> best(model().model().steps().size(), std::numeric_limits<double>::infinity());
  Expected<void> done = state_->exclusively([&]() -> Expected<void> {
    Expected<Stopwatch> watch = Stopwatch::create(model().device());
    if (!watch) return watch.error();
    if (Expected<void> staged = state_->stage(1); !staged) return staged;
    runtime::Bound buffers;
    for (Memory& memory : state_->staged_inputs) {
      // Not zeros, which a GPU multiplies faster than other numbers: 0.0115 in f32, 1.06 in f16.
      if (Expected<void> filled = memory.fill(0x3c, state_->stream.handle()); !filled) return filled;
      buffers.inputs.push_back(memory.data());
    }
    for (const Memory& memory : state_->staged_outputs) buffers.outputs.push_back(memory.data());
    for (int pass = 0; pass < repeats; ++pass)
      for (size_t step = 0; step < best.size(); ++step) {
        Expected<double> seconds = state_->time_step(step, *watch, buffers);
        if (!seconds) return seconds.error();
        best[step] = std::min(best[step], *seconds);
      }
    return {};
  });
  if (!done) return named(model(), done.error());
  return best;
}

}  // namespace cardinal::cuda
