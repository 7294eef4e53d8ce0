// Threads of control that switch by hand, on stacks of their own (x86-64, System V ABI).
#pragma once

#include <cstddef>

namespace cardinal::simt {

// Saves the registers a call preserves on the present stack, its pointer in *saved, and goes on where `next`
// was saved.
extern "C" void simt_switch(void** saved, void* next);

// Stacks for up to `count` fibers. Their tops differ in their low address bits: fibers that run in turn would
// otherwise all map to the same few sets of the caches.
class FiberStacks {
 public:
  explicit FiberStacks(size_t count);
  ~FiberStacks();
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  // What to switch to for entering `entry`, which must never return, on stack i.
  void* prepare(size_t i, void (*entry)());
  // Whether fiber i has gone beyond the end of its stack.
  bool overflowed(size_t i) const;
  // Whether the address lies on one of the stacks.
  bool contains(const void* address) const;

 private:
  unsigned char* bottom(size_t i) const;
  size_t count_, mapped_bytes_;
  unsigned char* memory_;
};

}  // namespace cardinal::simt
