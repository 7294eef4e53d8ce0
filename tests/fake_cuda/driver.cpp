// The functions that libcuda.so.1 exports, as far as the runtime uses them (CUDA Driver API reference).
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>

#include "tests/fake_cuda/state.h"

using namespace fake_cuda;  // NOLINT: this file is one function after another that needs it

namespace {

// Counts the call; says whether it may go on.
Result enter(const char* name) {
  State& s = state();
  s.calls.emplace_back(name);
  if (s.failure && s.failure->first-- == 0) {
    const auto result = static_cast<Result>(s.failure->second);
    s.failure.reset();
    return result;
  }
  return s.sticky;
}

template <class T>
auto find(std::set<std::unique_ptr<T>>& set, const void* handle) {
  return std::find_if(set.begin(), set.end(), [handle](const auto& item) { return item.get() == handle; });
}

template <class T>
T* add(std::set<std::unique_ptr<T>>& set, std::unique_ptr<T> item) {
  return set.insert(std::move(item)).first->get();
}

template <class T>
Result release(std::set<std::unique_ptr<T>>& set, const void* handle) {
  const auto found = find(set, handle);
  if (found == set.end()) return kInvalidHandle;
  finish_all();
  set.erase(found);
  return kSuccess;
}

Stream* stream_of(void* handle) {
  if (!handle) return &state().default_stream;
  const auto found = find(state().streams, handle);
  return found == state().streams.end() ? nullptr : found->get();
}

Result queue(void* stream, std::function<Result()> work) {
  Stream* on = stream_of(stream);
  if (!on) return kInvalidHandle;
  on->work.push_back(std::move(work));
  return kSuccess;
}

// For programs that the test only starts: the file FAKE_CUDA_KERNELS has the LLVM IR of whatever is loaded.
void register_kernels_of_environment(const char* image) {
  const char* path = std::getenv("FAKE_CUDA_KERNELS");
  if (!path) return;
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  if (const std::string problem = register_code(image, text.str()); !problem.empty())
    std::cerr << path << ": " << problem << "\n";
}

struct NodeParameters {  // CUDA_KERNEL_NODE_PARAMS_v1
  Function* function;
  unsigned grid[3], block[3], shared_bytes;
  void** parameters;
  void** extra;
};

// Nothing says how many parameters a kernel has but the kernel.
Result make_launch(const NodeParameters& p, Launch& launch) {
  if (!p.function) return kInvalidHandle;
  if (static_cast<int>(p.shared_bytes) > p.function->dynamic_shared_bytes) return kInvalidValue;
  launch = {p.function,
            {p.grid[0], p.grid[1], p.grid[2]},
            {p.block[0], p.block[1], p.block[2]},
            p.shared_bytes,
            {}};
  const size_t count = p.function->code->kernels.parameter_count(p.function->name);
  for (size_t i = 0; i < count; ++i) {
    uint64_t value = 0;
    std::memcpy(&value, p.parameters[i], sizeof value);
    launch.parameters.push_back(value);
  }
  return kSuccess;
}

thread_local std::vector<void*> current_contexts;
int the_context = 0;

Result check_context() { return current_contexts.empty() ? kInvalidContext : kSuccess; }

}  // namespace

// Locks, counts the call, and refuses it without a current context.
#define FAKE_ENTER(name)                      \
  const std::scoped_lock lock(state().mutex); \
  if (const Result entered = enter(name); entered) return entered
#define FAKE_ENTER_CONTEXT(name) \
  FAKE_ENTER(name);              \
  if (const Result current = check_context(); current) return current

extern "C" {

int cuGetErrorName(int result, const char** text) {
  switch (result) {
    case kOutOfMemory:
      *text = "CUDA_ERROR_OUT_OF_MEMORY";
      return kSuccess;
    case kNoDevice:
      *text = "CUDA_ERROR_NO_DEVICE";
      return kSuccess;
    case kInvalidPtx:
      *text = "CUDA_ERROR_INVALID_PTX";
      return kSuccess;
    case kIllegalAddress:
      *text = "CUDA_ERROR_ILLEGAL_ADDRESS";
      return kSuccess;
    case kInvalidContext:
      *text = "CUDA_ERROR_INVALID_CONTEXT";
      return kSuccess;
    default:
      *text = nullptr;
      return kInvalidValue;
  }
}

int cuGetErrorString(int result, const char** text) {
  *text = result == kOutOfMemory ? "out of memory" : nullptr;
  return *text ? kSuccess : kInvalidValue;
}

int cuInit(unsigned) {
  FAKE_ENTER("cuInit");
  if (state().settings.devices == 0) return kNoDevice;
  state().initialized = true;
  return kSuccess;
}

int cuDriverGetVersion(int* version) {
  FAKE_ENTER("cuDriverGetVersion");
  *version = state().settings.driver_version;
  return kSuccess;
}

int cuDeviceGetCount(int* count) {
  FAKE_ENTER("cuDeviceGetCount");
  *count = state().settings.devices;
  return state().initialized ? kSuccess : kNotInitialized;
}

int cuDeviceGet(int* device, int index) {
  FAKE_ENTER("cuDeviceGet");
  *device = index;
  return index < state().settings.devices ? kSuccess : kInvalidDevice;
}

int cuDeviceGetName(char* name, int bytes, int) {
  FAKE_ENTER("cuDeviceGetName");
  std::strncpy(name, "Fake GPU", static_cast<size_t>(bytes));
  return kSuccess;
}

int cuDeviceTotalMem_v2(size_t* bytes, int) {
  FAKE_ENTER("cuDeviceTotalMem_v2");
  *bytes = size_t{1} << 30;
  return kSuccess;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
  FAKE_ENTER("cuDeviceGetAttribute");
  const Settings& s = state().settings;
  switch (attribute) {
    case 75:
      *value = s.compute_capability / 10;
      return kSuccess;
    case 76:
      *value = s.compute_capability % 10;
      return kSuccess;
    case 38:
      *value = 1 << 20;
      return kSuccess;
    case 97:
      *value = s.shared_bytes;
      return kSuccess;
    default:
      return kInvalidValue;
  }
}

int cuDevicePrimaryCtxRetain(void** context, int) {
  FAKE_ENTER("cuDevicePrimaryCtxRetain");
  ++state().contexts;
  *context = &the_context;
  return kSuccess;
}

int cuDevicePrimaryCtxRelease_v2(int) {
  const std::scoped_lock lock(state().mutex);
  --state().contexts;
  return kSuccess;
}

// Works even after a kernel failed, so that things can be released.
int cuCtxPushCurrent_v2(void* context) {
  const std::scoped_lock lock(state().mutex);
  const Result entered = enter("cuCtxPushCurrent_v2");
  if (entered && entered != state().sticky) return entered;
  current_contexts.push_back(context);
  return kSuccess;
}

int cuCtxPopCurrent_v2(void** context) {
  if (current_contexts.empty()) return kInvalidContext;
  *context = current_contexts.back();
  current_contexts.pop_back();
  return kSuccess;
}

int cuCtxSynchronize() {
  const std::scoped_lock lock(state().mutex);
  return finish_all();
}

int cuModuleLoadDataEx(void** module, const void* image, unsigned options, int* names, void** values) {
  FAKE_ENTER_CONTEXT("cuModuleLoadDataEx");
  register_kernels_of_environment(static_cast<const char*>(image));
  const auto found = state().registered.find(static_cast<const char*>(image));
  if (found == state().registered.end()) {
    for (unsigned i = 0; i < options; ++i)
      if (names[i] == 5)
        std::strcpy(static_cast<char*>(values[i]), "ptxas fatal: not registered with the fake driver");
    return kInvalidPtx;
  }
  *module = add(state().modules, std::make_unique<Module>(Module{found->second, {}}));
  return kSuccess;
}

int cuModuleUnload(void* module) {
  const std::scoped_lock lock(state().mutex);
  return release(state().modules, module);
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
  FAKE_ENTER_CONTEXT("cuModuleGetFunction");
  const auto found = find(state().modules, module);
  if (found == state().modules.end()) return kInvalidHandle;
  const auto kernels = (*found)->code->kernels.kernels();
  if (std::find(kernels.begin(), kernels.end(), name) == kernels.end()) return kNotFound;
  (*found)->functions.push_back(std::make_unique<Function>(Function{(*found)->code, name}));
  *function = (*found)->functions.back().get();
  return kSuccess;
}

int cuFuncSetAttribute(Function* function, int attribute, int value) {
  FAKE_ENTER_CONTEXT("cuFuncSetAttribute");
  if (attribute != 8 || value > state().settings.shared_bytes) return kInvalidValue;
  function->dynamic_shared_bytes = value;
  return kSuccess;
}

int cuLaunchKernel(Function* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned shared, void* stream, void** parameters, void**) {
  FAKE_ENTER_CONTEXT("cuLaunchKernel");
  Launch launch;
  const NodeParameters p = {function, {gx, gy, gz}, {bx, by, bz}, shared, parameters, nullptr};
  if (const Result made = make_launch(p, launch); made) return made;
  return queue(stream, [launch] { return run_kernel(launch); });
}

int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  FAKE_ENTER_CONTEXT("cuMemAlloc_v2");
  constexpr size_t kAlignment = 256;
  if (bytes == 0) return kInvalidValue;
  auto memory = std::make_unique<unsigned char[]>(bytes + kAlignment);
  *address = (reinterpret_cast<uint64_t>(memory.get()) + kAlignment - 1) / kAlignment * kAlignment;
  std::memset(reinterpret_cast<void*>(*address), 0xff, bytes);
  state().memory[*address] = std::move(memory);
  state().sizes[*address] = bytes;
  return kSuccess;
}

int cuMemFree_v2(uint64_t address) {
  const std::scoped_lock lock(state().mutex);
  finish_all();
  state().sizes.erase(address);
  return state().memory.erase(address) ? kSuccess : kInvalidValue;
}

int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
  FAKE_ENTER_CONTEXT("cuMemcpyHtoDAsync_v2");
  if (bytes_behind(to) < bytes) return kInvalidValue;
  return queue(stream, [=] {
    std::memcpy(reinterpret_cast<void*>(to), from, bytes);
    return kSuccess;
  });
}

int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
  FAKE_ENTER_CONTEXT("cuMemcpyDtoHAsync_v2");
  if (bytes_behind(from) < bytes) return kInvalidValue;
  return queue(stream, [=] {
    std::memcpy(to, reinterpret_cast<void*>(from), bytes);
    return kSuccess;
  });
}

int cuMemsetD8Async(uint64_t address, unsigned char byte, size_t bytes, void* stream) {
  FAKE_ENTER_CONTEXT("cuMemsetD8Async");
  if (bytes_behind(address) < bytes) return kInvalidValue;
  return queue(stream, [=] {
    std::memset(reinterpret_cast<void*>(address), byte, bytes);
    return kSuccess;
  });
}

int cuStreamCreate(void** stream, unsigned) {
  FAKE_ENTER_CONTEXT("cuStreamCreate");
  *stream = add(state().streams, std::make_unique<Stream>());
  return kSuccess;
}

// An error here is one of the work: the stream is empty afterwards, whatever happened.
int cuStreamSynchronize(void* stream) {
  const std::scoped_lock lock(state().mutex);
  Stream* on = stream_of(stream);
  if (!on) return kInvalidHandle;
  const Result done = finish(*on);
  const Result entered = enter("cuStreamSynchronize");
  return entered ? entered : done;
}

int cuStreamDestroy_v2(void* stream) {
  const std::scoped_lock lock(state().mutex);
  return release(state().streams, stream);
}

int cuEventCreate(void** event, unsigned) {
  FAKE_ENTER_CONTEXT("cuEventCreate");
  *event = add(state().events, std::make_unique<Event>());
  return kSuccess;
}

int cuEventRecord(Event* event, void* stream) {
  FAKE_ENTER_CONTEXT("cuEventRecord");
  event->done = false;
  return queue(stream, [event] {
    event->done = true;
    event->time = ++state().clock;
    return kSuccess;
  });
}

int cuEventSynchronize(Event*) {
  FAKE_ENTER_CONTEXT("cuEventSynchronize");
  return finish_all();
}

int cuEventElapsedTime(float* milliseconds, Event* begin, Event* end) {
  FAKE_ENTER_CONTEXT("cuEventElapsedTime");
  if (!begin->done || !end->done) return kInvalidHandle;
  *milliseconds = static_cast<float>(end->time - begin->time);
  return kSuccess;
}

int cuEventDestroy_v2(void* event) {
  const std::scoped_lock lock(state().mutex);
  return release(state().events, event);
}

int cuGraphCreate(void** graph, unsigned) {
  FAKE_ENTER_CONTEXT("cuGraphCreate");
  *graph = add(state().graphs, std::make_unique<Graph>());
  return kSuccess;
}

int cuGraphAddKernelNode(GraphNode** node, Graph* graph, GraphNode* const* dependencies, size_t count,
                         const NodeParameters* parameters) {
  FAKE_ENTER_CONTEXT("cuGraphAddKernelNode");
  if (count > 1) return kInvalidValue;
  auto made = std::make_unique<GraphNode>();
  if (const Result result = make_launch(*parameters, made->launch); result) return result;
  made->after = count ? dependencies[0] : nullptr;
  *node = made.get();
  graph->nodes.push_back(std::move(made));
  return kSuccess;
}

// Nodes that nothing orders may run in any order: here the last added first.
int cuGraphInstantiateWithFlags(void** executable, Graph* graph, unsigned long long) {
  FAKE_ENTER_CONTEXT("cuGraphInstantiateWithFlags");
  auto made = std::make_unique<GraphExec>();
  const auto ready = [&](const GraphNode& node) {
    return !node.after || std::find(made->order.begin(), made->order.end(), node.after) != made->order.end();
  };
  while (made->order.size() < graph->nodes.size()) {
    const size_t before = made->order.size();
    for (auto node = graph->nodes.rbegin(); node != graph->nodes.rend(); ++node) {
      if (made->launches.count(node->get()) || !ready(**node)) continue;
      made->launches[node->get()] = (*node)->launch;
      made->order.push_back(node->get());
    }
    if (made->order.size() == before) return kInvalidValue;
  }
  *executable = add(state().executables, std::move(made));
  return kSuccess;
}

int cuGraphExecKernelNodeSetParams(GraphExec* executable, GraphNode* node, const NodeParameters* parameters) {
  FAKE_ENTER_CONTEXT("cuGraphExecKernelNodeSetParams");
  const auto found = executable->launches.find(node);
  return found == executable->launches.end() ? kInvalidHandle : make_launch(*parameters, found->second);
}

int cuGraphLaunch(GraphExec* executable, void* stream) {
  FAKE_ENTER_CONTEXT("cuGraphLaunch");
  if (find(state().executables, executable) == state().executables.end()) return kInvalidHandle;
  std::vector<Launch> launches;
  for (GraphNode* node : executable->order) launches.push_back(executable->launches[node]);
  return queue(stream, [launches] {
    for (const Launch& launch : launches)
      if (const Result done = run_kernel(launch); done) return done;
    return kSuccess;
  });
}

int cuGraphExecDestroy(void* executable) {
  const std::scoped_lock lock(state().mutex);
  return release(state().executables, executable);
}

int cuGraphDestroy(void* graph) {
  const std::scoped_lock lock(state().mutex);
  return release(state().graphs, graph);
}

}  // extern "C"
