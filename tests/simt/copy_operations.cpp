// cp.async: copies from global to shared memory in the background. They may be seen half done or not at all
// until they are waited for, so the destination is NaN until then.
#include <fmt/format.h>

#include <cstring>

#include "tests/simt/cta.h"

namespace cardinal::simt {

void deliver(const Copy& copy) {
  unsigned char* destination = SharedMemory::base() + copy.shared_offset;
  if (copy.source_bytes) std::memcpy(destination, copy.source, copy.source_bytes);
  std::memset(destination + copy.source_bytes, 0, copy.bytes - copy.source_bytes);
}

namespace {

using enum Operation::Scope;

// detail: bytes, negative if there is an argument that says how many of them to read; the rest becomes zero
void issue(const ThreadCall& c) {
  const int detail = c.site.operation->detail;
  const auto bytes = static_cast<uint32_t>(detail < 0 ? -detail : detail);
  const uint32_t source_bytes = detail < 0 ? static_cast<uint32_t>(c.in[2]) : bytes;
  auto* destination = reinterpret_cast<unsigned char*>(c.in[0]);
  const auto* source = reinterpret_cast<const unsigned char*>(c.in[1]);
  const auto refuse = [&](const std::string& message) { c.cta.fail(c.thread.id, c.site, message); };
  if (source_bytes > bytes) return refuse(fmt::format("copies {} bytes of {}", source_bytes, bytes));
  if (c.in[0] % bytes || c.in[1] % bytes)
    return refuse(fmt::format("an address of the copy is not aligned to {} bytes", bytes));
  if (!SharedMemory::contains(destination)) return refuse("the copy's destination is not shared memory");
  if (source_bytes && !c.cta.check(c.thread.id, source, source_bytes, false, c.site)) return;
  const auto offset = static_cast<uint32_t>(destination - SharedMemory::base());
  if (const auto problem = c.cta.shared().begin_copy(c.thread.id, offset, bytes)) return refuse(*problem);
  std::memset(destination, 0xff, bytes);
  c.thread.open_group.push_back({offset, bytes, source_bytes, source});
}

void commit(const ThreadCall& c) {
  c.thread.groups.push_back(std::move(c.thread.open_group));
  c.thread.open_group.clear();
}

void deliver_group(const ThreadCall& c, const std::vector<Copy>& group) {
  for (const Copy& copy : group) {
    deliver(copy);
    c.cta.shared().end_copy(c.thread.id, copy.shared_offset, copy.bytes);
  }
}

void wait_for_all_but(const ThreadCall& c, size_t left) {
  auto& groups = c.thread.groups;
  if (groups.size() <= left) return;
  const auto end = groups.end() - static_cast<ptrdiff_t>(left);
  for (auto group = groups.begin(); group != end; ++group) deliver_group(c, *group);
  groups.erase(groups.begin(), end);
}

void wait_group(const ThreadCall& c) { wait_for_all_but(c, c.in[0]); }

void wait_all(const ThreadCall& c) {
  c.cta.deliver_arrivals(c.thread, c.thread.arrivals.size());
  commit(c);
  wait_for_all_but(c, 0);
}

// In = an mbarrier. It takes over all copies of the thread that are under way.
void arrive_after_copies(const ThreadCall& c) {
  const uint32_t offset = SharedMemory::offset_of(c.in[0]);
  if (const auto problem = c.cta.shared().use_barrier(c.thread.id, offset, false))
    return c.cta.fail(c.thread.id, c.site, *problem);
  Mbarrier& barrier = c.cta.mbarriers().at(offset);
  if (barrier.arrived + barrier.deferred == barrier.expected && !c.cta.complete_phase(offset))
    return c.cta.fail(c.thread.id, c.site, "arrives where all arrivals of the phase have come");
  DeferredArrival arrival{offset, std::move(c.thread.open_group)};
  c.thread.open_group.clear();
  for (const auto& group : c.thread.groups)
    arrival.copies.insert(arrival.copies.end(), group.begin(), group.end());
  c.thread.groups.clear();
  c.thread.arrivals.push_back(std::move(arrival));
  ++barrier.deferred;
  c.cta.shared().clocks().release(c.thread.id / kWarpSize, barrier.arriving);
}

constexpr Operation kOperations[] = {
    {"cp.async.ca.shared.global.4", thread, issue, nullptr, 0, 4},
    {"cp.async.ca.shared.global.8", thread, issue, nullptr, 0, 8},
    {"cp.async.ca.shared.global.16", thread, issue, nullptr, 0, 16},
    {"cp.async.cg.shared.global.16", thread, issue, nullptr, 0, 16},
    {"cp.async.ca.shared.global.4.s", thread, issue, nullptr, 0, -4},
    {"cp.async.ca.shared.global.8.s", thread, issue, nullptr, 0, -8},
    {"cp.async.ca.shared.global.16.s", thread, issue, nullptr, 0, -16},
    {"cp.async.cg.shared.global.16.s", thread, issue, nullptr, 0, -16},
    {"cp.async.commit.group", thread, commit},
    {"cp.async.wait.group", thread, wait_group},
    {"cp.async.wait.all", thread, wait_all},
    {"cp.async.mbarrier.arrive.noinc.shared", thread, arrive_after_copies},
};

}  // namespace

std::span<const Operation> copy_operations() { return kOperations; }

}  // namespace cardinal::simt
