// A network's code and weights on a device.
#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "runtime/src/cuda_code.h"
#include "runtime/src/cuda_context.h"

namespace cardinal::cuda {

namespace {

using runtime::Driver;

// The driver's compiler says here what it dislikes.
class JitLog {
 public:
  JitLog() : values_{text_.data(), reinterpret_cast<void*>(uintptr_t{text_.size() - 1})} {}
  unsigned count() const { return static_cast<unsigned>(options_.size()); }
  int* options() { return options_.data(); }
  void** values() { return values_.data(); }
  std::string text() const { return text_.data(); }

 private:
  std::array<char, 8192> text_{};
  std::array<int, 2> options_ = {runtime::kCuJitErrorLogBuffer, runtime::kCuJitErrorLogBufferBytes};
  std::array<void*, 2> values_;
};

std::string list_architectures(std::span<const cardinal_gpu_code> codes) {
  std::string list;
  for (const cardinal_gpu_code& code : codes) list += (list.empty() ? "" : ", ") + runtime::describe(code);
  return list;
}

std::string capability_text(int capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

// Takes the first piece of code that the driver accepts.
Expected<void> load_code(const Driver& driver, Access::ModelState& state) {
  const cardinal_gpu& gpu = *state.model.raw().gpu;
  const std::span codes(gpu.codes, gpu.code_count);
  const int capability = state.device.compute_capability();
  const auto usable = runtime::usable_code(codes, capability);
  if (usable.empty()) {
    return Error("it has compute capability " + capability_text(capability) + ", the network has " +
                 list_architectures(codes) + "; recompile it with --target sm_" + std::to_string(capability));
  }
  std::string problems;
  for (const cardinal_gpu_code* code : usable) {
    JitLog log;
    Expected<void> loaded =
        driver.module_load_data(&state.code, code->data, log.count(), log.options(), log.values());
    if (loaded) {
      state.code_name = runtime::describe(*code);
      return {};
    }
    state.code = nullptr;
    problems += (problems.empty() ? "" : "; ") + runtime::describe(*code) + ": " + loaded.error().message();
    if (const std::string text = log.text(); !text.empty()) problems += "\n" + text;
  }
  return Error(problems);
}

// By kernel: the most shared memory that one of its launches asks for.
std::map<std::string_view, uint32_t> shared_bytes(const cardinal::Model& model) {
  std::map<std::string_view, uint32_t> most;
  for (const cardinal_step& step : model.steps()) {
    uint32_t& bytes = most[step.launch->kernel];
    bytes = std::max(bytes, step.launch->shared_bytes);
  }
  return most;
}

Expected<void> find_functions(const Driver& driver, Access::ModelState& state) {
  constexpr uint32_t kWithoutAsking = 48 << 10;
  std::map<std::string_view, runtime::CuFunction> functions;
  for (const auto& [name, shared] : shared_bytes(state.model)) {
    const std::string kernel = "kernel '" + std::string(name) + "'";
    if (shared > state.device.shared_bytes()) {
      return Error(
          kernel + " needs " + std::to_string(shared) + " bytes of shared memory, a thread block has " +
          std::to_string(state.device.shared_bytes()) + " there; recompile the network with --target sm_" +
          std::to_string(state.device.compute_capability()));
    }
    runtime::CuFunction& function = functions[name];
    Expected<void> found = driver.module_get_function(&function, state.code, std::string(name).c_str());
    if (found && shared > kWithoutAsking)
      found =
          driver.func_set_attribute(function, runtime::kCuMaxDynamicSharedBytes, static_cast<int>(shared));
    if (!found) return runtime::in_context(kernel + " of the " + state.code_name, found.error());
  }
  for (const cardinal_step& step : state.model.steps())
    state.functions.push_back(functions[step.launch->kernel]);
  return {};
}

Expected<void> upload_weights(Access::ModelState& state) {
  const size_t bytes = state.model.weights_bytes();
  Expected<Memory> memory = Memory::allocate(state.device, bytes);
  if (!memory) return memory.error();
  state.weights = std::move(*memory);
  Expected<Stream> stream = Stream::create(state.device);
  if (!stream) return stream.error();
  Expected<void> done = state.weights->upload(state.model.weights(), bytes, stream->handle());
  if (done) done = stream->wait();
  if (!done) return runtime::in_context("copying the weights", done.error());
  return {};
}

}  // namespace

Model::State::~State() {
  if (code) (void)with_context(device, [&](const Driver& d) { return d.module_unload(code); });
}

Expected<Model> Model::load(const cardinal::Model& model, int device) {
  Expected<Device> opened = Device::open(device);
  if (!opened) return opened.error();
  return load(model, *opened);
}

// One state for each network and device. Loading holds the lock, so that nothing is loaded twice.
Expected<Model> Model::load(const cardinal::Model& model, const Device& device) {
  if (!model.raw().gpu) {
    return Error("network '" + std::string(model.name()) + "' was compiled for a CPU (" +
                 std::string(model.target()) + "); compile it with --target sm_" +
                 std::to_string(device.compute_capability()) + " or use cardinal::Session");
  }
  using Key = std::tuple<const cardinal_model*, const void*, int>;
  static std::mutex mutex;
  static std::map<Key, std::weak_ptr<const State>> loaded;
  const std::scoped_lock lock(mutex);
  std::erase_if(loaded, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<const State>& entry = loaded[{&model.raw(), model.weights(), device.index()}];
  if (std::shared_ptr<const State> there = entry.lock()) return Model(std::move(there));

  auto state = std::make_shared<State>(model, device);
  Expected<void> done = with_context(device, [&](const Driver& driver) {
    Expected<void> ready = load_code(driver, *state);
    if (ready) ready = find_functions(driver, *state);
    if (ready) ready = upload_weights(*state);
    return ready;
  });
  if (!done) {
    return runtime::in_context("network '" + std::string(model.name()) + "' on " + describe(device),
                               done.error());
  }
  entry = state;
  return Model(std::move(state));
}

const cardinal::Model& Model::model() const { return state_->model; }
const Device& Model::device() const { return state_->device; }
const std::string& Model::code() const { return state_->code_name; }

}  // namespace cardinal::cuda
