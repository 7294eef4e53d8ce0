#include <catch2/catch.hpp>

#include "runtime/src/cuda_code.h"

namespace cardinal::runtime {
namespace {

std::vector<std::string> order(const std::vector<cardinal_gpu_code>& codes, int capability) {
  std::vector<std::string> names;
  for (const cardinal_gpu_code* code : usable_code(codes, capability)) names.push_back(describe(*code));
  return names;
}

constexpr cardinal_gpu_code ptx(int arch, int specific = 0) { return {CARDINAL_GPU_PTX, arch, specific}; }
constexpr cardinal_gpu_code cubin(int arch, int specific = 0) { return {CARDINAL_GPU_CUBIN, arch, specific}; }

TEST_CASE("the best code for a GPU comes first, and what it cannot run not at all") {
  using Names = std::vector<std::string>;
  const std::vector<cardinal_gpu_code> all = {ptx(80),      ptx(90, 1),   cubin(80),     cubin(86),
                                              cubin(90, 1), cubin(90, 0), cubin(100, 1), ptx(120)};
  CHECK(order(all, 75) == Names{});
  CHECK(order(all, 80) == Names{"cubin for sm_80", "PTX for sm_80"});
  CHECK(order(all, 86) == Names{"cubin for sm_86", "cubin for sm_80", "PTX for sm_80"});
  CHECK(order(all, 89) == Names{"cubin for sm_86", "cubin for sm_80", "PTX for sm_80"});
  CHECK(order(all, 90) == Names{"cubin for sm_90a", "cubin for sm_90", "PTX for sm_90a", "PTX for sm_80"});
  CHECK(order(all, 100) == Names{"cubin for sm_100a", "PTX for sm_80"});
  CHECK(order(all, 103) == Names{"PTX for sm_80"});
  CHECK(order(all, 121) == Names{"PTX for sm_120", "PTX for sm_80"});
}

}  // namespace
}  // namespace cardinal::runtime
