// The CUDA driver's functions, found in libcuda.so.1 at run time and declared here from their public
// documentation (CUDA Driver API reference: https://docs.nvidia.com/cuda/cuda-driver-api).
#pragma once

#include <cardinal/expected.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace cardinal::runtime {

using CuResult = int;
using CuDevice = int;
using CuDevicePointer = unsigned long long;
using CuContext = struct CuContextTag*;
using CuModule = struct CuModuleTag*;
using CuFunction = struct CuFunctionTag*;
using CuStream = struct CuStreamTag*;
using CuEvent = struct CuEventTag*;
using CuGraph = struct CuGraphTag*;
using CuGraphNode = struct CuGraphNodeTag*;
using CuGraphExec = struct CuGraphExecTag*;

struct CuKernelNodeParams {  // CUDA_KERNEL_NODE_PARAMS_v1
  CuFunction function;
  unsigned grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes;
  void** parameters;
  void** extra;
};

inline constexpr int kCuJitErrorLogBuffer = 5, kCuJitErrorLogBufferBytes = 6;
inline constexpr int kCuMajor = 75, kCuMinor = 76, kCuL2Bytes = 38, kCuMaxSharedBytesOptIn = 97;
inline constexpr int kCuMaxDynamicSharedBytes = 8;
inline constexpr unsigned kCuStreamNonBlocking = 1;

// A function of the driver; calling it turns its result into an Expected whose error names both.
template <class... Parameters>
struct DriverFunction {
  const char* name;
  CuResult (*pointer)(Parameters...) = nullptr;
  Expected<void> operator()(Parameters... arguments) const;
};

struct Driver {
  DriverFunction<unsigned> init{"cuInit"};
  DriverFunction<int*> driver_get_version{"cuDriverGetVersion"};
  DriverFunction<int*> device_get_count{"cuDeviceGetCount"};
  DriverFunction<CuDevice*, int> device_get{"cuDeviceGet"};
  DriverFunction<char*, int, CuDevice> device_get_name{"cuDeviceGetName"};
  DriverFunction<size_t*, CuDevice> device_total_mem{"cuDeviceTotalMem_v2"};
  DriverFunction<int*, int, CuDevice> device_get_attribute{"cuDeviceGetAttribute"};
  DriverFunction<CuContext*, CuDevice> device_primary_ctx_retain{"cuDevicePrimaryCtxRetain"};
  DriverFunction<CuDevice> device_primary_ctx_release{"cuDevicePrimaryCtxRelease_v2"};
  DriverFunction<CuContext> ctx_push_current{"cuCtxPushCurrent_v2"};
  DriverFunction<CuContext*> ctx_pop_current{"cuCtxPopCurrent_v2"};
  DriverFunction<> ctx_synchronize{"cuCtxSynchronize"};
  DriverFunction<CuModule*, const void*, unsigned, int*, void**> module_load_data{"cuModuleLoadDataEx"};
  DriverFunction<CuModule> module_unload{"cuModuleUnload"};
  DriverFunction<CuFunction*, CuModule, const char*> module_get_function{"cuModuleGetFunction"};
  DriverFunction<CuFunction, int, int> func_set_attribute{"cuFuncSetAttribute"};
  DriverFunction<CuFunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CuStream,
                 void**, void**>
      launch_kernel{"cuLaunchKernel"};
  DriverFunction<CuDevicePointer*, size_t> mem_alloc{"cuMemAlloc_v2"};
  DriverFunction<CuDevicePointer> mem_free{"cuMemFree_v2"};
  DriverFunction<CuDevicePointer, const void*, size_t, CuStream> memcpy_to_device{"cuMemcpyHtoDAsync_v2"};
  DriverFunction<void*, CuDevicePointer, size_t, CuStream> memcpy_to_host{"cuMemcpyDtoHAsync_v2"};
  DriverFunction<CuDevicePointer, unsigned char, size_t, CuStream> memset_bytes{"cuMemsetD8Async"};
  DriverFunction<CuStream*, unsigned> stream_create{"cuStreamCreate"};
  DriverFunction<CuStream> stream_synchronize{"cuStreamSynchronize"};
  DriverFunction<CuStream> stream_destroy{"cuStreamDestroy_v2"};
  DriverFunction<CuEvent*, unsigned> event_create{"cuEventCreate"};
  DriverFunction<CuEvent, CuStream> event_record{"cuEventRecord"};
  DriverFunction<CuEvent> event_synchronize{"cuEventSynchronize"};
  DriverFunction<float*, CuEvent, CuEvent> event_elapsed_time{"cuEventElapsedTime"};
  DriverFunction<CuEvent> event_destroy{"cuEventDestroy_v2"};
  DriverFunction<CuGraph*, unsigned> graph_create{"cuGraphCreate"};
  DriverFunction<CuGraphNode*, CuGraph, const CuGraphNode*, size_t, const CuKernelNodeParams*>
      graph_add_kernel_node{"cuGraphAddKernelNode"};
  DriverFunction<CuGraphExec*, CuGraph, unsigned long long> graph_instantiate{"cuGraphInstantiateWithFlags"};
  DriverFunction<CuGraphExec, CuGraphNode, const CuKernelNodeParams*> graph_exec_set_params{
      "cuGraphExecKernelNodeSetParams"};
  DriverFunction<CuGraphExec, CuStream> graph_launch{"cuGraphLaunch"};
  DriverFunction<CuGraphExec> graph_exec_destroy{"cuGraphExecDestroy"};
  DriverFunction<CuGraph> graph_destroy{"cuGraphDestroy"};
};

// The driver, loaded and initialised. The error says what is missing: the library, one of its functions, a
// GPU.
Expected<const Driver*> find_driver();

// "cuMemAlloc_v2 failed: CUDA_ERROR_OUT_OF_MEMORY (out of memory): ..."
Error driver_error(const char* function, CuResult result);

template <class... Parameters>
Expected<void> DriverFunction<Parameters...>::operator()(Parameters... arguments) const {
  const CuResult result = pointer(arguments...);
  if (result == 0) return {};
  return driver_error(name, result);
}

// "network 'resnet50' on GPU 0 (NVIDIA H200): " + the error
inline Error in_context(const std::string& context, const Error& error) {
  return Error(context + ": " + error.message());
}

}  // namespace cardinal::runtime
