// Facts about the machine that code is generated for. Plain data: planning and emission read it, neither asks
// which CPU it is. codegen/targets.cpp fills it in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cardinal {

// What planning for an NVIDIA GPU asks. Rates are what large kernels reach, not what data sheets promise.
struct GpuFacts {
  int arch = 80;          // 80: compute capability 8.0
  bool specific = false;  // whether code is for this capability alone, such as sm_90a
  int multiprocessors = 108;
  int64_t shared_bytes = 163 << 10;  // of one thread block at most
  double memory_gbps = 1700;         // GB/s
  double tensor_tflops = 250;        // fp16 with fp32 sums, mma.sync
  double simt_tflops = 15;           // fp32
  double wgmma_tflops = 0;           // fp16 with fp32 sums, wgmma; 0 if the target has none
  bool operator==(const GpuFacts&) const = default;
};

struct Target {
  std::string triple = "x86_64-unknown-linux-gnu";
  std::string cpu = "x86-64-v3";  // LLVM CPU name
  std::string features;           // LLVM feature string beyond the CPU's, may be empty
  int vector_lanes = 8;           // f32 lanes of the widest vector register
  int vector_registers = 16;
  int fma_per_cycle = 2;    // full-width vector FMAs a cycle
  int loads_per_cycle = 2;  // full-width vector loads a cycle (an embedded broadcast counts as one)
  int fma_latency = 4;      // cycles
  int64_t l1_bytes = 32 << 10;
  int64_t l2_bytes = 1 << 20;
  int64_t l3_bytes = 32 << 20;     // what a core can count on when the others rest
  double ghz = 3.5;                // only scales predicted times
  uint32_t required_features = 0;  // cardinal_feature bits of <cardinal/abi.h>
  std::optional<GpuFacts> gpu;  // an NVIDIA GPU, whose `cpu` is e.g. sm_90a; nothing above but that applies
  bool operator==(const Target&) const = default;
};

}  // namespace cardinal
