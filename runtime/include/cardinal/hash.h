// The content hash of compiled models and weight files: four independent multiply lanes over 32-byte blocks,
// so that checking 100 MB takes milliseconds. It detects corruption; it is not cryptographic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cardinal {

inline uint64_t hash_mix(uint64_t x) {
  x ^= x >> 32;
  x *= 0xd6e8feb86659fd93ull;
  x ^= x >> 32;
  return x;
}

// Any alignment, any size; depends on every byte and on the size.
inline uint64_t hash_bytes(const void* data, size_t bytes, uint64_t seed = 0) {
  constexpr uint64_t kMultiplier = 0x9e3779b97f4a7c15ull;
  const auto* p = static_cast<const unsigned char*>(data);
  // Variables, not an array, which GCC would keep in memory, at half the speed.
  uint64_t a = seed ^ 0x243f6a8885a308d3ull, b = seed ^ 0x13198a2e03707344ull,
           c = seed ^ 0xa4093822299f31d0ull, d = seed ^ 0x082efa98ec4e6c89ull;
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

}  // namespace cardinal
