// The shared memory of a CTA, and who has touched what since when.
//
// Each warp has a clock of all warps' synchronisations that it has learnt of through barriers (a vector
// clock: Lamport 1978, Fidge 1988; used for races as in FastTrack, Flanagan and Freund 2009). An access
// remembers its thread and that thread's warp's time. Two accesses are ordered if the later one's warp has
// heard of a synchronisation after the earlier one.
//
// Besides that, each warp has a clock of the writes through the generic proxy that fences of the asynchronous
// proxy have covered, as far as it knows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/simt/operation.h"

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

// What an mbarrier hands from those that arrive to those that wait.
struct Clock {
  std::array<uint32_t, kMaxWarps> seen{}, fenced{};
};

class WarpClocks {
 public:
  void start(uint32_t warps);  // a new CTA: everything before is in the past
  // Orders all that these warps did before against all that they do afterwards.
  void synchronise(uint32_t warp_mask);
  uint32_t now(uint32_t warp) const { return seen_[warp][warp]; }
  // One side and the other of an mbarrier. Lanes of a warp arrive one after another and are not ordered by
  // it.
  void release(uint32_t warp, Clock& to);
  void acquire(uint32_t warp, const Clock& from);
  // fence.proxy.async by a thread of the warp: of all writes that it knows of.
  void fence(uint32_t warp);
  bool fenced(uint32_t writer, uint32_t time, uint32_t warp) const {
    return time < fenced_[warp][writer / kWarpSize];
  }
  bool in_this_cta(uint32_t time) const { return time > start_; }
  // Whether thread `a`'s access at `time` happens before whatever thread `b` does now.
  bool before(uint32_t a, uint32_t time, uint32_t b) const {
    const uint32_t wa = a / kWarpSize, wb = b / kWarpSize;
    return a == b || time < (wa == wb ? synchronised_[wb] : seen_[wb][wa]);
  }
  // Whether a warp's own lanes' accesses at `time` happen before what they all do now.
  bool before_lanes(uint32_t time, uint32_t warp) const { return time < synchronised_[warp]; }
  // Whether accesses of any lanes happen before what this warp does now; `times` has each warp's last.
  bool all_before(const std::array<uint32_t, kMaxWarps>& times, uint32_t warp) const;

 private:
  void tick(uint32_t warp) { seen_[warp][warp] = ++time_; }

  uint32_t time_ = 0, start_ = 0, warps_ = 0;
  using Matrix = std::array<std::array<uint32_t, kMaxWarps>, kMaxWarps>;
  Matrix seen_{}, fenced_{};
  std::array<uint32_t, kMaxWarps> synchronised_{};  // when the warp's lanes last met
};

class SharedMemory {
 public:
  SharedMemory();
  static unsigned char* base();  // of the one arena that all kernels are compiled to use
  static bool contains(const void* address) { return address >= base() && address < base() + kSharedArena; }
  static uint32_t offset_of(Slot pointer) {
    return static_cast<uint32_t>(reinterpret_cast<const unsigned char*>(pointer) - base());
  }

  // What a kernel may touch.
  void start_kernel(std::vector<SharedRange> ranges);
  void start_cta(uint32_t warps);
  WarpClocks& clocks() { return clocks_; }

  // Each returns what is wrong with the access, if anything is. `offset` is from base().
  using Problem = std::optional<std::string>;
  Problem check_bounds(size_t offset, size_t bytes) const;
  Problem read(uint32_t thread, size_t offset, size_t bytes);
  Problem write(uint32_t thread, size_t offset, size_t bytes);
  // A copy into shared memory: a write now and, until it has been delivered, nobody's to touch. Who waited
  // for the copy has written it, unless an mbarrier says when it was delivered.
  Problem begin_copy(uint32_t thread, size_t offset, size_t bytes);
  void end_copy(uint32_t thread, size_t offset, size_t bytes);
  void end_copy_by_barrier(size_t offset, size_t bytes);
  // The same through the asynchronous proxy.
  Problem begin_bulk_copy(uint32_t thread, size_t offset, size_t bytes);
  // A read through the asynchronous proxy by a warp's wgmma: until its end nobody's to write.
  Problem begin_matrix_read(uint32_t warp, size_t offset, size_t bytes);
  void end_matrix_read(uint32_t warp, size_t offset, size_t bytes);
  // The 8 bytes of an mbarrier: its initialisation, and whether a thread, or the asynchronous proxy on behalf
  // of one, may use it.
  Problem init_barrier(uint32_t thread, size_t offset);
  Problem use_barrier(uint32_t thread, size_t offset, bool asynchronous) const;

 private:
  struct Granule {  // two bytes: the smallest element that two threads may write side by side
    uint32_t write_time = 0, read_time = 0;
    uint32_t warp_reads = 0;  // where in warp_reads_, once threads of several warps have read
    uint16_t writer = 0, reader = 0;
    uint8_t matrix_reads = 0;  // in flight
    bool in_flight : 1 = false;
    // Besides `reader`: other lanes of its warp, threads of other warps.
    bool other_lanes : 1 = false, other_warps : 1 = false;
    bool asynchronous : 1 = false;  // written through that proxy
    bool barrier : 1 = false;       // of this CTA
  };
  void note_read(Granule&, uint32_t thread);
  void note_warp_read(Granule&, uint32_t warp);
  bool reads_before(const Granule&, uint32_t thread) const;

  WarpClocks clocks_;
  std::vector<SharedRange> ranges_;
  std::vector<Granule> granules_;
  // When each warp last read a granule. The first is nobody's.
  std::vector<std::array<uint32_t, kMaxWarps>> warp_reads_{1};
};

}  // namespace cardinal::simt
