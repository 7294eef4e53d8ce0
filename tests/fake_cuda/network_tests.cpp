// A network from the compiler to the result, as a user has it: compiled for a GPU, loaded, run through
// cardinal::Session.
#include <cardinal/cardinal.h>
#include <cardinal/cuda.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "tests/codegen/small_network.h"
#include "tests/fake_cuda/fake_cuda.h"
#include "tests/simt/simt.h"
#include "tests/support/compile_and_run.h"

namespace cardinal::testing {
namespace {

// Of fp16 with fp32 sums.
constexpr double kTolerance = 1e-2;

double relative_l2(const std::vector<float>& actual, const std::vector<float>& expected) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    difference += std::pow(actual[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  return std::sqrt(difference / norm);
}

TEST_CASE("a network compiled for a GPU gives what the interpreter gives, under every schedule") {
  const SmallNetwork network("small", {"sm_80"});
  const ScratchDirectory directory;
  const std::string path = directory.file("small.so");
  REQUIRE(link_shared({network.object()}, "small", path));
  const Result<std::string> kernels =
      emit_code(network.graph, network.plans, network.image, CodeKind::llvm_ir);
  REQUIRE(kernels);
  const std::vector<float> expected = network.expected_output();

  for (size_t schedule = 0; schedule < simt::kSchedules.size(); ++schedule) {
    fake_cuda::reset();
    fake_cuda::settings().schedule = static_cast<int>(schedule);
    {
      const Expected<Model> model = Model::load(path);
      if (!model) FAIL(model.error().message());
      const cardinal_gpu& gpu = *model->raw().gpu;
      for (const cardinal_gpu_code& code : std::span(gpu.codes, gpu.code_count))
        REQUIRE(fake_cuda::register_code(static_cast<const char*>(code.data), *kernels) == "");
      Expected<Session> session = Session::create(*model);
      if (!session) FAIL(session.error().message());
      std::vector<float> output(expected.size(), std::nanf(""));
      const Expected<void> done = session->run(network.input, output);
      if (!done) FAIL(done.error().message() << "\n" << fake_cuda::kernel_error());
      CHECK(relative_l2(output, expected) <= kTolerance);
      CHECK(fake_cuda::kernels_run().size() == model->steps().size());
    }
    CHECK(fake_cuda::leaks() == "");
  }
}

}  // namespace
}  // namespace cardinal::testing
