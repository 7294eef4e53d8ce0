#include "compiler/weights/msgpack.h"

namespace cardinal {

namespace {

using Kind = MsgpackItem::Kind;

// A big-endian unsigned integer.
bool read_big(ByteCursor& cursor, int bytes, uint64_t& out) {
  std::span<const std::byte> taken;
  if (!cursor.take(static_cast<uint64_t>(bytes), taken)) return false;
  out = 0;
  for (std::byte byte : taken) out = out << 8 | std::to_integer<uint64_t>(byte);
  return true;
}

bool read_sized(ByteCursor& cursor, Kind kind, uint64_t bytes, MsgpackItem& out) {
  out.kind = kind;
  return (kind != Kind::extension || cursor.read(out.extension)) && cursor.take(bytes, out.payload);
}

bool read_counted(Kind kind, uint64_t count, MsgpackItem& out) {
  out.kind = kind;
  out.number = count;
  return true;
}

// The formats whose first byte is 0xc0 to 0xdf.
bool read_long_form(ByteCursor& cursor, uint8_t first, MsgpackItem& out) {
  std::span<const std::byte> skipped;
  uint64_t size = 0;
  switch (first) {
    case 0xc0:  // nil, false, true
    case 0xc2:
    case 0xc3:
      return true;
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return read_big(cursor, 1 << (first - 0xc4), size) && read_sized(cursor, Kind::binary, size, out);
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return read_big(cursor, 1 << (first - 0xc7), size) && read_sized(cursor, Kind::extension, size, out);
    case 0xca:
      return cursor.take(4, skipped);
    case 0xcb:
      return cursor.take(8, skipped);
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
      out.kind = Kind::integer;
      return read_big(cursor, 1 << (first - 0xcc), out.number);
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
      return cursor.take(uint64_t{1} << (first - 0xd0), skipped);
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return read_sized(cursor, Kind::extension, uint64_t{1} << (first - 0xd4), out);
    case 0xd9:
    case 0xda:
    case 0xdb:
      return read_big(cursor, 1 << (first - 0xd9), size) && read_sized(cursor, Kind::text, size, out);
    case 0xdc:
    case 0xdd:
      return read_big(cursor, 2 << (first - 0xdc), size) && read_counted(Kind::list, size, out);
    case 0xde:
    case 0xdf:
      return read_big(cursor, 2 << (first - 0xde), size) && read_counted(Kind::map, size, out);
    default:
      return false;  // 0xc1 is never used
  }
}

}  // namespace

bool read_msgpack(ByteCursor& cursor, MsgpackItem& out) {
  out = {};
  uint8_t first = 0;
  if (!cursor.read(first)) return false;
  if (first < 0x80) return read_counted(Kind::integer, first, out);
  if (first < 0x90) return read_counted(Kind::map, first & 0xf, out);
  if (first < 0xa0) return read_counted(Kind::list, first & 0xf, out);
  if (first < 0xc0) return read_sized(cursor, Kind::text, first & 0x1f, out);
  if (first < 0xe0) return read_long_form(cursor, first, out);
  return true;  // a small negative integer
}

}  // namespace cardinal
