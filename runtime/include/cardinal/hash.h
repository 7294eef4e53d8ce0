// The content hash of compiled models and weight files. It detects corruption; it is not cryptographic.
// Blocks of 1 MiB are hashed each for itself, by four independent multiply lanes, and then their hashes, so
// that several threads can check one file.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cardinal {

inline constexpr size_t kHashBlock = size_t{1} << 20;

inline uint64_t hash_mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  x ^= x >> 32;
  return x;
}

// The hash of one block of any alignment and size; depends on every byte and on the size.
inline uint64_t hash_block(const void* data, size_t bytes) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15ull;
  const auto* p = static_cast<const unsigned char*>(data);
  // Variables, not an array, which GCC would keep in memory, at half the speed.
  uint64_t a = 0x243f6a8885a308d3ull, b = 0x13198a2e03707344ull, c = 0xa4093822299f31d0ull,
           d = 0x082efa98ec4e6c89ull;
  const auto mix = [&](uint64_t& lane, uint64_t value) {
    lane = (lane ^ value) * kMultiplier;
    lane ^= lane >> 29;
  };
  size_t left = bytes;
  for (; left >= 32; left -= 32, p += 32) {
    uint64_t block[4];
    std::memcpy(block, p, 32);
    mix(a, block[0]), mix(b, block[1]), mix(c, block[2]), mix(d, block[3]);
  }
  const uint64_t lanes[4] = {a, b, c, d};
  uint64_t tail[4] = {};
  if (left > 0) std::memcpy(tail, p, left);  // `data` may be null when there is nothing
  uint64_t h = hash_mix(bytes + kMultiplier);
  for (int i = 0; i < 4; ++i)
    h = hash_mix(h ^ hash_mix(lanes[i] ^ (tail[i] * kMultiplier))) + kMultiplier * (i + 1);
  return hash_mix(h);
}

// How many blocks there are; the last may be shorter, and the first is there even when there is nothing.
inline size_t hash_blocks(size_t bytes) { return std::max<size_t>(1, (bytes + kHashBlock - 1) / kHashBlock); }

// The hash of no block, of `bytes` to come.
inline uint64_t hash_start(size_t bytes, uint64_t seed) { return hash_mix(seed ^ bytes); }

// The hash of the blocks up to one, from that of the blocks before it and its own.
inline uint64_t hash_onto(uint64_t before, uint64_t block) { return hash_mix(before * 3 + block); }

// The hash of the i-th block of `bytes` at `data`.
inline uint64_t hash_block_of(const void* data, size_t bytes, size_t i) {
  const size_t begin = i * kHashBlock;
  return hash_block(static_cast<const unsigned char*>(data) + begin, std::min(kHashBlock, bytes - begin));
}

// The hash of the blocks; `seed` may be that of something else, so that both are hashed together.
inline uint64_t hash_bytes(const void* data, size_t bytes, uint64_t seed = 0) {
  uint64_t hash = hash_start(bytes, seed);
  for (size_t i = 0; i < hash_blocks(bytes); ++i) hash = hash_onto(hash, hash_block_of(data, bytes, i));
  return hash;
}

}  // namespace cardinal
