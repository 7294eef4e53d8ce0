#include <cardinal/thread_pool.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/src/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cardinal {

namespace {

// Longer than the gap between two steps (a few microseconds), shorter than what a time slice lost to spinning
// would cost on a machine with other work to do.
constexpr std::chrono::microseconds kSpinTime{50};

constexpr int kMaxThreads = 1024;

// Rounding mode and flush-to-zero: every thread computes as the caller would.
#if defined(__x86_64__)
void pause() { _mm_pause(); }
unsigned float_mode() { return _mm_getcsr(); }
void set_float_mode(unsigned mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
void pause() { asm volatile("yield"); }
unsigned float_mode() {
  uint64_t mode = 0;  // its upper half is reserved
  asm volatile("mrs %0, fpcr" : "=r"(mode));
  return static_cast<unsigned>(mode);
}
void set_float_mode(unsigned mode) { asm volatile("msr fpcr, %0" : : "r"(uint64_t{mode})); }
#endif

// Whether `ready()` came true within `limit`.
template <class Ready>
bool spin_until(std::chrono::nanoseconds limit, Ready ready) {
  if (ready()) return true;
  if (limit.count() == 0) return false;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return false;
}

struct Job {
  cardinal_task task = nullptr;
  const cardinal_frame* frame = nullptr;
  int64_t begin = 0, end = 0;
  unsigned float_mode = 0;
};

enum WorkerState : uint32_t { kIdle, kParked, kWorking, kLeaving };

// One cache line (two with the job) per thread, so that handing out work to one does not disturb the others.
struct alignas(128) Worker {
  std::atomic<uint32_t> state{kIdle};
  Job job;  // the caller's to write while idle or parked, the worker's to read while working
  std::thread thread;
};

// The t-th of `parts` contiguous ranges of [0, units).
struct Range {
  int64_t begin, end;
};
Range share(int64_t units, int64_t parts, int64_t t) {
  const int64_t quotient = units / parts, remainder = units % parts;
  const int64_t begin = t * quotient + std::min(t, remainder);
  return {begin, begin + quotient + (t < remainder ? 1 : 0)};
}

}  // namespace

struct ThreadPool::State {
  explicit State(int threads);
  ~State();
  void parallel_for(int64_t units, cardinal_task task, const cardinal_frame* frame);
  void work(Worker& worker);
  void wait_for_workers();

  std::mutex turn;  // held during a step
  std::chrono::nanoseconds spin_time;
  std::vector<Worker> workers;
  int started = 0;
  // Workers of this step that have not finished, and kCallerParked while the caller sleeps.
  alignas(128) std::atomic<uint32_t> pending{0};
  static constexpr uint32_t kCallerParked = 1u << 31;
};

ThreadPool::State::State(int threads)
    : spin_time(threads <= runtime::available_cpus() ? kSpinTime : std::chrono::nanoseconds{0}),
      workers(static_cast<size_t>(std::max(0, threads - 1))) {
  for (Worker& worker : workers) {
    try {
      worker.thread = std::thread([this, &worker] { work(worker); });
    } catch (const std::system_error&) {
      break;
    }
    ++started;
  }
}

ThreadPool::State::~State() {
  for (int i = 0; i < started; ++i) {
    workers[i].state.exchange(kLeaving);
    workers[i].state.notify_one();
    workers[i].thread.join();
  }
}

void ThreadPool::State::work(Worker& worker) {
  for (;;) {
    const auto called = [&] { return worker.state.load(std::memory_order_acquire) != kIdle; };
    uint32_t seen = kIdle;
    if (!spin_until(spin_time, called)) worker.state.compare_exchange_strong(seen, kParked);
    while ((seen = worker.state.load(std::memory_order_acquire)) == kParked) worker.state.wait(kParked);
    if (seen == kLeaving) return;
    set_float_mode(worker.job.float_mode);
    worker.job.task(worker.job.frame, worker.job.begin, worker.job.end);
    worker.state.store(kIdle, std::memory_order_relaxed);
    if (pending.fetch_sub(1) == (kCallerParked | 1)) pending.notify_one();
  }
}

void ThreadPool::State::wait_for_workers() {
  const auto finished = [&] { return pending.load(std::memory_order_acquire) == 0; };
  if (spin_until(spin_time, finished)) return;
  uint32_t left = pending.fetch_or(kCallerParked) | kCallerParked;
  while (left != kCallerParked) {
    pending.wait(left);
    left = pending.load(std::memory_order_acquire);
  }
}

void ThreadPool::State::parallel_for(int64_t units, cardinal_task task, const cardinal_frame* frame) {
  const int64_t parts = std::min<int64_t>(units, started + 1);
  if (parts <= 1) {
    if (units > 0) task(frame, 0, units);
    return;
  }
  const std::scoped_lock lock(turn);
  const unsigned mode = float_mode();
  pending.store(static_cast<uint32_t>(parts - 1), std::memory_order_relaxed);
  for (int64_t t = 1; t < parts; ++t) {
    Worker& worker = workers[t - 1];
    const Range range = share(units, parts, t);
    worker.job = {task, frame, range.begin, range.end, mode};
    if (worker.state.exchange(kWorking) == kParked) worker.state.notify_one();
  }
  task(frame, 0, share(units, parts, 0).end);
  wait_for_workers();
}

ThreadPool::ThreadPool(int threads)
    : state_(std::make_unique<State>(threads > 0 ? std::min(threads, kMaxThreads)
                                                 : runtime::available_cpus())) {}
ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return state_->started + 1; }

cardinal_executor ThreadPool::executor() {
  return {state_.get(), [](void* context, int64_t units, cardinal_task task, const cardinal_frame* frame) {
            static_cast<State*>(context)->parallel_for(units, task, frame);
          }};
}

}  // namespace cardinal
