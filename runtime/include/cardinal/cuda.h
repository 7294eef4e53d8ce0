// Running networks that were compiled for an NVIDIA GPU (`cardinal compile --target sm_80` and the like).
//
//   auto model = cardinal::Model::load("resnet50.so");
//   auto on_gpu = cardinal::cuda::Model::load(*model);             // device 0; weights are copied there once
//   auto session = cardinal::cuda::Session::create(*on_gpu);
//   const cardinal::cuda::DeviceInput in[] = {{image, image_bytes}};     // pointers to device memory
//   const cardinal::cuda::DeviceOutput out[] = {{logits, logits_bytes}};
//   auto queued = session->run(in, out, stream);                  // returns before the GPU is done
//
// cardinal::Session runs such networks too, with host buffers; use this header where data is on the device
// already, for asynchronous runs on a stream, or for another device than the first.
//
// Needs nothing of CUDA to build, and of NVIDIA's software only the driver (libcuda.so.1) to run, which is
// looked for by the first call that needs it. Device memory and streams are of the device's primary context:
// the one that the CUDA runtime API, PyTorch, CuPy and others use. Every call makes that context current for
// its own duration and restores the caller's. A `stream` is a CUstream or cudaStream_t; null is the default
// stream.
//
// Errors are returned, never thrown; they name the driver's function and its error. After an error of a
// kernel (CUDA_ERROR_ILLEGAL_ADDRESS and the like) CUDA refuses all further work of the process on that
// device.
//
// Device, Model and Stream may be shared by all threads. A Session, Memory or Stopwatch is one thread's at a
// time.
#pragma once

#include <cardinal/expected.h>
#include <cardinal/model.h>
#include <cardinal/session.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cardinal::cuda {

// How many devices the driver shows to this process (CUDA_VISIBLE_DEVICES limits them). Fails where there is
// no driver.
Expected<int> device_count();

// A GPU. Cheap to copy; the copies share its context, which is released with the last of them.
class Device {
 public:
  static Expected<Device> open(int index = 0);

  int index() const;
  const std::string& name() const;  // "NVIDIA H200"
  int compute_capability() const;   // 90: 9.0
  uint64_t memory_bytes() const;    // in all
  uint64_t l2_bytes() const;        // of its level 2 cache
  uint32_t shared_bytes() const;    // shared memory that one thread block may have

 private:
  friend struct Access;
  struct State;
  explicit Device(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

class Stream {
 public:
  // One that does not wait for the default stream.
  static Expected<Stream> create(const Device& device);
  void* handle() const;
  // Waits until all work queued so far is done. Errors of that work show here.
  Expected<void> wait() const;

 private:
  struct State;
  explicit Stream(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// Device memory, aligned to 256 bytes, not initialised. Freed with the object, once the device is done with
// it.
class Memory {
 public:
  static Expected<Memory> allocate(const Device& device, size_t bytes);
  Memory(Memory&&) noexcept;
  Memory& operator=(Memory&&) noexcept;
  ~Memory();

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  // From offset 0 on. Queued on the stream; the host's memory must stay until the stream has been waited for.
  Expected<void> upload(const void* host, size_t bytes, void* stream = nullptr);
  Expected<void> download(void* host, size_t bytes, void* stream = nullptr) const;
  Expected<void> fill(uint8_t byte, void* stream = nullptr);

 private:
  explicit Memory(const Device& device);
  Device device_;
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

// The device's own time between two places in a stream.
class Stopwatch {
 public:
  static Expected<Stopwatch> create(const Device& device);
  Expected<void> start(void* stream);
  Expected<void> stop(void* stream);
  Expected<double> seconds() const;  // waits for the second place

 private:
  struct State;
  explicit Stopwatch(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// A network on a device: its code and its weights, which all sessions share. Loading the same cardinal::Model
// on the same device again gives what is there already. Cheap to copy.
class Model {
 public:
  // Of the pieces of code in the network takes a cubin for exactly this GPU, else one for an older GPU of the
  // same major compute capability, else PTX, which the driver compiles now (seconds; the driver keeps the
  // result in its cache). Then copies the weights and waits.
  static Expected<Model> load(const cardinal::Model& model, int device = 0);
  static Expected<Model> load(const cardinal::Model& model, const Device& device);

  const cardinal::Model& model() const;
  const Device& device() const;
  const std::string& code() const;  // "cubin for sm_90a", "PTX for sm_80"

 private:
  friend struct Access;
  struct State;
  explicit Model(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

// The caller's device memory for one input, bound by name, or by its position when the name is empty.
// Elements lie in the order that TensorInfo::layout names; aligned to 16 bytes.
struct DeviceInput {
  DeviceInput(const void* data, size_t bytes, std::string_view name = {})
      : data(data), bytes(bytes), name(name) {}
  const void* data;
  size_t bytes;
  size_t element_bytes = 0;  // any
  std::string_view name;
};
struct DeviceOutput {
  DeviceOutput(void* data, size_t bytes, std::string_view name = {}) : data(data), bytes(bytes), name(name) {}
  void* data;
  size_t bytes;
  size_t element_bytes = 0;
  std::string_view name;
};

// Runs a Model with a workspace of its own on the device. All kernels of a run are one CUDA graph, made in
// the first run with as many images; later runs with other buffers redirect it. Runs of one session must
// follow one another on the device: queue them on one stream, or order the streams. Movable.
class Session {
 public:
  static Expected<Session> create(const Model& model);
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();  // waits until the device is idle

  const Model& model() const;

  // Queues a run and returns. Sizes and names are checked as by cardinal::Session; with an open batch the
  // buffers' sizes say how many images there are. Buffers must stay until the stream has been waited for.
  Expected<void> run(std::span<const DeviceInput> inputs, std::span<const DeviceOutput> outputs,
                     void* stream = nullptr);
  // From and to host memory: copies there, runs, copies back and waits, on a stream of the session's own.
  Expected<void> run(std::span<const InputBuffer> inputs, std::span<const OutputBuffer> outputs);

  // The seconds that each step takes by the device's clock, the least of `repeats` runs of one image or of
  // the network's fixed batch with buffers of the session's own. A launch by itself costs some microseconds
  // that a step in a graph does not.
  Expected<std::vector<double>> time_steps(int repeats);

 private:
  struct State;
  explicit Session(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cardinal::cuda
