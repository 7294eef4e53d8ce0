// The C interface through which Python runs networks on a GPU: cardinal::cuda, no more. Every function that
// can fail returns 0 or -1 and writes the message to `error`.
#include <cardinal/cuda.h>

#include <cstdio>
#include <memory>

namespace cuda = cardinal::cuda;

namespace {

struct Network {
  cuda::Model model;
  cuda::Session session;
};

struct Message {
  char* text;
  size_t bytes;
  int set(const cardinal::Error& error) const {
    std::snprintf(text, bytes, "%s", error.message().c_str());
    return -1;
  }
};

}  // namespace

extern "C" {

struct CardinalBuffer {
  void* data;
  size_t bytes;
};

struct CardinalStep {
  const char *name, *kernel;
  double flops, bytes;
};

int cardinal_open(const char* path, int device, Network** network, char* error, size_t error_bytes) {
  const Message message{error, error_bytes};
  auto loaded = cardinal::Model::load(path);
  if (!loaded) return message.set(loaded.error());
  auto model = cuda::Model::load(*loaded, device);
  if (!model) return message.set(model.error());
  auto session = cuda::Session::create(*model);
  if (!session) return message.set(session.error());
  *network = new Network{*model, std::move(*session)};
  return 0;
}

void cardinal_close(Network* network) { delete network; }

const char* cardinal_code(const Network* network) { return network->model.code().c_str(); }

size_t cardinal_step_count(const Network* network) { return network->model.model().steps().size(); }

CardinalStep cardinal_step_at(const Network* network, size_t i) {
  const cardinal_step& step = network->model.model().steps()[i];
  return {step.name, step.kernel, static_cast<double>(step.flops), static_cast<double>(step.bytes)};
}

// One input and one output, both on the device.
int cardinal_run(Network* network, CardinalBuffer input, CardinalBuffer output, void* stream, char* error,
                 size_t error_bytes) {
  const cuda::DeviceInput in[] = {{input.data, input.bytes}};
  const cuda::DeviceOutput out[] = {{output.data, output.bytes}};
  const auto done = network->session.run(in, out, stream);
  return done ? 0 : Message{error, error_bytes}.set(done.error());
}

// `seconds` has one element for each step.
int cardinal_time_steps(Network* network, int repeats, double* seconds, char* error, size_t error_bytes) {
  const auto times = network->session.time_steps(repeats);
  if (!times) return Message{error, error_bytes}.set(times.error());
  for (double time : *times) *seconds++ = time;
  return 0;
}

}  // extern "C"
