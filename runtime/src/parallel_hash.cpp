#include "runtime/src/parallel_hash.h"

#include <cardinal/hash.h>

#include <algorithm>
#include <atomic>
#include <system_error>
#include <thread>
#include <vector>

#include "runtime/src/cpu.h"

namespace cardinal::runtime {

namespace {

constexpr size_t kMaxThreads = 4;  // of more, the memory would be the bound

}  // namespace

uint64_t parallel_hash_bytes(const void* data, size_t bytes, uint64_t seed) {
  const size_t count = hash_blocks(bytes);
  std::vector<uint64_t> blocks(count);
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i; (i = next.fetch_add(1, std::memory_order_relaxed)) < count;)
      blocks[i] = hash_block_of(data, bytes, i);
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
