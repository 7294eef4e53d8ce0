#include "compiler/weights/zip.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace cardinal {

namespace {

using Bytes = std::span<const std::byte>;

constexpr uint32_t kEndSignature = 0x06054b50, kEnd64Signature = 0x06064b50, kLocator64Signature = 0x07064b50;
constexpr uint32_t kDirectorySignature = 0x02014b50, kLocalSignature = 0x04034b50;
constexpr size_t kEndBytes = 22, kEnd64Bytes = 56, kLocator64Bytes = 20, kDirectoryBytes = 46,
                 kLocalBytes = 30;
constexpr size_t kMaxComment = 65535;
constexpr uint16_t kZip64Extra = 1;
constexpr uint32_t kIn64 = 0xffffffff;  // the value is in the ZIP64 record
constexpr uint16_t kEncrypted = 1;

// A little-endian value at an offset that the caller has checked.
template <class T>
T read(Bytes bytes, size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

bool fits(Bytes bytes, uint64_t offset, uint64_t size) {
  return offset <= bytes.size() && size <= bytes.size() - offset;
}

struct Directory {
  uint64_t offset = 0, members = 0;
};

std::optional<Directory> find_directory(Bytes archive) {
  if (archive.size() < kEndBytes) return std::nullopt;
  size_t last = archive.size() - kEndBytes;
  size_t first = last > kMaxComment ? last - kMaxComment : 0;
  size_t end = last;
  while (read<uint32_t>(archive, end) != kEndSignature) {
    if (end == first) return std::nullopt;
    --end;
  }
  Directory directory{read<uint32_t>(archive, end + 16), read<uint16_t>(archive, end + 10)};
  if (end < kLocator64Bytes || read<uint32_t>(archive, end - kLocator64Bytes) != kLocator64Signature)
    return directory;
  auto end64 = read<uint64_t>(archive, end - kLocator64Bytes + 8);
  if (!fits(archive, end64, kEnd64Bytes) || read<uint32_t>(archive, end64) != kEnd64Signature)
    return std::nullopt;
  return Directory{read<uint64_t>(archive, end64 + 48), read<uint64_t>(archive, end64 + 32)};
}

// Values of 32 bits in the directory that did not fit are 64-bit values in an extra field, in this order.
struct Sizes {
  uint64_t unpacked, packed, local_offset;
};
bool read_zip64(Bytes extra, Sizes& sizes) {
  for (size_t at = 0; at + 4 <= extra.size();) {
    uint16_t id = read<uint16_t>(extra, at), size = read<uint16_t>(extra, at + 2);
    at += 4;
    if (size > extra.size() - at) return false;
    if (id == kZip64Extra) {
      size_t field = at;
      for (uint64_t* value : {&sizes.unpacked, &sizes.packed, &sizes.local_offset}) {
        if (*value != kIn64) continue;
        if (field + 8 > at + size) return false;
        *value = read<uint64_t>(extra, field);
        field += 8;
      }
      return true;
    }
    at += size;
  }
  return sizes.unpacked != kIn64 && sizes.packed != kIn64 && sizes.local_offset != kIn64;
}

// The member whose directory entry begins at `at`, which is moved past it; "" or the problem.
std::string read_member(Bytes archive, uint64_t& at, ZipMember& out) {
  if (!fits(archive, at, kDirectoryBytes) || read<uint32_t>(archive, at) != kDirectorySignature)
    return fmt::format("there is no directory entry at byte {}", at);
  Bytes entry = archive.subspan(at);
  uint64_t name_bytes = read<uint16_t>(entry, 28), extra_bytes = read<uint16_t>(entry, 30);
  uint64_t entry_bytes = kDirectoryBytes + name_bytes + extra_bytes + read<uint16_t>(entry, 32);
  if (!fits(archive, at, entry_bytes)) return fmt::format("the directory entry at byte {} is truncated", at);
  at += entry_bytes;

  out.name.assign(reinterpret_cast<const char*>(entry.data()) + kDirectoryBytes, name_bytes);
  uint16_t flags = read<uint16_t>(entry, 8), method = read<uint16_t>(entry, 10);
  if (flags & kEncrypted) return fmt::format("{} is encrypted", out.name);
  if (method != 0 && method != 8)
    return fmt::format("{} is compressed by method {}, expected 0 (stored) or 8 (deflate)", out.name, method);
  Sizes sizes{read<uint32_t>(entry, 24), read<uint32_t>(entry, 20), read<uint32_t>(entry, 42)};
  if (!read_zip64(entry.subspan(kDirectoryBytes + name_bytes, extra_bytes), sizes))
    return fmt::format("{} has a broken ZIP64 record", out.name);

  uint64_t local = sizes.local_offset;
  if (!fits(archive, local, kLocalBytes) || read<uint32_t>(archive, local) != kLocalSignature)
    return fmt::format("{} has no local header at byte {}", out.name, local);
  uint64_t data =
      local + kLocalBytes + read<uint16_t>(archive, local + 26) + read<uint16_t>(archive, local + 28);
  if (!fits(archive, data, sizes.packed))
    return fmt::format("{} has {} bytes at {}, the archive ends at {}", out.name, sizes.packed, data,
                       archive.size());
  out.packed = archive.subspan(data, sizes.packed);
  out.bytes = sizes.unpacked;
  out.crc = read<uint32_t>(entry, 16);
  out.deflated = method == 8;
  if (!out.deflated && out.bytes != sizes.packed)
    return fmt::format("{} is stored in {} bytes but claims {}", out.name, sizes.packed, out.bytes);
  return {};
}

// zlib counts in 32 bits; larger spans are passed in pieces.
constexpr uint64_t kPiece = uint64_t{1} << 30;

uint32_t checksum(Bytes bytes) {
  uLong crc = crc32(0, nullptr, 0);
  for (size_t at = 0; at < bytes.size(); at += kPiece)
    crc = crc32(crc, reinterpret_cast<const Bytef*>(bytes.data() + at),
                static_cast<uInt>(std::min<uint64_t>(kPiece, bytes.size() - at)));
  return static_cast<uint32_t>(crc);
}

// Fills `out` from a raw deflate stream; whether there were enough bytes for it.
bool inflate_into(Bytes packed, std::span<std::byte> out) {
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) return false;
  size_t in_at = 0, out_at = 0;
  int state = Z_OK;
  while (state == Z_OK && out_at < out.size()) {
    uInt in_bytes = static_cast<uInt>(std::min<uint64_t>(kPiece, packed.size() - in_at));
    uInt out_bytes = static_cast<uInt>(std::min<uint64_t>(kPiece, out.size() - out_at));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + in_at));
    stream.avail_in = in_bytes;
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + out_at);
    stream.avail_out = out_bytes;
    state = inflate(&stream, Z_NO_FLUSH);
    in_at += in_bytes - stream.avail_in;
    out_at += out_bytes - stream.avail_out;
  }
  inflateEnd(&stream);
  return out_at == out.size();
}

}  // namespace

Result<std::vector<ZipMember>> list_zip(Bytes archive) {
  std::optional<Directory> directory = find_directory(archive);
  if (!directory) return Diagnostics("it has no zip directory; is the file truncated?");
  if (directory->members > archive.size() / kDirectoryBytes)
    return Diagnostics(
        fmt::format("its directory claims {} members in {} bytes", directory->members, archive.size()));
  std::vector<ZipMember> members(directory->members);
  uint64_t at = directory->offset;
  for (ZipMember& member : members)
    if (std::string problem = read_member(archive, at, member); !problem.empty()) return Diagnostics(problem);
  return members;
}

Result<std::vector<std::byte>> unpack(const ZipMember& member, uint64_t limit) {
  uint64_t bytes = std::min(member.bytes, limit);
  // Deflate shrinks by at most 1032 to 1, so a claim beyond that is not worth the allocation.
  if (member.deflated && bytes / 1032 > member.packed.size())
    return Diagnostics(
        fmt::format("{} claims {} bytes out of {}", member.name, member.bytes, member.packed.size()));
  std::vector<std::byte> out(bytes);
  if (!member.deflated) {
    std::copy_n(member.packed.begin(), bytes, out.begin());
  } else if (!inflate_into(member.packed, out)) {
    return Diagnostics(
        fmt::format("{} does not unpack to the {} bytes that it claims", member.name, member.bytes));
  }
  if (bytes == member.bytes && checksum(out) != member.crc)
    return Diagnostics(fmt::format("{} has the wrong checksum; the file is damaged", member.name));
  return out;
}

}  // namespace cardinal
