// Also built with ThreadSanitizer.
#include <cardinal/cardinal.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/runtime/fake_network.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using cardinal::Model;
using cardinal::Session;
using cardinal::ThreadPool;

namespace {

struct Range {
  int64_t begin, end;
  bool operator==(const Range&) const = default;
};

// Collects the ranges of one parallel_for; a task finds it as the frame's workspace.
struct Recorder {
  std::mutex mutex;
  std::vector<Range> ranges;

  static void task(const cardinal_frame* frame, int64_t begin, int64_t end) noexcept {
    auto* self = static_cast<Recorder*>(frame->workspace);
    const std::scoped_lock lock(self->mutex);
    self->ranges.push_back({begin, end});
  }
  std::vector<Range> record(ThreadPool& pool, int64_t units) {
    ranges.clear();
    const cardinal_frame frame = {nullptr, nullptr, nullptr, this};
    const cardinal_executor executor = pool.executor();
    executor.parallel_for(executor.context, units, task, &frame);
    std::sort(ranges.begin(), ranges.end(), [](Range a, Range b) { return a.begin < b.begin; });
    return ranges;
  }
};

void count(const cardinal_frame* frame, int64_t begin, int64_t end) noexcept {
  static_cast<std::atomic<int64_t>*>(frame->workspace)->fetch_add(end - begin, std::memory_order_relaxed);
}

std::vector<float> sample(unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> x(kFakeElements);
  for (float& value : x) value = static_cast<float>(random() % 100);
  return x;
}

}  // namespace

TEST_CASE("every unit is computed once, in equal shares that are always the same") {
  for (const int threads : {1, 2, 3, 4, 7, 16}) {
    ThreadPool pool(threads);
    REQUIRE(pool.threads() == threads);
    for (const int64_t units : {0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 100, 1001}) {
      CAPTURE(threads, units);
      Recorder recorder;
      const std::vector<Range> ranges = recorder.record(pool, units);
      CHECK(ranges.size() == static_cast<size_t>(std::min<int64_t>(threads, units)));
      int64_t next = 0, smallest = units, largest = 0;
      for (const Range& range : ranges) {
        CHECK(range.begin == next);
        next = range.end;
        smallest = std::min(smallest, range.end - range.begin);
        largest = std::max(largest, range.end - range.begin);
      }
      CHECK(next == units);
      if (units) CHECK(largest - smallest <= 1);
      CHECK(recorder.record(pool, units) == ranges);
    }
  }
}

TEST_CASE("threads that went to sleep wake up, also when there are more of them than CPUs") {
  std::mt19937 random(1);
  for (const int threads : {2, 4, 24}) {
    ThreadPool pool(threads);
    const cardinal_executor executor = pool.executor();
    std::atomic<int64_t> done{0};
    const cardinal_frame frame = {nullptr, nullptr, nullptr, &done};
    int64_t expected = 0;
    for (int i = 0; i < 400; ++i) {
      // Around the 50 microseconds after which a thread parks.
      if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random() % 120));
      const int64_t units = 1 + random() % 40;
      executor.parallel_for(executor.context, units, count, &frame);
      expected += units;
      REQUIRE(done.load() == expected);
    }
  }
}

TEST_CASE("a pool may be dropped at any time between steps") {
  for (int i = 0; i < 30; ++i) {
    ThreadPool pool(3);
    if (i % 3 == 1) std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (i % 3 == 2) Recorder().record(pool, 5);
  }
  CHECK(ThreadPool(0).threads() >= 1);
}

#if defined(__x86_64__)
TEST_CASE("every thread computes in the caller's floating-point mode") {
  ThreadPool pool(3);
  const cardinal_executor executor = pool.executor();
  const unsigned before = _mm_getcsr();
  std::atomic<unsigned> modes[3] = {};
  const cardinal_frame frame = {nullptr, nullptr, nullptr, modes};
  const auto task = [](const cardinal_frame* frame, int64_t begin, int64_t) noexcept {
    static_cast<std::atomic<unsigned>*>(frame->workspace)[begin] = _mm_getcsr();
  };
  _mm_setcsr(before | _MM_FLUSH_ZERO_ON);
  executor.parallel_for(executor.context, 3, task, &frame);
  _mm_setcsr(before);
  for (const auto& mode : modes) CHECK((mode & _MM_FLUSH_ZERO_ON) != 0);
}
#endif

TEST_CASE("threads share a model, each with its session, and a pool") {
  const Model model = Model::from(fake_cardinal_model).value();
  ThreadPool pool(3);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      Session session = Session::create(model, t % 2 ? pool.executor() : cardinal_executor{}).value();
      std::vector<float> y(kFakeElements);
      for (unsigned i = 0; i < 300; ++i) {
        const std::vector<float> x = sample(t * 1000 + i);
        if (!session.run(x, y).ok() || y != fake_result(x)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST_CASE("a session refuses a second thread while it runs") {
  std::atomic<bool> entered{false}, leave{false};
  auto slow = [&](int64_t units, auto body) {
    entered = true;
    while (!leave) std::this_thread::yield();
    body(0, units);
  };
  Session session =
      Session::create(Model::from(fake_cardinal_model).value(), cardinal::executor_for(slow)).value();
  std::vector<float> x(kFakeElements, 1), y(kFakeElements), z(kFakeElements);
  std::thread first([&] { session.run(x, y).value(); });
  while (!entered) std::this_thread::yield();
  const auto second = session.run(x, z);
  leave = true;
  first.join();
  REQUIRE_FALSE(second.ok());
  CHECK(second.error().message().find("running on another thread") != std::string::npos);
  CHECK(y == fake_result(x));
}
