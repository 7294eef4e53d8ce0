// Running a session allocates nothing.
#include <cardinal/cardinal.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <new>
#include <vector>

#include "tests/runtime/fake_network.h"

namespace {
std::atomic<long> allocations{0};
}

void* operator new(size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

TEST_CASE("running allocates nothing, with and without a pool") {
  cardinal::ThreadPool pool(3);
  for (const cardinal_executor executor : {cardinal_executor{}, pool.executor()}) {
    auto session =
        cardinal::Session::create(cardinal::Model::from(fake_cardinal_model).value(), executor).value();
    std::vector<float> x(kFakeElements, 1), y(kFakeElements);
    const cardinal::InputBuffer in[] = {{x, "x"}};
    const cardinal::OutputBuffer out[] = {{y, "y"}};
    const long before = allocations;
    const bool by_position = session.run(x, y).ok(), by_name = session.run(in, out).ok();
    CHECK(allocations == before);
    CHECK(by_position);
    CHECK(by_name);
  }
  CHECK(allocations > 0);
}
