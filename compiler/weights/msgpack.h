// Reads MessagePack, item by item: https://github.com/msgpack/msgpack/blob/master/spec.md
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "compiler/weights/byte_cursor.h"

namespace cardinal {

struct MsgpackItem {
  enum class Kind : uint8_t { scalar, integer, text, binary, list, map, extension };
  Kind kind = Kind::scalar;            // scalar: nil, a boolean, a float or a negative integer
  uint64_t number = 0;                 // an integer's value; how many items, or pairs of items, follow
  int8_t extension = 0;                // its type
  std::span<const std::byte> payload;  // of text, binary and extension

  std::string_view text() const { return {reinterpret_cast<const char*>(payload.data()), payload.size()}; }
};

// The next item; a list's or map's items follow it. False where the bytes end or begin no item.
bool read_msgpack(ByteCursor& cursor, MsgpackItem& out);

}  // namespace cardinal
