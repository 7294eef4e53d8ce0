#include "runtime/src/parallel_hash.h"

#include <cardinal/hash.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/src/cpu.h"

namespace cardinal::runtime {

namespace {

constexpr size_t kMaxThreads = 4;  // of more, the memory would be the bound
constexpr size_t kTaken = 8;       // blocks that a thread takes at once

// Maps the pages of a part of a file in one call, which takes three quarters of the time of faults (Zen 5).
// Kernels before 5.14 do not know it, and there are faults.
void map_pages(const void* data, size_t bytes) {
#ifdef MADV_POPULATE_READ
  const auto begin = reinterpret_cast<uintptr_t>(data);
  const auto into_page = begin % static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  madvise(reinterpret_cast<void*>(begin - into_page), bytes + into_page, MADV_POPULATE_READ);
#else
  (void)data, (void)bytes;
#endif
}

}  // namespace

uint64_t parallel_hash_bytes(const void* data, size_t bytes, uint64_t seed) {
  const size_t count = hash_blocks(bytes);
  std::vector<uint64_t> blocks(count);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(kTaken, std::memory_order_relaxed)) < count;) {
      const size_t begin = i * kHashBlock;
      map_pages(static_cast<const unsigned char*>(data) + begin,
                std::min(kTaken * kHashBlock, bytes - begin));
      for (size_t end = std::min(i + kTaken, count); i < end; ++i) blocks[i] = hash_block_of(data, bytes, i);
    }
  };
  std::vector<std::thread> helpers;
  for (size_t t = 1; t < std::min({kMaxThreads, count, static_cast<size_t>(available_cpus())}); ++t) {
    try {
      helpers.emplace_back(work);
    } catch (const std::system_error&) {
      break;
    }
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  uint64_t hash = hash_start(bytes, seed);
  for (uint64_t block : blocks) hash = hash_onto(hash, block);
  return hash;
}

}  // namespace cardinal::runtime
