// Runs CUDA kernels on the CPU, from the LLVM IR that would go to the NVPTX back end, and looks for what a
// GPU would let pass today and not tomorrow: data races, reads of copies that have not arrived, accesses out
// of bounds.
//
// Every thread of a CTA is a fiber. Threads meet at the operations that a warp or a CTA does together, so
// that one schedule among many is run; which one is the caller's choice. The model is stricter than hardware:
//   - a copy by cp.async writes NaN when it is issued and its data only when it is waited for;
//   - shared memory is filled with 0xff (NaN in every format) before each CTA;
//   - two threads that touch the same shared memory, one of them writing, must have a barrier between them
//     (__syncwarp is enough within a warp; mma and ldmatrix order nothing);
//   - .aligned operations need all threads of the warp at the same instruction;
//   - all copies must have been waited for when a thread ends;
//   - bulk copies, and arrivals at an mbarrier that wait for copies, are delivered when a thread that waits
//   for
//     the mbarrier could not go on without them; asking for a phase that is not over fails once;
//   - wgmma reads from when it is issued until it is waited for, and its sums are NaNs until then;
//   - what was written through the generic proxy must be fenced before bulk copies or wgmma touch it.
// An mbarrier or a proxy fence of one lane counts for what the lanes that ran before it did: the random
// schedule changes their order.
// Not modelled: weak ordering of global memory, bank conflicts, registers, several CTAs at once; not looked
// for: races in global memory and those where a single byte is written.
//
// References: PTX ISA 8.x (warp-level matrix fragments, cp.async, barrier, mbarrier, asynchronous warpgroup
// level matrix instructions, memory consistency model: proxies), CUDA C++ programming guide.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ir/result.h"

namespace cardinal::simt {

// The order in which warps get to run between two barriers. A missing barrier shows in results where a warp
// that is ahead meets one that is behind.
enum class Schedule : uint8_t { forward, random, first_warp_ahead, last_warp_ahead };
inline constexpr std::array kSchedules = {Schedule::forward, Schedule::random, Schedule::first_warp_ahead,
                                          Schedule::last_warp_ahead};
std::string_view schedule_name(Schedule);

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t{x} * y * z; }
};

// A pointer parameter, and how much memory there is behind it. A kernel may access all of its arguments'
// memory and no other.
struct Argument {
  void* data = nullptr;
  size_t bytes = 0;
  bool writable = true;
};

struct Launch {
  std::string kernel;
  Dim3 grid, block;
  uint32_t shared_bytes = 0;  // dynamic shared memory
  std::vector<Argument> arguments;
  Schedule schedule = Schedule::forward;
  uint64_t seed = 0;  // of Schedule::random
};

// The kernels of one LLVM module, compiled for this CPU. Immutable; launches from several threads take turns.
class Module {
 public:
  // `llvm_ir` is the text of a module for nvptx64. Fails on what is not valid IR, on an intrinsic that is not
  // emulated and on inline assembly but for some forms of wgmma.
  static Result<Module> load(std::string_view llvm_ir);
  std::vector<std::string> kernels() const;
  size_t parameter_count(const std::string& kernel) const;  // 0 if there is no such kernel
  // Runs all CTAs one after another. The error names the CTA, the thread and the instruction.
  Status run(const Launch&) const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

}  // namespace cardinal::simt
