// Walks through the bytes of a file. Every step fails, and moves nothing, where the bytes end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cardinal {

class ByteCursor {
 public:
  explicit ByteCursor(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t at() const { return at_; }
  size_t left() const { return bytes_.size() - at_; }
  bool take(uint64_t size, std::span<const std::byte>& out) {
    if (size > left()) return false;
    out = bytes_.subspan(at_, static_cast<size_t>(size));
    at_ += static_cast<size_t>(size);
    return true;
  }
  // A little-endian value.
  template <class T>
  bool read(T& out) {
    std::span<const std::byte> taken;
    if (!take(sizeof(T), taken)) return false;
    std::memcpy(&out, taken.data(), sizeof(T));
    return true;
  }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

}  // namespace cardinal
