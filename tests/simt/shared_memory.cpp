#include "tests/simt/shared_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace cardinal::simt {

namespace {
alignas(1024) unsigned char arena[kSharedArena];
constexpr size_t kGranule = 2;
}  // namespace

void WarpClocks::start(uint32_t warps) {
  warps_ = warps;
  const uint32_t past = ++time_;
  for (uint32_t w = 0; w < warps; ++w) {
    seen_[w].fill(past);
    seen_[w][w] = ++time_;
  }
}

void WarpClocks::synchronise(uint32_t warp_mask) {
  std::array<uint32_t, kMaxWarps> joined{};
  for (uint32_t mask = warp_mask; mask; mask &= mask - 1) {
    const auto w = static_cast<uint32_t>(std::countr_zero(mask));
    seen_[w][w] = ++time_;
    for (uint32_t other = 0; other < warps_; ++other)
      joined[other] = std::max(joined[other], seen_[w][other]);
  }
  for (uint32_t mask = warp_mask; mask; mask &= mask - 1) {
    seen_[static_cast<uint32_t>(std::countr_zero(mask))] = joined;
  }
}

bool WarpClocks::all_before(uint32_t time, uint32_t warp) const {
  return std::all_of(seen_[warp].begin(), seen_[warp].begin() + warps_,
                     [time](uint32_t seen) { return time < seen; });
}

SharedMemory::SharedMemory() : granules_(kSharedArena / kGranule) {}

unsigned char* SharedMemory::base() { return arena; }

void SharedMemory::start_kernel(std::vector<SharedRange> ranges) {
  ranges_ = std::move(ranges);
  // Times go on from one CTA to the next, but copies that a failed launch left behind must not.
  std::fill(granules_.begin(), granules_.end(), Granule{});
}

void SharedMemory::start_cta(uint32_t warps) {
  clocks_.start(warps);
  for (const SharedRange& range : ranges_) std::memset(arena + range.begin, 0xff, range.end - range.begin);
}

SharedMemory::Problem SharedMemory::check_bounds(size_t offset, size_t bytes) const {
  for (const SharedRange& range : ranges_)
    if (offset >= range.begin && offset + bytes <= range.end) return {};
  std::string allocated;
  for (const SharedRange& range : ranges_)
    allocated += fmt::format("{}[{}, {})", allocated.empty() ? "" : ", ", range.begin, range.end);
  return fmt::format("{} bytes at offset {} of shared memory are out of bounds: allocated is {}", bytes,
                     offset, allocated.empty() ? "none" : allocated);
}

// Keeps the reader that a later writer has the hardest time being ordered after.
void SharedMemory::note_read(Granule& granule, uint32_t thread) {
  const uint32_t warp = thread / kWarpSize;
  if (granule.read_time == 0 || reads_before(granule, thread)) {
    granule.other_lanes = granule.other_warps = false;
  } else if (granule.reader / kWarpSize != warp) {
    granule.other_warps = true;
  } else if (granule.reader != thread) {
    granule.other_lanes = true;
  }
  granule.read_time = std::max(granule.read_time, clocks_.now(warp));
  granule.reader = static_cast<uint16_t>(thread);
}

// Whether all the reads that the granule remembers happen before what `thread` does now.
bool SharedMemory::reads_before(const Granule& granule, uint32_t thread) const {
  const uint32_t warp = thread / kWarpSize;
  if (granule.other_warps) return clocks_.all_before(granule.read_time, warp);
  if (granule.other_lanes && granule.reader == thread) return granule.read_time < clocks_.now(warp);
  return clocks_.before(granule.reader, granule.read_time, thread);
}

SharedMemory::Problem SharedMemory::read(uint32_t thread, size_t offset, size_t bytes) {
  if (Problem problem = check_bounds(offset, bytes)) return problem;
  for (size_t i = offset / kGranule; i < (offset + bytes + kGranule - 1) / kGranule; ++i) {
    Granule& granule = granules_[i];
    if (granule.in_flight)
      return fmt::format("offset {} of shared memory is read while a copy to it by thread {} is in flight",
                         i * kGranule, granule.writer);
    if (granule.write_time && !clocks_.before(granule.writer, granule.write_time, thread))
      return fmt::format("race: offset {} of shared memory is read with no barrier after thread {} wrote it",
                         i * kGranule, granule.writer);
    note_read(granule, thread);
  }
  return {};
}

SharedMemory::Problem SharedMemory::write(uint32_t thread, size_t offset, size_t bytes) {
  if (Problem problem = check_bounds(offset, bytes)) return problem;
  if (bytes < kGranule) return {};
  for (size_t i = offset / kGranule; i < (offset + bytes + kGranule - 1) / kGranule; ++i) {
    Granule& granule = granules_[i];
    if (granule.in_flight)
      return fmt::format("offset {} of shared memory is written while a copy to it by thread {} is in flight",
                         i * kGranule, granule.writer);
    if (granule.write_time && !clocks_.before(granule.writer, granule.write_time, thread))
      return fmt::format(
          "race: offset {} of shared memory is written with no barrier after thread {} wrote it",
          i * kGranule, granule.writer);
    if (granule.read_time && !reads_before(granule, thread))
      return fmt::format(
          "race: offset {} of shared memory is written with no barrier after thread {}{} read it",
          i * kGranule, granule.reader, granule.other_warps || granule.other_lanes ? " and others" : "");
    granule = {.write_time = clocks_.now(thread / kWarpSize), .writer = static_cast<uint16_t>(thread)};
  }
  return {};
}

SharedMemory::Problem SharedMemory::begin_copy(uint32_t thread, size_t offset, size_t bytes) {
  if (Problem problem = write(thread, offset, bytes)) return problem;
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) granules_[i].in_flight = true;
  return {};
}

void SharedMemory::end_copy(uint32_t thread, size_t offset, size_t bytes) {
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i)
    granules_[i] = {.write_time = clocks_.now(thread / kWarpSize), .writer = static_cast<uint16_t>(thread)};
}

}  // namespace cardinal::simt
