// Reads zip archives: stored and deflated members, ZIP64, no encryption. Format: PKWARE APPNOTE.TXT 6.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ir/result.h"

namespace cardinal {

struct ZipMember {
  std::string name;
  std::span<const std::byte> packed;  // lies in the archive's bytes
  uint64_t bytes = 0;                 // once unpacked, as the directory claims
  uint32_t crc = 0;
  bool deflated = false;
};

// The members, from the central directory. Nothing is unpacked.
Result<std::vector<ZipMember>> list_zip(std::span<const std::byte> archive);

// The first `limit` bytes of the member, or all if it has fewer. Never allocates more than `limit` bytes. The
// checksum is compared when all of the member was asked for.
Result<std::vector<std::byte>> unpack(const ZipMember& member, uint64_t limit);

}  // namespace cardinal
