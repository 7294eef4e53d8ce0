// mbarriers: barriers in shared memory that threads arrive at and copies report to (PTX ISA, "mbarrier").
// What copies bring is delivered as late as a thread that waits for it allows.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/simt/shared_memory.h"

namespace cardinal::simt {

struct Copy {  // of cp.async or in bulk, until it is delivered
  uint32_t shared_offset = 0;
  uint32_t bytes = 0, source_bytes = 0;
  const void* source = nullptr;
};
void deliver(const Copy&);  // the rest of what is no source becomes zero

struct Mbarrier {
  uint32_t expected = 0, arrived = 0;  // in the present phase
  uint32_t deferred = 0;               // arrivals that wait for a thread's copies
  int64_t announced = 0;               // bytes that the phase waits for
  std::vector<Copy> copies;            // in bulk, in flight
  uint64_t phase = 0;
  Clock arriving, completed;
};

// A thread's arrival once its copies by cp.async are complete, and those begun since the one before.
struct DeferredArrival {
  uint32_t barrier = 0;  // its offset in shared memory
  std::vector<Copy> copies;
};

}  // namespace cardinal::simt
