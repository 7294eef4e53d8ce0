#include "tests/simt/shared_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

namespace cardinal::simt {

namespace {

// Addresses in shared memory are of 18 bits in wgmma's matrix descriptors.
constexpr size_t kArenaAlignment = size_t{1} << 18;
unsigned char* make_arena() {
  return static_cast<unsigned char*>(std::aligned_alloc(kArenaAlignment, kSharedArena));
}

constexpr size_t kGranule = 2, kBarrierBytes = 8;

}  // namespace

void WarpClocks::start(uint32_t warps) {
  warps_ = warps;
  start_ = ++time_;
  for (uint32_t w = 0; w < warps; ++w) {
    seen_[w].fill(start_);
    fenced_[w].fill(start_);
    tick(w);
    synchronised_[w] = seen_[w][w];
  }
}

void WarpClocks::synchronise(uint32_t warp_mask) {
  Clock joined;
  for (uint32_t mask = warp_mask; mask; mask &= mask - 1)
    release(static_cast<uint32_t>(std::countr_zero(mask)), joined);
  for (uint32_t mask = warp_mask; mask; mask &= mask - 1) {
    const auto w = static_cast<uint32_t>(std::countr_zero(mask));
    acquire(w, joined);
    synchronised_[w] = seen_[w][w];
  }
}

void WarpClocks::release(uint32_t warp, Clock& to) {
  tick(warp);
  for (uint32_t other = 0; other < warps_; ++other) {
    to.seen[other] = std::max(to.seen[other], seen_[warp][other]);
    to.fenced[other] = std::max(to.fenced[other], fenced_[warp][other]);
  }
}

void WarpClocks::acquire(uint32_t warp, const Clock& from) {
  for (uint32_t other = 0; other < warps_; ++other) {
    seen_[warp][other] = std::max(seen_[warp][other], from.seen[other]);
    fenced_[warp][other] = std::max(fenced_[warp][other], from.fenced[other]);
  }
}

void WarpClocks::fence(uint32_t warp) {
  tick(warp);
  fenced_[warp] = seen_[warp];
}

bool WarpClocks::all_before(const std::array<uint32_t, kMaxWarps>& times, uint32_t warp) const {
  for (uint32_t other = 0; other < warps_; ++other)
    if (times[other] >= (other == warp ? synchronised_[warp] : seen_[warp][other])) return false;
  return true;
}

SharedMemory::SharedMemory() : granules_(kSharedArena / kGranule) {}

unsigned char* SharedMemory::base() {
  static unsigned char* const arena = make_arena();
  return arena;
}

void SharedMemory::start_kernel(std::vector<SharedRange> ranges) {
  ranges_ = std::move(ranges);
  // Times go on from one CTA to the next, but copies that a failed launch left behind must not.
  std::fill(granules_.begin(), granules_.end(), Granule{});
  warp_reads_.resize(1);
}

void SharedMemory::start_cta(uint32_t warps) {
  clocks_.start(warps);
  for (const SharedRange& range : ranges_) {
    std::memset(base() + range.begin, 0xff, range.end - range.begin);
    for (size_t i = range.begin / kGranule; i < range.end / kGranule; ++i) granules_[i].barrier = false;
  }
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

// Forgets readers that this one comes after.
void SharedMemory::note_read(Granule& granule, uint32_t thread) {
  const uint32_t warp = thread / kWarpSize;
  if (granule.read_time == 0 || reads_before(granule, thread)) {
    granule.other_lanes = granule.other_warps = false;
  } else if (granule.other_warps || granule.reader / kWarpSize != warp) {
    note_warp_read(granule, warp);
  } else if (granule.reader != thread) {
    granule.other_lanes = true;
  }
  granule.read_time = clocks_.now(warp);
  granule.reader = static_cast<uint16_t>(thread);
}

void SharedMemory::note_warp_read(Granule& granule, uint32_t warp) {
  if (!granule.warp_reads) {
    granule.warp_reads = static_cast<uint32_t>(warp_reads_.size());
    warp_reads_.emplace_back();
  }
  auto& reads = warp_reads_[granule.warp_reads];
  if (!granule.other_warps) {
    reads.fill(0);
    reads[granule.reader / kWarpSize] = granule.read_time;
  }
  granule.other_warps = true;
  reads[warp] = clocks_.now(warp);
}

// Whether all the reads that the granule remembers happen before what `thread` does now.
bool SharedMemory::reads_before(const Granule& granule, uint32_t thread) const {
  const uint32_t warp = thread / kWarpSize;
  if (granule.other_warps) return clocks_.all_before(warp_reads_[granule.warp_reads], warp);
  if (granule.other_lanes && granule.reader == thread) return clocks_.before_lanes(granule.read_time, warp);
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
    if (granule.matrix_reads)
      return fmt::format("offset {} of shared memory is written while wgmma that reads it is in flight",
                         i * kGranule);
    if (granule.barrier)
      return fmt::format("offset {} of shared memory is written, where an mbarrier is", i * kGranule);
    if (granule.read_time && !reads_before(granule, thread))
      return fmt::format(
          "race: offset {} of shared memory is written with no barrier after thread {}{} read it",
          i * kGranule, granule.reader, granule.other_warps || granule.other_lanes ? " and others" : "");
    granule = {.write_time = clocks_.now(thread / kWarpSize),
               .warp_reads = granule.warp_reads,
               .writer = static_cast<uint16_t>(thread)};
  }
  return {};
}

SharedMemory::Problem SharedMemory::begin_copy(uint32_t thread, size_t offset, size_t bytes) {
  if (Problem problem = write(thread, offset, bytes)) return problem;
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) granules_[i].in_flight = true;
  return {};
}

void SharedMemory::end_copy(uint32_t thread, size_t offset, size_t bytes) {
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) {
    granules_[i].in_flight = false;
    granules_[i].write_time = clocks_.now(thread / kWarpSize);
  }
}

void SharedMemory::end_copy_by_barrier(size_t offset, size_t bytes) {
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) granules_[i].in_flight = false;
}

SharedMemory::Problem SharedMemory::begin_bulk_copy(uint32_t thread, size_t offset, size_t bytes) {
  const uint32_t warp = thread / kWarpSize;
  if (Problem problem = check_bounds(offset, bytes)) return problem;
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) {
    const Granule& granule = granules_[i];
    if (clocks_.in_this_cta(granule.write_time) && !granule.asynchronous &&
        !clocks_.fenced(granule.writer, granule.write_time, warp))
      return fmt::format(
          "offset {} of shared memory is copied to in bulk with no fence.proxy.async after thread {} wrote "
          "it",
          i * kGranule, granule.writer);
  }
  if (Problem problem = begin_copy(thread, offset, bytes)) return problem;
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) granules_[i].asynchronous = true;
  return {};
}

SharedMemory::Problem SharedMemory::begin_matrix_read(uint32_t warp, size_t offset, size_t bytes) {
  const uint32_t thread = warp * kWarpSize;
  if (Problem problem = check_bounds(offset, bytes)) return problem;
  const auto refuse = [](size_t i, const char* what, const Granule& granule) {
    return fmt::format("offset {} of shared memory is read by wgmma {} thread {}{}", i * kGranule, what,
                       granule.writer, granule.in_flight ? " is in flight" : " wrote it");
  };
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) {
    Granule& granule = granules_[i];
    if (granule.in_flight) return refuse(i, "while a copy to it by", granule);
    if (!clocks_.in_this_cta(granule.write_time))
      return fmt::format("offset {} of shared memory is read by wgmma, but nothing was written there",
                         i * kGranule);
    if (!clocks_.before(granule.writer, granule.write_time, thread))
      return refuse(i, "with no barrier after", granule);
    if (!granule.asynchronous && !clocks_.fenced(granule.writer, granule.write_time, warp))
      return refuse(i, "with no fence.proxy.async after", granule);
    if (++granule.matrix_reads == 0) return "too many products in flight to emulate";
  }
  return {};
}

void SharedMemory::end_matrix_read(uint32_t warp, size_t offset, size_t bytes) {
  for (size_t i = offset / kGranule; i < (offset + bytes) / kGranule; ++i) {
    --granules_[i].matrix_reads;
    note_read(granules_[i], warp * kWarpSize);
  }
}

SharedMemory::Problem SharedMemory::init_barrier(uint32_t thread, size_t offset) {
  if (offset % kBarrierBytes) return "the address of the mbarrier is not aligned to 8 bytes";
  if (Problem problem = write(thread, offset, kBarrierBytes)) return problem;
  for (size_t i = offset / kGranule; i < (offset + kBarrierBytes) / kGranule; ++i)
    granules_[i].barrier = true;
  return {};
}

SharedMemory::Problem SharedMemory::use_barrier(uint32_t thread, size_t offset, bool asynchronous) const {
  if (Problem problem = check_bounds(offset, kBarrierBytes)) return problem;
  const Granule& granule = granules_[offset / kGranule];
  if (!granule.barrier || offset % kBarrierBytes)
    return fmt::format("there is no mbarrier at offset {} of shared memory", offset);
  if (!clocks_.before(granule.writer, granule.write_time, thread))
    return fmt::format("race: the mbarrier is used with no barrier after thread {} made it", granule.writer);
  if (asynchronous && !clocks_.fenced(granule.writer, granule.write_time, thread / kWarpSize))
    return fmt::format(
        "the mbarrier is used by a bulk copy with no fence.proxy.async after thread {} made it",
        granule.writer);
  return {};
}

}  // namespace cardinal::simt
