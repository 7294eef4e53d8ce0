#pragma once

#include <cstddef>
#include <cstdint>

namespace cardinal::runtime {

// hash_bytes(data, bytes, seed), by as many threads as this one may use processors, at most four: reading
// pages of a file for the first time is bound by the kernel's work on each, which threads share. A process
// that can start none does it alone. Thread-safe.
uint64_t parallel_hash_bytes(const void* data, size_t bytes, uint64_t seed = 0);

}  // namespace cardinal::runtime
