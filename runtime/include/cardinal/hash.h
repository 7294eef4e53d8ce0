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
  uint64_t lanes[4] = {seed ^ 0x243f6a8885a308d3ull, seed ^ 0x13198a2e03707344ull,
                       seed ^ 0xa4093822299f31d0ull, seed ^ 0x082efa98ec4e6c89ull};
  size_t left = bytes;
  for (; left >= 32; left -= 32, p += 32) {
    uint64_t block[4];
    std::memcpy(block, p, 32);
    for (int i = 0; i < 4; ++i) {
      lanes[i] = (lanes[i] ^ block[i]) * kMultiplier;
      lanes[i] ^= lanes[i] >> 29;
    }
  }
  uint64_t tail[4] = {};
  if (left > 0) std::memcpy(tail, p, left);  // `data` may be null when there is nothing
  uint64_t h = hash_mix(bytes + kMultiplier);
  for (int i = 0; i < 4; ++i)
    h = hash_mix(h ^ hash_mix(lanes[i] ^ (tail[i] * kMultiplier))) + kMultiplier * (i + 1);
  return hash_mix(h);
}

}  // namespace cardinal
