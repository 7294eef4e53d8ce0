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

// A step, as every thread of the pool sees it.
struct Job {
  cardinal_task task = nullptr;
  const cardinal_frame* frame = nullptr;
  int64_t units = 0, grain = 1;
  int parts = 0;  // shares
  // Units of a share, and how many of the first shares have one more.
  int64_t least = 0, larger = 0;
  unsigned float_mode = 0;
};

struct Range {
  int64_t begin, end;
};

// The t-th of the job's shares: contiguous, and in pieces. Whoever is done with its own share takes pieces
// of others. The first piece is all of a share if eighths of it are not worth a range of their own; else the
// last two eighths are pieces too. So a thread that is slower by up to a quarter, and one that has not come
// yet, do not hold up the rest.
class Share {
 public:
  Share(const Job& job, int t) {
    begin_ = t * job.least + std::min<int64_t>(t, job.larger);
    end_ = begin_ + job.least + (t < job.larger ? 1 : 0);
    const int64_t eighth = (end_ - begin_) / 8;
    last_ = eighth >= job.grain ? eighth : 0;
  }
  int pieces() const { return last_ ? 3 : 1; }
  Range piece(int i) const {
    const int64_t first_end = end_ - 2 * last_;
    return i == 0 ? Range{begin_, first_end} : Range{first_end + (i - 1) * last_, first_end + i * last_};
  }

 private:
  int64_t begin_, end_, last_;
};

// Of a worker: kCalled by the caller, it becomes kWorking by its own doing, or else kIdle again when the
// step is done without it.
enum WorkerState : uint32_t { kIdle, kParked, kCalled, kWorking, kLeaving };

// A cache line (two with the one that is fetched beside it) per thread, so that what is done with one does
// not disturb the others.
struct alignas(128) Member {
  std::atomic<uint32_t> state{kIdle};
  std::atomic<int> claimed{0};  // pieces of the thread's share, by any thread
  std::thread thread;           // none for the caller
};

}  // namespace

struct ThreadPool::State {
  explicit State(int threads);
  ~State();
  void parallel_for(const Job&);
  void work(int part);
  void compute(int part);
  void wait_for_workers();

  std::mutex turn;  // held during a step
  std::chrono::nanoseconds spin_time;
  std::vector<Member> members;  // the first is the caller
  int started = 1;              // of them
  Job job;                      // the caller's to write while no worker is working
  // Workers that have been called and have not finished, and kCallerParked while the caller sleeps.
  alignas(128) std::atomic<uint32_t> pending{0};
  static constexpr uint32_t kCallerParked = 1u << 31;
};

ThreadPool::State::State(int threads)
    : spin_time(threads <= runtime::available_cpus() ? kSpinTime : std::chrono::nanoseconds{0}),
      members(static_cast<size_t>(std::max(1, threads))) {
  for (; started < static_cast<int>(members.size()); ++started) {
    try {
      members[static_cast<size_t>(started)].thread = std::thread([this, part = started] { work(part); });
    } catch (const std::system_error&) {
      break;
    }
  }
}

ThreadPool::State::~State() {
  for (Member& member : members) {
    if (!member.thread.joinable()) continue;
    member.state.exchange(kLeaving);
    member.state.notify_one();
    member.thread.join();
  }
}

void ThreadPool::State::work(int part) {
  std::atomic<uint32_t>& state = members[static_cast<size_t>(part)].state;
  for (;;) {
    const auto called = [&] { return state.load(std::memory_order_acquire) != kIdle; };
    uint32_t seen = kIdle;
    if (!spin_until(spin_time, called)) state.compare_exchange_strong(seen, kParked);
    while ((seen = state.load(std::memory_order_acquire)) == kParked) state.wait(kParked);
    if (seen == kLeaving) return;
    if (seen != kCalled || !state.compare_exchange_strong(seen, kWorking)) continue;
    set_float_mode(job.float_mode);
    compute(part);
    state.store(kIdle, std::memory_order_relaxed);
    if (pending.fetch_sub(1) == (kCallerParked | 1)) pending.notify_one();
  }
}

// Pieces of the thread's share, then of those that come after it.
void ThreadPool::State::compute(int part) {
  for (int i = 0; i < job.parts; ++i) {
    const int t = (part + i) % job.parts;
    const Share share(job, t);
    std::atomic<int>& claimed = members[static_cast<size_t>(t)].claimed;
    while (claimed.load(std::memory_order_relaxed) < share.pieces()) {
      const int piece = claimed.fetch_add(1, std::memory_order_relaxed);
      if (piece >= share.pieces()) break;
      const Range range = share.piece(piece);
      job.task(job.frame, range.begin, range.end);
    }
  }
}

void ThreadPool::State::wait_for_workers() {
  for (int t = 1; t < job.parts; ++t) {
    uint32_t expected = kCalled;  // nothing is left for it
    if (members[static_cast<size_t>(t)].state.compare_exchange_strong(expected, kIdle)) pending.fetch_sub(1);
  }
  const auto finished = [&] { return pending.load(std::memory_order_acquire) == 0; };
  if (spin_until(spin_time, finished)) return;
  uint32_t left = pending.fetch_or(kCallerParked) | kCallerParked;
  while (left != kCallerParked) {
    pending.wait(left);
    left = pending.load(std::memory_order_acquire);
  }
}

void ThreadPool::State::parallel_for(const Job& step) {
  const auto parts = static_cast<int>(std::min<int64_t>(step.units, started));
  if (parts <= 1) {
    if (step.units > 0) step.task(step.frame, 0, step.units);
    return;
  }
  const std::scoped_lock lock(turn);
  job = step;
  job.parts = parts;
  job.least = step.units / parts;
  job.larger = step.units % parts;
  job.float_mode = float_mode();
  pending.store(static_cast<uint32_t>(parts - 1), std::memory_order_relaxed);
  for (int t = 0; t < parts; ++t) members[static_cast<size_t>(t)].claimed.store(0, std::memory_order_relaxed);
  for (int t = 1; t < parts; ++t) {
    std::atomic<uint32_t>& state = members[static_cast<size_t>(t)].state;
    if (state.exchange(kCalled) == kParked) state.notify_one();
  }
  compute(0);
  wait_for_workers();
}

ThreadPool::ThreadPool(int threads)
    : state_(std::make_unique<State>(threads > 0 ? std::min(threads, kMaxThreads)
                                                 : runtime::available_cpus())) {}
ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return state_->started; }

cardinal_executor ThreadPool::executor() {
  return {state_.get(),
          [](void* context, int64_t units, int64_t grain, cardinal_task task, const cardinal_frame* frame) {
            static_cast<State*>(context)->parallel_for({task, frame, units, grain});
          }};
}

}  // namespace cardinal
