#include "runtime/src/cuda_driver.h"

#include <dlfcn.h>

#include <cstring>
#include <mutex>
#include <optional>

namespace cardinal::runtime {

namespace {

constexpr char kLibrary[] = "libcuda.so.1";
// cuGraphInstantiateWithFlags came with CUDA 11.4.
constexpr int kLeastVersion = 11040;

using TextFunction = CuResult (*)(CuResult, const char**);
struct Texts {
  TextFunction name = nullptr, description = nullptr;
} texts;

struct Advice {
  CuResult result;
  const char* text;
};
// Numbers: CUresult in the driver API's reference.
constexpr Advice kAdvice[] = {
    {2, "free memory on the GPU, or compile the network for a smaller batch"},
    {34,
     "the driver's library is a stub; put the directory of the real libcuda.so.1 first in the search path"},
    {46, "the GPU is in use by another process in exclusive mode, or not ready"},
    {100, "no NVIDIA GPU is visible to this process; see `nvidia-smi` and CUDA_VISIBLE_DEVICES"},
    {101, "there is no such GPU; see `nvidia-smi` and CUDA_VISIBLE_DEVICES"},
    {200, "the code in the network is damaged or too new for this driver; update the NVIDIA driver"},
    {209, "the network has no code for this GPU; recompile it with --target for this GPU"},
    {218, "the driver cannot compile the network's PTX; update the NVIDIA driver"},
    {221, "the driver lacks its PTX compiler (libnvidia-ptxjitcompiler.so.1); install the driver completely"},
    {222, "the network's PTX is too new for this driver; update the NVIDIA driver"},
    {700, "a kernel went beyond its buffers; the process must be restarted before it can use the GPU again"},
    {701,
     "the GPU has too few registers or too little shared memory for a kernel; recompile with --target for "
     "it"},
    {719, "a kernel failed; the process must be restarted before it can use the GPU again"},
    {802, "the system is still starting its NVLink fabric; try again when nvidia-fabricmanager is running"},
    {803, "the driver's library and its kernel module differ in version; reboot after an update"},
    {804, "the driver is too old for this GPU; update the NVIDIA driver"},
};

template <class... Parameters>
bool find(void* library, DriverFunction<Parameters...>& function, std::string& missing) {
  void* address = dlsym(library, function.name);
  std::memcpy(&function.pointer, &address, sizeof address);
  if (!address) missing = function.name;
  return address != nullptr;
}

// The first function that the library lacks, or "".
std::string bind_functions(void* library, Driver& d) {
  const auto text = [&](const char* name, TextFunction& function) {
    void* address = dlsym(library, name);
    std::memcpy(&function, &address, sizeof address);
  };
  text("cuGetErrorName", texts.name);
  text("cuGetErrorString", texts.description);
  std::string missing;
  const auto all = [&](auto&... functions) { (find(library, functions, missing) && ...); };
  all(d.init, d.driver_get_version, d.device_get_count, d.device_get, d.device_get_name, d.device_total_mem,
      d.device_get_attribute, d.device_primary_ctx_retain, d.device_primary_ctx_release, d.ctx_push_current,
      d.ctx_pop_current, d.ctx_synchronize, d.module_load_data, d.module_unload, d.module_get_function,
      d.func_set_attribute, d.launch_kernel, d.mem_alloc, d.mem_free, d.memcpy_to_device, d.memcpy_to_host,
      d.memset_bytes, d.stream_create, d.stream_synchronize, d.stream_destroy, d.event_create, d.event_record,
      d.event_synchronize, d.event_elapsed_time, d.event_destroy, d.graph_create, d.graph_add_kernel_node,
      d.graph_instantiate, d.graph_exec_set_params, d.graph_launch, d.graph_exec_destroy, d.graph_destroy);
  return missing;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

Error too_old(const std::string& what) {
  return Error("the NVIDIA driver is too old: " + what + "; install one for CUDA " +
               version_text(kLeastVersion) + " or later (version 470)");
}

Expected<Driver> load_driver() {
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* reason = dlerror();
    return Error(std::string("no CUDA driver: ") + (reason ? reason : kLibrary) +
                 "; a network for a GPU needs an NVIDIA GPU and its driver, of which this library is a part");
  }
  Driver driver;
  const std::string missing = bind_functions(library, driver);
  int version = 0;
  Expected<void> usable =
      missing.empty() ? Expected<void>() : too_old(std::string(kLibrary) + " has no " + missing);
  if (usable) usable = driver.init(0);
  if (usable) usable = driver.driver_get_version(&version);
  if (usable && version < kLeastVersion) usable = too_old("it supports CUDA " + version_text(version));
  if (usable) return driver;
  dlclose(library);
  return usable.error();
}

}  // namespace

Error driver_error(const char* function, CuResult result) {
  const char *name = nullptr, *description = nullptr;
  if (texts.name) texts.name(result, &name);
  if (texts.description) texts.description(result, &description);
  std::string message =
      std::string(function) + " failed: " + (name ? name : "error " + std::to_string(result));
  if (description) message += std::string(" (") + description + ")";
  for (const Advice& advice : kAdvice)
    if (advice.result == result) message += std::string(": ") + advice.text;
  return Error(message);
}

// What failed may be put right while the process runs, so only success is remembered. The library stays
// loaded.
Expected<const Driver*> find_driver() {
  static std::mutex mutex;
  static std::optional<Driver> found;
  const std::scoped_lock lock(mutex);
  if (!found) {
    Expected<Driver> driver = load_driver();
    if (!driver) return driver.error();
    found = *driver;
  }
  return &*found;
}

}  // namespace cardinal::runtime
