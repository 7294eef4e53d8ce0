#include "passes/floor.h"

#include "passes/tiling.h"

namespace cardinal {

namespace {

// The most that one core reads, measured on Zen 4.
constexpr double kL2BytesPerCycle = 31, kMemoryBytesPerMicrosecond = 30e3;

// Taps inside the input, of all outputs of an image.
double valid_taps(const ConvShape& s) {
  int64_t rows = 0, columns = 0;
  for (int64_t ky = 0; ky < s.kh; ++ky) rows += valid_rows(s, ky).overlap(0, s.oh);
  for (int64_t kx = 0; kx < s.kw; ++kx) columns += valid_columns(s, kx).overlap(0, s.ow);
  return static_cast<double>(rows) * static_cast<double>(columns);
}

}  // namespace

Ceilings ceilings_of(const Target& target) {
  const double cycles = target.ghz * 1e3;
  return {2.0 * target.vector_lanes * target.fma_per_cycle * cycles, kMemoryBytesPerMicrosecond,
          kL2BytesPerCycle * cycles};
}

Ceilings ceilings_of(const Plan& plan) {
  const auto& gpu = plan.target.gpu;
  if (!gpu) return ceilings_of(plan.target);
  return {plan.product_tflops * 1e6, gpu->memory_gbps * 1e3, gpu->memory_gbps * 1e3};
}

Work work_of(const Step& step) {
  double flops = step.flops;
  if (const auto* conv = std::get_if<ConvKernel>(&step.kernel))
    flops = 2 * valid_taps(conv->shape) * static_cast<double>(conv->shape.n * conv->shape.oc) *
            static_cast<double>(conv->shape.ic / conv->shape.groups);
  // Seven products for eight, of which each is one of the first level's if there are two.
  if (std::holds_alternative<StrassenKernel>(step.kernel))
    flops *= step.weights[0].product < 0 ? 7.0 / 8 : 49.0 / 64;
  const auto repeats = static_cast<double>(step.repeats);
  return {repeats * flops, repeats * static_cast<double>(step.bytes),
          repeats * static_cast<double>(step.weight_bytes)};
}

Floor floor_of(const Work& work, bool cold_weights, const Ceilings& most) {
  const double weights_us = work.weight_bytes / (cold_weights ? most.memory_bytes : most.cache_bytes);
  return {work.flops / most.flops, (work.bytes - work.weight_bytes) / most.cache_bytes + weights_us};
}

}  // namespace cardinal
