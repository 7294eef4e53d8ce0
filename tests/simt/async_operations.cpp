// mbarriers, bulk copies that report to them, the fence between the proxies, and warps' shares of registers.
#include <fmt/format.h>

#include <cstring>

#include "tests/simt/cta.h"

namespace cardinal::simt {

namespace {

using enum Operation::Scope;

uint32_t warp_of(const ThreadCall& c) { return c.thread.id / kWarpSize; }

// Null, and the thread has failed, if there is none that it may use.
Mbarrier* barrier_at(const ThreadCall& c, Slot pointer, bool asynchronous = false) {
  const uint32_t offset = SharedMemory::offset_of(pointer);
  if (const auto problem = c.cta.shared().use_barrier(c.thread.id, offset, asynchronous)) {
    c.cta.fail(c.thread.id, c.site, *problem);
    return nullptr;
  }
  return &c.cta.mbarriers().at(offset);
}

// in = mbarrier, arrivals
void init(const ThreadCall& c) {
  const uint32_t offset = SharedMemory::offset_of(c.in[0]);
  const auto arrivals = static_cast<uint32_t>(c.in[1]);
  if (arrivals == 0) return c.cta.fail(c.thread.id, c.site, "an mbarrier expects at least one arrival");
  if (const auto problem = c.cta.shared().init_barrier(c.thread.id, offset))
    return c.cta.fail(c.thread.id, c.site, *problem);
  c.cta.mbarriers()[offset].expected = arrivals;
}

constexpr int kExpectsBytes = 1;

// in = mbarrier, and bytes if expected
void arrive(const ThreadCall& c) {
  Mbarrier* barrier = barrier_at(c, c.in[0]);
  if (!barrier) return;
  const uint32_t offset = SharedMemory::offset_of(c.in[0]);
  if (barrier->arrived + barrier->deferred == barrier->expected && !c.cta.complete_phase(offset))
    return c.cta.fail(c.thread.id, c.site, "arrives where all arrivals of the phase have come");
  if (c.site.operation->detail == kExpectsBytes) barrier->announced += static_cast<uint32_t>(c.in[1]);
  c.out[0] = barrier->phase;
  ++barrier->arrived;
  c.cta.shared().clocks().release(warp_of(c), barrier->arriving);
}

// in = mbarrier, parity
void check_wait(const ThreadCall& c) { barrier_at(c, c.in[0]); }

bool phase_is_over(const ThreadCall& c) {
  const uint32_t offset = SharedMemory::offset_of(c.in[0]);
  const Mbarrier& barrier = c.cta.mbarriers().at(offset);
  if ((barrier.phase & 1) == (c.in[1] & 1) && !c.cta.complete_phase(offset)) return false;
  c.cta.shared().clocks().acquire(warp_of(c), barrier.completed);
  c.out[0] = 1;
  c.thread.asks_again = false;
  return true;
}

// in = to, mbarrier, from, bytes, then what is for clusters and caches
void copy_bulk(const ThreadCall& c) {
  constexpr uint32_t kUnit = 16;
  const auto refuse = [&](const std::string& message) { c.cta.fail(c.thread.id, c.site, message); };
  const auto* from = reinterpret_cast<const unsigned char*>(c.in[2]);
  const auto bytes = static_cast<uint32_t>(c.in[3]);
  if (bytes % kUnit || c.in[0] % kUnit || c.in[2] % kUnit)
    return refuse("the size or an address of the bulk copy is not a multiple of 16 bytes");
  if (c.in[6] & 1) return refuse("a multicast is not emulated");
  if (!SharedMemory::contains(reinterpret_cast<const void*>(c.in[0])))
    return refuse("the bulk copy's destination is not shared memory");
  Mbarrier* barrier = barrier_at(c, c.in[1], true);
  if (!barrier || !c.cta.check(c.thread.id, from, bytes, false, c.site)) return;
  const uint32_t offset = SharedMemory::offset_of(c.in[0]);
  if (const auto problem = c.cta.shared().begin_bulk_copy(c.thread.id, offset, bytes))
    return refuse(*problem);
  std::memset(SharedMemory::base() + offset, 0xff, bytes);
  barrier->copies.push_back({offset, bytes, bytes, from});
  // Who waits for the barrier comes after the copy's beginning.
  c.cta.shared().clocks().release(warp_of(c), barrier->arriving);
}

void fence_proxies(const ThreadCall& c) { c.cta.shared().clocks().fence(warp_of(c)); }

// in = registers
void set_registers(const WarpCall& c) {
  const Slot count = c.in(0)[0];
  if (count % 8 || count < 24 || count > 256)
    c.cta.fail(c.first_thread, c.site, "registers must be a multiple of 8 from 24 to 256");
}

constexpr Operation kOperations[] = {
    {"mbarrier.init.shared", thread, init},
    {"mbarrier.arrive.shared", thread, arrive},
    {"mbarrier.arrive.expect.tx.scope.cta.space.cta", thread, arrive, nullptr, 0, kExpectsBytes},
    {"mbarrier.try.wait.parity.scope.cta.space.cta", wait, check_wait, nullptr, 0, 0, phase_is_over},
    {"cp.async.bulk.global.to.shared.cluster", thread, copy_bulk},
    {"fence.proxy.async.shared_cta", thread, fence_proxies},
    {"setmaxnreg.inc.sync.aligned.u32", warp, nullptr, set_registers},
    {"setmaxnreg.dec.sync.aligned.u32", warp, nullptr, set_registers},
};

}  // namespace

std::span<const Operation> async_operations() { return kOperations; }

}  // namespace cardinal::simt
