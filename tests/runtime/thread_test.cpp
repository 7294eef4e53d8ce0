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
  std::vector<Range> record(ThreadPool& pool, int64_t units, int64_t grain) {
    ranges.clear();
    const cardinal_frame frame = {nullptr, nullptr, nullptr, this};
    const cardinal_executor executor = pool.executor();
    executor.parallel_for(executor.context, units, grain, task, &frame);
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

TEST_CASE("every unit is computed once, in equal shares or parts of them, always in the same ranges") {
  for (const int threads : {1, 2, 3, 4, 7, 16}) {
    ThreadPool pool(threads);
    REQUIRE(pool.threads() == threads);
    for (const int64_t units : {0, 1, 2, 3, 4, 5, 7, 15, 16, 17, 100, 1001})
      for (const int64_t grain : {1, 3, 16, 2000}) {
        CAPTURE(threads, units, grain);
        const int64_t parts = std::min<int64_t>(threads, units);
        std::vector<Range> expected;
        for (int64_t t = 0, begin = 0; t < parts; ++t) {
          const int64_t end = begin + units / parts + (t < units % parts ? 1 : 0), last = (end - begin) / 8;
          if (parts > 1 && last >= grain) {
            expected.insert(expected.end(), {{begin, end - 2 * last}, {end - 2 * last, end - last}});
            begin = end - last;
          }
          expected.push_back({begin, end});
          begin = end;
        }
        Recorder recorder;
        CHECK(recorder.record(pool, units, grain) == expected);
      }
  }
}

TEST_CASE("threads that are done take over what a slower one has not begun") {
  struct Slow {
    std::atomic<int64_t> done{0};
    std::atomic<bool> in_time{false};
    // Unit 0 waits for all others: those of its range, which is the first of its share, are not counted.
    static void task(const cardinal_frame* frame, int64_t begin, int64_t end) noexcept {
      auto* self = static_cast<Slow*>(frame->workspace);
      if (begin > 0) {
        self->done.fetch_add(end - begin);
        return;
      }
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
      while (self->done < 96 - end && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      self->in_time = self->done == 96 - end;
    }
  };
  ThreadPool pool(2);
  const cardinal_executor executor = pool.executor();
  Slow slow;
  const cardinal_frame frame = {nullptr, nullptr, nullptr, &slow};
  executor.parallel_for(executor.context, 96, 1, Slow::task, &frame);
  CHECK(slow.in_time);
  CHECK(slow.done == 96 - 36);
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
      executor.parallel_for(executor.context, units, 1 + i % 3, count, &frame);
      expected += units;
      REQUIRE(done.load() == expected);
    }
  }
}

TEST_CASE("a pool may be dropped at any time between steps") {
  for (int i = 0; i < 30; ++i) {
    ThreadPool pool(3);
    if (i % 3 == 1) std::this_thread::sleep_for(std::chrono::microseconds(200));
    if (i % 3 == 2) Recorder().record(pool, 5, 1);
  }
  CHECK(ThreadPool(0).threads() >= 1);
}

#if defined(__x86_64__)
TEST_CASE("every thread computes in the caller's floating-point mode") {
  ThreadPool pool(3);
  const cardinal_executor executor = pool.executor();
  const unsigned before = _mm_getcsr();
  struct Modes {
    std::atomic<int> begun{0};
    std::atomic<unsigned> mode[3] = {};
    // Each unit waits for the others, so that no thread computes two.
    static void task(const cardinal_frame* frame, int64_t begin, int64_t) noexcept {
      auto* self = static_cast<Modes*>(frame->workspace);
      self->mode[begin] = _mm_getcsr();
      ++self->begun;
      while (self->begun < 3) std::this_thread::yield();
    }
  } modes;
  const cardinal_frame frame = {nullptr, nullptr, nullptr, &modes};
  _mm_setcsr(before | _MM_FLUSH_ZERO_ON);
  executor.parallel_for(executor.context, 3, 1, Modes::task, &frame);
  _mm_setcsr(before);
  for (const auto& mode : modes.mode) CHECK((mode & _MM_FLUSH_ZERO_ON) != 0);
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
  auto slow = [&](int64_t units, int64_t, auto body) {
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
