// The runtime's side of running on a GPU, over the fake driver.
#include <cardinal/cardinal.h>
#include <cardinal/cuda.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <thread>

#include "tests/fake_cuda/fake_cuda.h"
#include "tests/fake_cuda/gpu_network.h"

using cardinal::Session;
using Catch::Contains;
namespace cuda = cardinal::cuda;

namespace {

struct FakeGpu {
  FakeGpu() {
    fake_cuda::reset();
    REQUIRE(fake_cuda::register_code(kGpuCode, gpu_kernels()) == "");
  }
  ~FakeGpu() { CHECK(fake_cuda::leaks() == ""); }
};

size_t count(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<size_t>(std::count(names.begin(), names.end(), name));
}

template <class T>
T taken(cardinal::Expected<T> expected) {
  if (!expected) FAIL(expected.error().message());
  return std::move(*expected);
}
void check(const cardinal::Expected<void>& done) {
  if (!done) FAIL(done.error().message());
}

// Device memory that holds these values.
cuda::Memory on_device(const cuda::Device& device, const std::vector<float>& values, void* stream) {
  cuda::Memory memory = taken(cuda::Memory::allocate(device, values.size() * sizeof(float)));
  check(memory.upload(values.data(), memory.bytes(), stream));
  return memory;
}

TEST_CASE("a Session runs a network for a GPU as it runs any other") {
  const FakeGpu gpu;
  Session session = taken(Session::create(gpu_model()));
  const std::vector<float> x = gpu_input(1);
  std::vector<float> y(kFakeElements);
  check(session.run(x, y));
  CHECK(y == gpu_result(x));
  CHECK(fake_cuda::kernels_run() == std::vector<std::string>{"scale", "mix"});

  const cardinal::InputBuffer in[] = {{x, "x"}};
  const cardinal::OutputBuffer out[] = {{y, "z"}};
  CHECK_THAT(session.run(in, out).error().message(), Contains("no output 'z'"));
  std::fill(y.begin(), y.end(), 0.0f);
  const void* inputs[] = {x.data()};
  void* outputs[] = {y.data()};
  session.run_raw(inputs, outputs);
  CHECK(y == gpu_result(x));
}

TEST_CASE("with an open batch there is one graph for each number of images") {
  const FakeGpu gpu;
  Session session = taken(Session::create(gpu_model(true)));
  for (size_t images : {1, 3, 2, 3, 1}) {
    const std::vector<float> x = gpu_input(images, static_cast<float>(images));
    std::vector<float> y(x.size());
    check(session.run(x, y));
    CHECK(y == gpu_result(x));
  }
  const auto calls = fake_cuda::calls();
  CHECK(count(calls, "cuGraphInstantiateWithFlags") == 3);
  CHECK(count(calls, "cuGraphAddKernelNode") == 2 * (1 + 3 + 2));
  CHECK(count(calls, "cuGraphLaunch") == 5);
  std::vector<float> y(2 * kFakeElements);
  CHECK_THAT(session.run(gpu_input(3), y).error().message(), Contains("of 2 images, the others of 3"));
}

TEST_CASE("many numbers of images do not fill the device with graphs") {
  const FakeGpu gpu;
  Session session = taken(Session::create(gpu_model(true)));
  for (size_t images = 1; images < 40; ++images) {
    const std::vector<float> x = gpu_input(images);
    std::vector<float> y(x.size());
    check(session.run(x, y));
    CHECK(y == gpu_result(x));
  }
  CHECK(std::stoul(fake_cuda::leaks().substr(fake_cuda::leaks().find("streams") + 9)) <= 16);
}

TEST_CASE(
    "device buffers are used where they are, on the caller's stream, and need not be the same each time") {
  const FakeGpu gpu;
  const cuda::Model model = taken(cuda::Model::load(gpu_model()));
  CHECK(model.device().name() == "Fake GPU");
  CHECK(model.device().compute_capability() == 80);
  CHECK(model.code() == "PTX for sm_80");
  cuda::Session session = taken(cuda::Session::create(model));
  const cuda::Stream stream = taken(cuda::Stream::create(model.device()));
  std::vector<cuda::Memory> memory;  // all of it at once, so that no address is used twice
  for (float first : {1.0f, 2.0f, 3.0f}) {
    const std::vector<float> x = gpu_input(1, first);
    std::vector<float> y(kFakeElements);
    memory.push_back(on_device(model.device(), x, stream.handle()));
    memory.push_back(on_device(model.device(), y, stream.handle()));
    const cuda::Memory &in = memory[memory.size() - 2], &out = memory.back();
    const cuda::DeviceInput inputs[] = {{in.data(), in.bytes()}};
    const cuda::DeviceOutput outputs[] = {{out.data(), out.bytes(), "y"}};
    check(session.run(inputs, outputs, stream.handle()));
    check(out.download(y.data(), out.bytes(), stream.handle()));
    CHECK(y == std::vector<float>(kFakeElements));  // nothing has been waited for
    check(stream.wait());
    CHECK(y == gpu_result(x));
  }
  const auto calls = fake_cuda::calls();
  CHECK(count(calls, "cuGraphInstantiateWithFlags") == 1);
  CHECK(count(calls, "cuGraphExecKernelNodeSetParams") == 4);  // both kernels touch the caller's, in two runs
}

TEST_CASE("device buffers that do not fit are refused") {
  const FakeGpu gpu;
  const cuda::Model model = taken(cuda::Model::load(gpu_model()));
  cuda::Session session = taken(cuda::Session::create(model));
  cuda::Memory memory = taken(cuda::Memory::allocate(model.device(), 1024));
  auto* bytes = static_cast<char*>(memory.data());
  const auto refusal = [&](cuda::DeviceInput in, cuda::DeviceOutput out) {
    const auto done = session.run(std::span(&in, 1), std::span(&out, 1));
    return done ? std::string("none") : done.error().message();
  };
  CHECK(refusal({bytes, 96}, {bytes + 512, 96}) == "none");
  CHECK_THAT(refusal({bytes, 100}, {bytes + 512, 96}), Contains("96 bytes are needed, the buffer has 100"));
  CHECK_THAT(refusal({bytes + 4, 96}, {bytes + 512, 96}), Contains("not aligned to 16 bytes"));
  CHECK_THAT(refusal({bytes, 96}, {bytes + 64, 96}), Contains("overlaps"));
  CHECK_THAT(refusal({nullptr, 96}, {bytes + 64, 96}), Contains("null"));
  CHECK_THAT(memory.upload(bytes, 2048).error().message(), Contains("goes beyond"));
  CHECK_THAT(memory.download(bytes, 2048).error().message(), Contains("goes beyond"));
}

TEST_CASE("all sessions of a network share its code and its weights on the device") {
  const FakeGpu gpu;
  const cardinal::Model model = gpu_model();
  Session first = taken(Session::create(model));
  Session second = taken(Session::create(model));
  const cuda::Model third = taken(cuda::Model::load(model));
  const auto calls = fake_cuda::calls();
  CHECK(count(calls, "cuModuleLoadDataEx") == 1);
  CHECK(count(calls, "cuMemcpyHtoDAsync_v2") == 1);
  CHECK(count(calls, "cuFuncSetAttribute") == 1);  // of the one kernel that needs more than 48 KiB
}

TEST_CASE("threads with sessions of their own run at once") {
  const FakeGpu gpu;
  const cardinal::Model model = gpu_model(true);
  std::vector<std::thread> threads;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      auto session = Session::create(model);
      for (int i = 0; session && i < 5; ++i) {
        const std::vector<float> x = gpu_input(static_cast<size_t>(1 + (t + i) % 3), static_cast<float>(t));
        std::vector<float> y(x.size());
        right += session->run(x, y).ok() && y == gpu_result(x);
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(right == 20);
}

TEST_CASE("steps can be timed one by one") {
  const FakeGpu gpu;
  const cuda::Model model = taken(cuda::Model::load(gpu_model()));
  cuda::Session session = taken(cuda::Session::create(model));
  const std::vector<double> times = taken(session.time_steps(3));
  CHECK(times == std::vector<double>{1e-3, 1e-3});  // the fake's clock ticks with each event
  CHECK(fake_cuda::kernels_run().size() == 6);
}

TEST_CASE("a network for a CPU is not loaded on a GPU, nor one on a GPU that is not there") {
  const FakeGpu gpu;
  const auto cpu = cardinal::Model::from(fake_cardinal_model).value();
  CHECK_THAT(cuda::Model::load(cpu).error().message(), Contains("compiled for a CPU") && Contains("sm_80"));
  CHECK_THAT(cuda::Model::load(gpu_model(), 1).error().message(),
             Contains("no GPU 1") && Contains("this process sees 1"));
  CHECK_THAT(cuda::Model::load(gpu_model(), -1).error().message(), Contains("no GPU -1"));
  CHECK(cuda::device_count().value() == 1);
}

}  // namespace
