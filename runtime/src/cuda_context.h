// The inside of the classes in cardinal/cuda.h.
#pragma once

#include <cardinal/cuda.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/src/cuda_driver.h"

namespace cardinal::cuda {

struct Device::State {
  ~State();
  const runtime::Driver* driver = nullptr;
  runtime::CuDevice device = 0;
  runtime::CuContext context = nullptr;  // retained
  int index = 0;
  std::string name;
  int capability = 0;
  uint64_t memory_bytes = 0, l2_bytes = 0;
  uint32_t shared_bytes = 0;
};

struct Model::State {
  State(const cardinal::Model& network, const Device& on) : model(network), device(on) {}
  ~State();
  cardinal::Model model;
  Device device;
  runtime::CuModule code = nullptr;
  std::string code_name;
  std::vector<runtime::CuFunction> functions;  // of the steps
  std::optional<Memory> weights;
};

// What the classes give each other.
struct Access {
  using DeviceState = Device::State;
  using ModelState = Model::State;
  static const DeviceState& state(const Device& device) { return *device.state_; }
  static const ModelState& state(const Model& model) { return *model.state_; }
};

// Makes a device's context current as long as it lives; then the caller's is again.
class Current {
 public:
  explicit Current(const Access::DeviceState& device);
  ~Current();
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  const Expected<void>& entered() const { return entered_; }

 private:
  const runtime::Driver& driver_;
  Expected<void> entered_;
};

// Calls f(driver) with the device's context current.
template <class F>
Expected<void> with_context(const Device& device, F f) {
  const Access::DeviceState& state = Access::state(device);
  const Current current(state);
  if (!current.entered()) return current.entered();
  return f(*state.driver);
}

// "GPU 0 (NVIDIA H200)"
std::string describe(const Device& device);

inline runtime::CuDevicePointer device_address(const void* pointer) {
  return static_cast<runtime::CuDevicePointer>(reinterpret_cast<uintptr_t>(pointer));
}
inline runtime::CuStream as_stream(void* stream) { return static_cast<runtime::CuStream>(stream); }

}  // namespace cardinal::cuda
