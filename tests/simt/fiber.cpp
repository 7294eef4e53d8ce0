#include "tests/simt/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#if !defined(__x86_64__)
#error "the emulator switches stacks and compiles kernels for x86-64 alone"
#endif

// The registers that the System V ABI makes the callee preserve; the rest are dead across a call.
asm(R"(
  .text
  .globl simt_switch
  .type simt_switch, @function
simt_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size simt_switch, .-simt_switch
)");

namespace cardinal::simt {

namespace {
constexpr size_t kStackBytes = size_t{128} << 10;
constexpr size_t kStagger = 17 * 64;  // an odd number of cache lines, so that tops go through all sets
constexpr size_t kStride = kStackBytes + kStagger;
constexpr size_t kSavedRegisters = 6;
constexpr uint64_t kCanary = 0x5ca1ab1e0ddba11ull;
}  // namespace

FiberStacks::FiberStacks(size_t count) : count_(count), mapped_bytes_(count * kStride) {
  void* memory = mmap(nullptr, mapped_bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  memory_ = static_cast<unsigned char*>(memory);
}

FiberStacks::~FiberStacks() { munmap(memory_, mapped_bytes_); }

unsigned char* FiberStacks::bottom(size_t i) const { return memory_ + i * kStride; }

void* FiberStacks::prepare(size_t i, void (*entry)()) {
#if defined(__SANITIZE_ADDRESS__)
  // A fiber that was left in the middle never took the red zones of its frames away.
  __asan_unpoison_memory_region(bottom(i), kStackBytes);
#endif
  std::memcpy(bottom(i), &kCanary, sizeof kCanary);
  auto top = reinterpret_cast<uintptr_t>(bottom(i) + kStackBytes) / 16 * 16;
  auto* stack = reinterpret_cast<void**>(top);
  *--stack = nullptr;  // where a return address would be: entry() begins with the stack as a call leaves it
  *--stack = reinterpret_cast<void*>(entry);
  return stack - kSavedRegisters;
}

bool FiberStacks::overflowed(size_t i) const { return std::memcmp(bottom(i), &kCanary, sizeof kCanary) != 0; }

bool FiberStacks::contains(const void* address) const {
  return address >= memory_ && address < memory_ + mapped_bytes_;
}

}  // namespace cardinal::simt
