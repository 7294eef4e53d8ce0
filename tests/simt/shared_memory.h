// The shared memory of a CTA, and who has touched what since when.
//
// Each warp has a clock of all warps' synchronisations that it has learnt of through barriers (a vector
// clock: Lamport 1978, Fidge 1988; used for races as in FastTrack, Flanagan and Freund 2009). An access
// remembers its thread and that thread's warp's time. Two accesses are ordered if the later one's warp has
// heard of a synchronisation after the earlier one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace cardinal::simt {

inline constexpr uint32_t kWarpSize = 32, kMaxThreads = 1024, kMaxWarps = kMaxThreads / kWarpSize;
// Of compute capability 9.0 and 10.0: 228 KiB an SM, 1 KiB of it the system's.
inline constexpr uint32_t kMaxSharedBytes = 227u << 10;
// Between two variables, so that running over the end of one does not end in the next.
inline constexpr uint32_t kSharedGap = 256;
inline constexpr uint32_t kSharedArena = 512u << 10;

struct SharedRange {
  uint32_t begin = 0, end = 0;
};

class WarpClocks {
 public:
  void start(uint32_t warps);  // a new CTA: everything before is in the past
  // Orders all that these warps did before against all that they do afterwards.
  void synchronise(uint32_t warp_mask);
  uint32_t now(uint32_t warp) const { return seen_[warp][warp]; }
  // Whether thread `a`'s access at `time` happens before whatever thread `b` does now.
  bool before(uint32_t a, uint32_t time, uint32_t b) const {
    const uint32_t wa = a / kWarpSize, wb = b / kWarpSize;
    return time < seen_[wb][wa] || a == b;
  }
  // Whether an access at `time` of any thread whatever happens before what this warp does now.
  bool all_before(uint32_t time, uint32_t warp) const;

 private:
  uint32_t time_ = 0, warps_ = 0;
  std::array<std::array<uint32_t, kMaxWarps>, kMaxWarps> seen_{};
};

class SharedMemory {
 public:
  SharedMemory();
  static unsigned char* base();  // of the one arena that all kernels are compiled to use
  static bool contains(const void* address) { return address >= base() && address < base() + kSharedArena; }

  // What a kernel may touch.
  void start_kernel(std::vector<SharedRange> ranges);
  void start_cta(uint32_t warps);
  WarpClocks& clocks() { return clocks_; }

  // Each returns what is wrong with the access, if anything is. `offset` is from base().
  using Problem = std::optional<std::string>;
  Problem check_bounds(size_t offset, size_t bytes) const;
  Problem read(uint32_t thread, size_t offset, size_t bytes);
  Problem write(uint32_t thread, size_t offset, size_t bytes);
  // A copy into shared memory: a write now and, until it has been delivered, nobody's to touch.
  Problem begin_copy(uint32_t thread, size_t offset, size_t bytes);
  void end_copy(uint32_t thread, size_t offset, size_t bytes);

 private:
  struct Granule {  // two bytes: the smallest element that two threads may write side by side
    uint32_t write_time = 0, read_time = 0;
    uint16_t writer = 0, reader = 0;
    bool in_flight = false;
    // Besides `reader`: other lanes of its warp, threads of other warps.
    bool other_lanes = false, other_warps = false;
  };
  void note_read(Granule&, uint32_t thread);
  bool reads_before(const Granule&, uint32_t thread) const;

  WarpClocks clocks_;
  std::vector<SharedRange> ranges_;
  std::vector<Granule> granules_;
};

}  // namespace cardinal::simt
