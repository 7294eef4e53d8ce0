#include "runtime/src/cuda_code.h"

#include <algorithm>
#include <tuple>

namespace cardinal::runtime {

namespace {

bool runs_on(const cardinal_gpu_code& code, int capability) {
  if (code.arch == capability) return true;
  if (code.specific || code.arch > capability) return false;
  return code.kind == CARDINAL_GPU_PTX || code.arch / 10 == capability / 10;
}

}  // namespace

std::vector<const cardinal_gpu_code*> usable_code(std::span<const cardinal_gpu_code> codes, int capability) {
  std::vector<const cardinal_gpu_code*> usable;
  for (const cardinal_gpu_code& code : codes)
    if (runs_on(code, capability)) usable.push_back(&code);
  std::stable_sort(usable.begin(), usable.end(), [](const cardinal_gpu_code* a, const cardinal_gpu_code* b) {
    const auto rank = [](const cardinal_gpu_code& code) {
      return std::tuple(code.kind == CARDINAL_GPU_CUBIN, code.arch, code.specific);
    };
    return rank(*a) > rank(*b);
  });
  return usable;
}

std::string describe(const cardinal_gpu_code& code) {
  return std::string(code.kind == CARDINAL_GPU_CUBIN ? "cubin" : "PTX") + " for sm_" +
         std::to_string(code.arch) + (code.specific ? "a" : "");
}

}  // namespace cardinal::runtime
