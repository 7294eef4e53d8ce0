// What goes wrong on a GPU is said clearly, and nothing of what was there stays.
#include <cardinal/cardinal.h>
#include <cardinal/cuda.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "tests/fake_cuda/fake_cuda.h"
#include "tests/fake_cuda/gpu_network.h"

using cardinal::Session;
using Catch::Contains;
namespace cuda = cardinal::cuda;

namespace {

void start() {
  fake_cuda::reset();
  REQUIRE(fake_cuda::register_code(kGpuCode, gpu_kernels()) == "");
}

// Everything the runtime does with a driver; what went wrong, or "".
std::string whole_life() {
  const auto host = [](Session& session, const std::vector<float>& x) -> std::string {
    std::vector<float> y(x.size());
    if (const auto done = session.run(x, y); !done) return done.error().message();
    return y == gpu_result(x) ? "" : "wrong result";
  };
  auto session = Session::create(gpu_model(true));
  if (!session) return session.error().message();
  for (size_t images : {1, 2})
    if (std::string problem = host(*session, gpu_input(images)); !problem.empty()) return problem;

  const auto model = cuda::Model::load(gpu_model(true));
  if (!model) return model.error().message();
  auto on_gpu = cuda::Session::create(*model);
  if (!on_gpu) return on_gpu.error().message();
  auto memory = cuda::Memory::allocate(model->device(), 1024);
  if (!memory) return memory.error().message();
  auto* bytes = static_cast<char*>(memory->data());
  if (const auto filled = memory->fill(0); !filled) return filled.error().message();
  for (int offset : {0, 128}) {  // the second time the graph is redirected
    const cuda::DeviceInput in[] = {{bytes + offset, 96}};
    const cuda::DeviceOutput out[] = {{bytes + 512, 96}};
    if (const auto done = on_gpu->run(in, out); !done) return done.error().message();
  }
  const auto times = on_gpu->time_steps(1);
  return times ? "" : times.error().message();
}

// After a life before it, since the driver itself is looked for only once.
std::vector<std::string> calls_of_a_life() {
  start();
  REQUIRE(whole_life() == "");
  start();
  REQUIRE(whole_life() == "");
  REQUIRE(fake_cuda::leaks() == "");
  return fake_cuda::calls();
}

TEST_CASE("every call of the driver that fails is reported by name, and nothing leaks") {
  const std::vector<std::string> calls = calls_of_a_life();
  REQUIRE(calls.size() > 60);
  for (size_t i = 0; i < calls.size(); ++i) {
    INFO("call " << i << ", " << calls[i]);
    // A context that cannot be entered is not left either: what is freed then stays until the process ends.
    if (calls[i] == "cuCtxPushCurrent_v2") continue;
    start();
    fake_cuda::fail_call(i, 2);
    const std::string problem = whole_life();
    CHECK_THAT(problem,
               Contains(calls[i] + " failed: CUDA_ERROR_OUT_OF_MEMORY (out of memory): free memory"));
    CHECK(fake_cuda::leaks() == "");
  }
  start();
  CHECK(whole_life() == "");  // and all is well again
}

TEST_CASE("a context that cannot be entered is an error") {
  const std::vector<std::string> calls = calls_of_a_life();
  const auto push = std::find(calls.begin(), calls.end(), "cuCtxPushCurrent_v2");
  start();
  fake_cuda::fail_call(static_cast<size_t>(push - calls.begin()), 201);
  CHECK_THAT(whole_life(), Contains("cuCtxPushCurrent_v2 failed: CUDA_ERROR_INVALID_CONTEXT"));
  CHECK(fake_cuda::leaks() == "");
}

TEST_CASE("a GPU that the network has no code for") {
  start();
  fake_cuda::settings().compute_capability = 75;
  const auto model = cuda::Model::load(gpu_model());
  REQUIRE_FALSE(model.ok());
  CHECK_THAT(model.error().message(),
             Contains("network 'fake' on GPU 0 (Fake GPU)") && Contains("compute capability 7.5") &&
                 Contains("the network has PTX for sm_80") && Contains("recompile it with --target sm_75"));
  CHECK(fake_cuda::leaks() == "");
}

TEST_CASE("PTX that the driver does not compile comes with the compiler's words") {
  start();
  static constexpr char other[] = "// other code";
  static constexpr cardinal_gpu_code codes[] = {{CARDINAL_GPU_CUBIN, 80, 0, 0, sizeof other, other},
                                                {CARDINAL_GPU_PTX, 80, 0, 0, sizeof other, other}};
  static constexpr cardinal_gpu gpu = {2, codes};
  cardinal_model table = gpu_table();
  table.gpu = &gpu;
  const auto model = cuda::Model::load(cardinal::Model::from(table).value());
  REQUIRE_FALSE(model.ok());
  CHECK_THAT(model.error().message(),
             Contains("cubin for sm_80: cuModuleLoadDataEx failed: CUDA_ERROR_INVALID_PTX") &&
                 Contains("PTX for sm_80: cuModuleLoadDataEx failed") &&
                 Contains("ptxas fatal: not registered"));
  CHECK(fake_cuda::leaks() == "");
}

TEST_CASE("code that the driver refuses is passed over for code that it takes") {
  start();
  static constexpr char other[] = "// a cubin of a newer compiler";
  static constexpr cardinal_gpu_code codes[] = {{CARDINAL_GPU_CUBIN, 80, 0, 0, sizeof other, other},
                                                {CARDINAL_GPU_PTX, 80, 0, 0, sizeof kGpuCode, kGpuCode}};
  static constexpr cardinal_gpu gpu = {2, codes};
  cardinal_model table = gpu_table();
  table.gpu = &gpu;
  const auto model = cuda::Model::load(cardinal::Model::from(table).value());
  REQUIRE(model.ok());
  CHECK(model->code() == "PTX for sm_80");
}

TEST_CASE("a block that needs more shared memory than the GPU has") {
  start();
  fake_cuda::settings().shared_bytes = 64 << 10;
  const auto session = Session::create(gpu_model());
  REQUIRE_FALSE(session.ok());
  CHECK_THAT(session.error().message(),
             Contains("kernel 'mix' needs 102400 bytes of shared memory, a thread block has 65536"));
  CHECK(fake_cuda::leaks() == "");
}

TEST_CASE("a kernel that the code lacks") {
  start();
  static constexpr cardinal_gpu_launch launch = {"absent", {1, 1, 1}, {1, 1, 1}, 0, 0, nullptr};
  static constexpr cardinal_step step = {"layer", "kernel", nullptr, 1, 1, 1, 0, 0, 0, 0, 0.5, &launch};
  cardinal_model table = gpu_table();
  table.steps = &step;
  table.step_count = 1;
  const auto model = cuda::Model::load(cardinal::Model::from(table).value());
  REQUIRE_FALSE(model.ok());
  CHECK_THAT(model.error().message(),
             Contains("kernel 'absent' of the PTX for sm_80: cuModuleGetFunction failed"));
  CHECK(fake_cuda::leaks() == "");
}

TEST_CASE("a kernel that goes beyond its buffers ends the use of the GPU, not the program") {
  start();
  {
    Session session = Session::create(gpu_model()).value();
    auto small = gpu_kernels();
    small.replace(small.find("sub i32 23"), 10, "sub i32 99");
    REQUIRE(fake_cuda::register_code(kGpuCode, small) == "");
    const auto broken = cuda::Model::load(gpu_model(true)).value();
    cuda::Session on_gpu = cuda::Session::create(broken).value();
    const std::vector<float> x = gpu_input(1);
    std::vector<float> y(x.size());
    const cardinal::InputBuffer in[] = {{x, "x"}};
    const cardinal::OutputBuffer out[] = {{y, "y"}};
    CHECK_THAT(on_gpu.run(in, out).error().message(),
               Contains("cuStreamSynchronize failed: CUDA_ERROR_ILLEGAL_ADDRESS") && Contains("restarted"));
    CHECK_THAT(fake_cuda::kernel_error(), Contains("kernel 'mix'") && Contains("out of bounds"));
    CHECK_THAT(session.run(x, y).error().message(), Contains("CUDA_ERROR_ILLEGAL_ADDRESS"));
  }
  fake_cuda::reset();
}

}  // namespace
