#include <sys/mman.h>

#include <algorithm>
#include <cstdint>

#include "compiler/driver/peak.h"
#include "compiler/driver/timing.h"

namespace cardinal::driver {

namespace {

using Vector [[gnu::vector_size(16)]] = uint64_t;

// Four chains, so that no addition waits for another.
Vector sum(const Vector* data, size_t vectors) {
  Vector a{}, b{}, c{}, d{};
  for (size_t i = 0; i + 4 <= vectors; i += 4) {
    a += data[i];
    b += data[i + 1];
    c += data[i + 2];
    d += data[i + 3];
  }
  return a + b + c + d;
}

}  // namespace

double measure_read_bandwidth(size_t bytes) {
  constexpr int kRuns = 10;
  constexpr size_t kBytesPerRun = size_t{64} << 20;  // a few milliseconds
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 0;
  madvise(memory, bytes, MADV_HUGEPAGE);
  std::fill_n(static_cast<char*>(memory), bytes, char{1});  // pages that nobody wrote are one and the same
  const auto* data = static_cast<const Vector*>(memory);
  const size_t passes = std::max<size_t>(1, kBytesPerRun / bytes);
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    Vector total{};
    const Clock::time_point start = Clock::now();
    for (size_t pass = 0; pass < passes; ++pass) {
      total += sum(data, bytes / sizeof(Vector));
      asm volatile("" : "+m"(total) : : "memory");  // each pass reads anew
    }
    best = std::max(best, static_cast<double>(passes * bytes) / seconds_since(start));
  }
  munmap(memory, bytes);
  return best;
}

}  // namespace cardinal::driver
