// One CTA's run: its threads, who waits for what, and what went wrong.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tests/simt/fiber.h"
#include "tests/simt/mbarrier.h"
#include "tests/simt/operation.h"
#include "tests/simt/shared_memory.h"
#include "tests/simt/simt.h"
#include "tests/simt/warpgroup.h"

namespace cardinal::simt {

struct Thread {
  enum class State : uint8_t { ready, waiting, done };
  State state = State::done;
  uint32_t id = 0;
  Dim3 index;
  void* stack = nullptr;  // where to go on
  // What it waits for.
  const Site* site = nullptr;
  const Slot* in = nullptr;
  Slot* out = nullptr;
  bool counted = false;     // by the barrier it waits at
  bool asks_again = false;  // for an mbarrier's phase, having been told that it is not over
  // Committed groups of copies, the oldest first, and those that are not committed.
  std::vector<std::vector<Copy>> groups;
  std::vector<Copy> open_group;
  std::deque<DeferredArrival> arrivals;  // the oldest first
  std::vector<PendingSum> sums;          // of wgmma
};

// A compiled kernel, as much as a run needs.
struct Kernel {
  std::string name;
  void (*entry)(const void* const* arguments) = nullptr;
  size_t argument_count = 0;
  std::optional<uint64_t> required_threads;  // nvvm.reqntid
  std::vector<SharedRange> shared;           // its static variables
  uint32_t dynamic_begin = 0;                // where dynamic shared memory starts
};

struct GlobalRange {
  const unsigned char* begin = nullptr;
  size_t bytes = 0;
  bool writable = true;
  std::string what;  // "argument 2"
};

class Cta {
 public:
  Cta();
  // Runs one launch. Not re-entrant.
  Status run(const Kernel&, const Launch&, std::vector<GlobalRange> memory);

  // For operations, which run in a thread's turn or, when a warp does them, in the scheduler's.
  const Launch& launch() const { return *launch_; }
  Dim3 cta_index() const { return cta_; }
  Thread& thread(uint32_t id) { return threads_[id]; }
  SharedMemory& shared() { return shared_; }
  std::map<uint32_t, Mbarrier>& mbarriers() { return mbarriers_; }  // by their offsets in shared memory
  // Makes the arrivals of a thread whose copies are complete, up to the first `count`.
  void deliver_arrivals(Thread&, size_t count);
  // Ends the barrier's phase if all arrivals have come and all copies can.
  bool complete_phase(uint32_t barrier);
  WarpProducts& products(uint32_t warp) { return products_[warp]; }
  // Notes the call as the next of its warp. False if another warp of the warpgroup made another in its place.
  bool note_product(uint32_t warp, const ProductCall&);
  // Records what is wrong; the first one is kept and ends the run.
  void fail(uint32_t thread, const Site&, const std::string& message);
  bool failed() const { return !error_.empty(); }
  // An access to shared or global memory, by a pointer to either. False if it must not be made.
  bool check(uint32_t thread, const void* address, size_t bytes, bool write, const Site&);

  // Entry points for kernels' code, which runs in the current thread.
  void call(const Site&, const Slot* in, Slot* out);
  void access(const void* address, size_t bytes, const Site&);
  static Cta& current();

 private:
  void run_cta();
  void check_end();
  void reset_threads();
  void schedule();
  std::optional<uint32_t> choose_warp();
  bool is_ready(uint32_t warp);
  bool can_run(Thread&);
  void run_warp(uint32_t warp);
  bool complete_warp_operations(uint32_t warp);
  void arrive_at_barriers(uint32_t warp);
  void release_full_barriers();
  void report_divergence(uint32_t warp);
  void report_deadlock();
  std::string describe_waiting(uint32_t warp) const;
  bool check_global(uint32_t thread, const void* address, size_t bytes, bool write, const Site&);
  void leave_thread();
  static void thread_main();

  struct Barrier {
    uint64_t expected = 0;
    uint32_t warps = 0;  // mask
    std::vector<uint32_t> threads;
  };
  FiberStacks stacks_;
  SharedMemory shared_;
  std::vector<Thread> threads_;
  const Launch* launch_ = nullptr;
  const Kernel* kernel_ = nullptr;
  std::vector<const void*> pointers_;
  std::vector<GlobalRange> memory_;
  size_t last_range_ = 0;
  Dim3 cta_;
  Thread* running_ = nullptr;
  void* scheduler_stack_ = nullptr;
  uint32_t thread_count_ = 0, warp_count_ = 0, done_ = 0, next_warp_ = 0;
  std::map<uint32_t, Barrier> barriers_;
  std::map<uint32_t, Mbarrier> mbarriers_;
  std::array<WarpProducts, kMaxWarps> products_;
  std::array<std::vector<ProductCall>, kMaxWarps / kWarpsOfGroup> product_calls_;  // by warpgroup
  std::vector<uint32_t> lane_order_;
  std::mt19937_64 random_;
  std::string error_;
};

}  // namespace cardinal::simt
