// What the emulator can do: one row per NVVM intrinsic, and the places in kernels where they are called.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace cardinal::simt {

class Cta;
struct Thread;
struct Operation;

// An instruction of a kernel that the emulator is called from.
struct Site {
  const Operation* operation = nullptr;  // null: a load or a store
  std::string text;                      // "in block 'loop': store float %x, ptr addrspace(1) %p, align 4"
  uint32_t arguments = 0;
  // Of a load or store.
  bool write = false, atomic = false;
  uint32_t alignment = 1;
};

// Arguments and results travel in slots of 8 bytes; narrower values in the low bits.
using Slot = uint64_t;

inline float as_float(Slot slot) {
  const auto bits = static_cast<uint32_t>(slot);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline Slot as_slot(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// A call by one thread.
struct ThreadCall {
  Cta& cta;
  Thread& thread;
  const Site& site;
  const Slot* in;
  Slot* out;
};

// A call by several lanes of a warp at once.
struct WarpCall {
  Cta& cta;
  uint32_t first_thread;  // of the warp
  uint32_t lanes;         // mask of those that take part
  const Site& site;

  const Slot* in(uint32_t lane) const;
  Slot* out(uint32_t lane) const;
};

struct Operation {
  enum class Scope : uint8_t {
    thread,  // each for itself
    warp,    // the lanes of a mask together
    cta,     // a barrier
    wait     // each for itself, when `ready` says so; by_thread checks the call
  };
  // Instead of the index of the argument that holds the mask.
  static constexpr int kAligned = -1;   // all lanes of the warp, at one instruction
  static constexpr int kAnyPlace = -2;  // of a barrier: each thread for itself

  std::string_view name;  // without "llvm.nvvm."
  Scope scope = Scope::thread;
  void (*by_thread)(const ThreadCall&) = nullptr;
  void (*by_warp)(const WarpCall&) = nullptr;
  int mask = kAligned;
  int detail = 0;  // what tells the rows of one function apart
  bool (*ready)(const ThreadCall&) = nullptr;
};

std::span<const Operation> thread_operations();  // registers, arithmetic
std::span<const Operation> copy_operations();    // cp.async
std::span<const Operation> warp_operations();    // shuffles, votes, reductions, barriers
std::span<const Operation> matrix_operations();  // ldmatrix, stmatrix, mma
std::span<const Operation> async_operations();   // mbarriers, bulk copies, the fence between proxies
std::span<const Operation> wgmma_operations();   // products of a warpgroup
const Operation* find_operation(std::string_view name);
// Inline assembly that changes sums in place: those forms of wgmma that LLVM has no intrinsics for. Null if
// it is not spelled as here or its constraints are others.
const Operation* find_assembly(std::string_view text, std::string_view constraints);

}  // namespace cardinal::simt
