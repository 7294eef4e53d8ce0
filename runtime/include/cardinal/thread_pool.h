// ThreadPool: threads that share the units of each step, evenly unless some are slower than others.
#pragma once

#include <cardinal/abi.h>

#include <cstdint>
#include <memory>

namespace cardinal {

// Thread t of T has the t-th of T contiguous ranges of units that differ in size by at most one; the calling
// thread is the 0th. Whoever is done first takes some of what others have not begun: the last quarter of a
// share, in two pieces if they are worth that, or all of it if its thread has not woken up yet. So a CPU that
// is slower than the others, or busy with something else, holds up a step less. Results do not depend on it.
//
// Between steps the threads spin for at most 50 microseconds, then sleep. When the pool has more threads than
// the process has CPUs they sleep at once.
//
// Any number of sessions and threads may share a pool: their steps take turns. A task must not use the pool
// that runs it.
class ThreadPool {
 public:
  // `threads` counts the calling thread; 0 means one for each CPU this process may run on. There are at most
  // 1024, and no more than the system is willing to start: see threads().
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();  // no step may be running
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;  // the calling thread included

  // To be passed to Session::create or to a generated run function. Valid as long as the pool.
  cardinal_executor executor();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cardinal
