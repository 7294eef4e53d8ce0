// Devices and what lives on them: streams, memory, times.
#include <algorithm>
#include <array>

#include "runtime/src/cuda_context.h"

namespace cardinal::cuda {

namespace {

using runtime::Driver;

// Calls each until one fails.
template <class... Calls>
Expected<void> in_turn(Calls... calls) {
  Expected<void> done;
  ((done = calls(), done.ok()) && ...);
  return done;
}

}  // namespace

Current::Current(const Access::DeviceState& device)
    : driver_(*device.driver), entered_(driver_.ctx_push_current(device.context)) {}

Current::~Current() {
  runtime::CuContext popped = nullptr;
  if (entered_) driver_.ctx_pop_current.pointer(&popped);
}

std::string describe(const Device& device) {
  return "GPU " + std::to_string(device.index()) + " (" + device.name() + ")";
}

Expected<int> device_count() {
  Expected<const Driver*> driver = runtime::find_driver();
  if (!driver) return driver.error();
  int count = 0;
  Expected<void> counted = (*driver)->device_get_count(&count);
  if (!counted) return counted.error();
  return count;
}

Device::State::~State() {
  if (context) driver->device_primary_ctx_release.pointer(device);
}

Expected<Device> Device::open(int index) {
  Expected<const Driver*> driver = runtime::find_driver();
  if (!driver) return driver.error();
  const Driver& d = **driver;
  int count = 0;
  if (Expected<void> counted = d.device_get_count(&count); !counted) return counted.error();
  if (index < 0 || index >= count) {
    return Error("there is no GPU " + std::to_string(index) + ": this process sees " + std::to_string(count) +
                 "; see `nvidia-smi` and CUDA_VISIBLE_DEVICES");
  }
  auto state = std::make_shared<State>();
  state->driver = &d;
  state->index = index;
  std::array<char, 256> name{};
  size_t memory = 0;
  int major = 0, minor = 0, l2 = 0, shared = 0;
  const auto attribute = [&](int* value, int which) {
    return [&d, value, which, &state] { return d.device_get_attribute(value, which, state->device); };
  };
  Expected<void> opened = in_turn(
      [&] { return d.device_get(&state->device, index); },
      [&] { return d.device_get_name(name.data(), static_cast<int>(name.size()) - 1, state->device); },
      [&] { return d.device_total_mem(&memory, state->device); }, attribute(&major, runtime::kCuMajor),
      attribute(&minor, runtime::kCuMinor), attribute(&l2, runtime::kCuL2Bytes),
      attribute(&shared, runtime::kCuMaxSharedBytesOptIn),
      [&] { return d.device_primary_ctx_retain(&state->context, state->device); });
  if (!opened) return runtime::in_context("GPU " + std::to_string(index), opened.error());
  state->name = name.data();
  state->capability = 10 * major + minor;
  state->memory_bytes = memory;
  state->l2_bytes = static_cast<uint64_t>(l2);
  state->shared_bytes = static_cast<uint32_t>(shared);
  return Device(std::move(state));
}

int Device::index() const { return state_->index; }
const std::string& Device::name() const { return state_->name; }
int Device::compute_capability() const { return state_->capability; }
uint64_t Device::memory_bytes() const { return state_->memory_bytes; }
uint64_t Device::l2_bytes() const { return state_->l2_bytes; }
uint32_t Device::shared_bytes() const { return state_->shared_bytes; }

struct Stream::State {
  explicit State(const Device& on) : device(on) {}
  ~State() {
    if (stream) (void)with_context(device, [&](const Driver& d) { return d.stream_destroy(stream); });
  }
  Device device;
  runtime::CuStream stream = nullptr;
};

Expected<Stream> Stream::create(const Device& device) {
  auto state = std::make_shared<State>(device);
  Expected<void> created = with_context(device, [&](const Driver& d) {
    return d.stream_create(&state->stream, runtime::kCuStreamNonBlocking);
  });
  if (!created) return runtime::in_context(describe(device), created.error());
  return Stream(std::move(state));
}

void* Stream::handle() const { return state_->stream; }

Expected<void> Stream::wait() const {
  return with_context(state_->device, [&](const Driver& d) { return d.stream_synchronize(state_->stream); });
}

Memory::Memory(const Device& device) : device_(device) {}

Memory::Memory(Memory&& other) noexcept
    : device_(other.device_),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Memory::~Memory() {
  if (data_) (void)with_context(device_, [&](const Driver& d) { return d.mem_free(device_address(data_)); });
}

Expected<Memory> Memory::allocate(const Device& device, size_t bytes) {
  Memory memory(device);
  if (bytes == 0) return memory;
  runtime::CuDevicePointer address = 0;
  Expected<void> allocated =
      with_context(device, [&](const Driver& d) { return d.mem_alloc(&address, bytes); });
  if (!allocated) {
    return runtime::in_context("cannot allocate " + std::to_string(bytes) + " bytes on " + describe(device),
                               allocated.error());
  }
  memory.data_ = reinterpret_cast<void*>(static_cast<uintptr_t>(address));
  memory.bytes_ = bytes;
  return memory;
}

static Error beyond(size_t bytes, size_t available) {
  return Error("a copy of " + std::to_string(bytes) + " bytes goes beyond device memory of " +
               std::to_string(available) + " bytes");
}

Expected<void> Memory::upload(const void* host, size_t bytes, void* stream) {
  if (bytes > bytes_) return beyond(bytes, bytes_);
  if (bytes == 0) return {};
  return with_context(device_, [&](const Driver& d) {
    return d.memcpy_to_device(device_address(data_), host, bytes, as_stream(stream));
  });
}

Expected<void> Memory::download(void* host, size_t bytes, void* stream) const {
  if (bytes > bytes_) return beyond(bytes, bytes_);
  if (bytes == 0) return {};
  return with_context(device_, [&](const Driver& d) {
    return d.memcpy_to_host(host, device_address(data_), bytes, as_stream(stream));
  });
}

Expected<void> Memory::fill(uint8_t byte, void* stream) {
  if (bytes_ == 0) return {};
  return with_context(device_, [&](const Driver& d) {
    return d.memset_bytes(device_address(data_), byte, bytes_, as_stream(stream));
  });
}

struct Stopwatch::State {
  explicit State(const Device& on) : device(on) {}
  ~State() {
    for (runtime::CuEvent event : {begin, end})
      if (event) (void)with_context(device, [&](const Driver& d) { return d.event_destroy(event); });
  }
  Device device;
  runtime::CuEvent begin = nullptr, end = nullptr;
};

Expected<Stopwatch> Stopwatch::create(const Device& device) {
  auto state = std::make_shared<State>(device);
  Expected<void> created = with_context(device, [&](const Driver& d) {
    return in_turn([&] { return d.event_create(&state->begin, 0); },
                   [&] { return d.event_create(&state->end, 0); });
  });
  if (!created) return runtime::in_context(describe(device), created.error());
  return Stopwatch(std::move(state));
}

Expected<void> Stopwatch::start(void* stream) {
  return with_context(state_->device,
                      [&](const Driver& d) { return d.event_record(state_->begin, as_stream(stream)); });
}

Expected<void> Stopwatch::stop(void* stream) {
  return with_context(state_->device,
                      [&](const Driver& d) { return d.event_record(state_->end, as_stream(stream)); });
}

Expected<double> Stopwatch::seconds() const {
  float milliseconds = 0;
  Expected<void> read = with_context(state_->device, [&](const Driver& d) {
    return in_turn([&] { return d.event_synchronize(state_->end); },
                   [&] { return d.event_elapsed_time(&milliseconds, state_->begin, state_->end); });
  });
  if (!read) return read.error();
  return milliseconds * 1e-3;
}

}  // namespace cardinal::cuda
