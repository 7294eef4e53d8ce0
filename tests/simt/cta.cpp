#include "tests/simt/cta.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace cardinal::simt {

namespace {

Cta* current_cta = nullptr;

Dim3 unflatten(uint64_t i, const Dim3& extent) {
  return {static_cast<uint32_t>(i % extent.x), static_cast<uint32_t>(i / extent.x % extent.y),
          static_cast<uint32_t>(i / extent.x / extent.y)};
}

std::string text(const Dim3& d) { return fmt::format("({}, {}, {})", d.x, d.y, d.z); }

}  // namespace

const Slot* WarpCall::in(uint32_t lane) const { return cta.thread(first_thread + lane).in; }
Slot* WarpCall::out(uint32_t lane) const { return cta.thread(first_thread + lane).out; }

Cta::Cta() : stacks_(kMaxThreads), threads_(kMaxThreads) {}

Cta& Cta::current() { return *current_cta; }

Status Cta::run(const Kernel& kernel, const Launch& launch, std::vector<GlobalRange> memory) {
  current_cta = this;
  launch_ = &launch;
  kernel_ = &kernel;
  memory_ = std::move(memory);
  last_range_ = 0;
  error_.clear();
  random_.seed(launch.seed);
  thread_count_ = static_cast<uint32_t>(launch.block.count());
  warp_count_ = (thread_count_ + kWarpSize - 1) / kWarpSize;
  pointers_.clear();
  for (const Argument& argument : launch.arguments) pointers_.push_back(argument.data);
  std::vector<SharedRange> shared = kernel.shared;
  if (launch.shared_bytes)
    shared.push_back({kernel.dynamic_begin, kernel.dynamic_begin + launch.shared_bytes});
  shared_.start_kernel(std::move(shared));

  const uint64_t ctas = launch.grid.count();
  std::vector<uint64_t> order(ctas);
  std::iota(order.begin(), order.end(), uint64_t{0});
  if (launch.schedule == Schedule::random) std::shuffle(order.begin(), order.end(), random_);
  if (launch.schedule == Schedule::last_warp_ahead) std::reverse(order.begin(), order.end());
  for (uint64_t i : order) {
    cta_ = unflatten(i, launch.grid);
    run_cta();
    if (failed()) return Diagnostics(error_);
  }
  return ok();
}

void Cta::run_cta() {
  shared_.start_cta(warp_count_);
  barriers_.clear();
  mbarriers_.clear();
  products_.fill({});
  product_calls_.fill({});
  reset_threads();
  schedule();
  if (!failed()) check_end();
}

void Cta::check_end() {
  static const Site kExit{.text = "at the CTA's end"};
  for (const auto& [offset, barrier] : mbarriers_)
    if (!barrier.copies.empty() || barrier.deferred)
      fail(0, kExit,
           fmt::format("copies to the mbarrier at offset {} of shared memory are in flight", offset));
  for (uint32_t warp = 0; warp < warp_count_; ++warp)
    if (products_[warp].issued != product_calls_[warp / kWarpsOfGroup].size())
      fail(warp * kWarpSize, kExit, "has taken part in fewer wgmma than its warpgroup");
}

bool Cta::note_product(uint32_t warp, const ProductCall& call) {
  std::vector<ProductCall>& calls = product_calls_[warp / kWarpsOfGroup];
  const uint64_t place = products_[warp].issued++;
  if (place == calls.size()) {
    calls.push_back(call);
    return true;
  }
  const ProductCall& other = calls[place];
  return other.site == call.site && other.a == call.a && other.b == call.b;
}

void Cta::deliver_arrivals(Thread& thread, size_t count) {
  for (; count > 0; --count) {
    const DeferredArrival arrival = std::move(thread.arrivals.front());
    thread.arrivals.pop_front();
    for (const Copy& copy : arrival.copies) {
      deliver(copy);
      shared_.end_copy_by_barrier(copy.shared_offset, copy.bytes);
    }
    Mbarrier& barrier = mbarriers_.at(arrival.barrier);
    --barrier.deferred;
    ++barrier.arrived;
  }
}

bool Cta::complete_phase(uint32_t offset) {
  Mbarrier& barrier = mbarriers_.at(offset);
  int64_t coming = 0;
  for (const Copy& copy : barrier.copies) coming += copy.bytes;
  if (barrier.arrived + barrier.deferred != barrier.expected || barrier.announced != coming) return false;
  for (uint32_t t = 0; t < thread_count_ && barrier.deferred; ++t) {
    const auto& arrivals = threads_[t].arrivals;
    const auto last = std::find_if(arrivals.rbegin(), arrivals.rend(),
                                   [offset](const DeferredArrival& a) { return a.barrier == offset; });
    deliver_arrivals(threads_[t], static_cast<size_t>(arrivals.rend() - last));
  }
  for (const Copy& copy : barrier.copies) {
    deliver(copy);
    shared_.end_copy_by_barrier(copy.shared_offset, copy.bytes);
  }
  barrier.copies.clear();
  barrier.announced = 0;
  barrier.arrived = 0;
  ++barrier.phase;
  barrier.completed = barrier.arriving;
  return true;
}

void Cta::reset_threads() {
  done_ = next_warp_ = 0;
  for (uint32_t t = 0; t < thread_count_; ++t) {
    Thread& thread = threads_[t];
    thread.state = Thread::State::ready;
    thread.id = t;
    thread.index = unflatten(t, launch_->block);
    thread.stack = stacks_.prepare(t, &Cta::thread_main);
    thread.site = nullptr;
    thread.groups.clear();
    thread.open_group.clear();
    thread.arrivals.clear();
    thread.asks_again = false;
    thread.sums.clear();
  }
  lane_order_.resize(kWarpSize);
  std::iota(lane_order_.begin(), lane_order_.end(), 0u);
}

void Cta::thread_main() {
  Cta& cta = *current_cta;
  cta.kernel_->entry(cta.pointers_.data());
  Thread& thread = *cta.running_;
  static const Site kExit{.text = "at its end"};
  size_t copies = thread.open_group.size();
  for (const auto& group : thread.groups) copies += group.size();
  for (const DeferredArrival& arrival : thread.arrivals) copies += arrival.copies.size();
  const WarpProducts& products = cta.products_[thread.id / kWarpSize];
  if (products.retired != products.issued) cta.fail(thread.id, kExit, "ends with wgmma in flight");
  if (copies) cta.fail(thread.id, kExit, fmt::format("ends with {} copies by cp.async in flight", copies));
  if (cta.stacks_.overflowed(thread.id)) cta.fail(thread.id, kExit, "overflows its stack");
  thread.state = Thread::State::done;
  ++cta.done_;
  cta.leave_thread();
}

// Gives the scheduler its turn for good. Not [[noreturn]]: AddressSanitizer then takes the stack for lost.
void Cta::leave_thread() { simt_switch(&running_->stack, scheduler_stack_); }

void Cta::fail(uint32_t thread, const Site& site, const std::string& message) {
  if (failed()) return;
  error_ = fmt::format("kernel '{}', CTA {}, thread {} (warp {}, lane {}): {}; {} (schedule {}, seed {})",
                       kernel_->name, text(cta_), thread, thread / kWarpSize, thread % kWarpSize, message,
                       site.text, schedule_name(launch_->schedule), launch_->seed);
}

void Cta::call(const Site& site, const Slot* in, Slot* out) {
  Thread& thread = *running_;
  const Operation& operation = *site.operation;
  if (operation.scope == Operation::Scope::thread) {
    operation.by_thread({*this, thread, site, in, out});
    if (failed()) leave_thread();
    return;
  }
  if (operation.scope == Operation::Scope::wait) {
    const ThreadCall wait{*this, thread, site, in, out};
    operation.by_thread(wait);
    if (failed()) return leave_thread();
    out[0] = operation.ready(wait);
    // Hardware may give up waiting: who does not ask again goes on too early.
    if (out[0] || std::exchange(thread.asks_again, true) == false) return;
  }
  thread.site = &site;
  thread.in = in;
  thread.out = out;
  thread.counted = false;
  thread.state = Thread::State::waiting;
  simt_switch(&thread.stack, scheduler_stack_);
}

void Cta::access(const void* address, size_t bytes, const Site& site) {
  if (!check(running_->id, address, bytes, site.write, site)) leave_thread();
}

bool Cta::check(uint32_t thread, const void* address, size_t bytes, bool write, const Site& site) {
  if (reinterpret_cast<uintptr_t>(address) % site.alignment) {
    fail(thread, site, fmt::format("the address is not aligned to {} bytes", site.alignment));
    return false;
  }
  if (!SharedMemory::contains(address))
    return stacks_.contains(address) || check_global(thread, address, bytes, write, site);
  const auto offset = static_cast<size_t>(static_cast<const unsigned char*>(address) - SharedMemory::base());
  // Atomic operations order themselves.
  const SharedMemory::Problem problem = site.atomic ? shared_.check_bounds(offset, bytes)
                                        : write     ? shared_.write(thread, offset, bytes)
                                                    : shared_.read(thread, offset, bytes);
  if (problem) fail(thread, site, *problem);
  return !problem;
}

bool Cta::check_global(uint32_t thread, const void* address, size_t bytes, bool write, const Site& site) {
  const auto* p = static_cast<const unsigned char*>(address);
  const auto holds = [&](const GlobalRange& range) {
    return p >= range.begin && p + bytes <= range.begin + range.bytes;
  };
  const auto allows = [&](const GlobalRange& range) { return holds(range) && (range.writable || !write); };
  if (last_range_ < memory_.size() && allows(memory_[last_range_])) return true;
  const auto found = std::find_if(memory_.begin(), memory_.end(), allows);
  if (found != memory_.end()) {
    last_range_ = static_cast<size_t>(found - memory_.begin());
    return true;
  }
  if (const auto constant = std::find_if(memory_.begin(), memory_.end(), holds); constant != memory_.end()) {
    fail(thread, site, fmt::format("writes to {}, which is read-only", constant->what));
    return false;
  }
  // The argument it most likely belongs to is the nearest one.
  std::string nearest = "the kernel has no memory";
  uint64_t least = UINT64_MAX;
  for (const GlobalRange& range : memory_) {
    const int64_t offset = p - range.begin;
    const uint64_t distance = offset < 0 ? static_cast<uint64_t>(-offset) : static_cast<uint64_t>(offset);
    if (distance >= least) continue;
    least = distance;
    nearest = fmt::format("offset {} of {}, which has {} bytes", offset, range.what, range.bytes);
  }
  fail(thread, site,
       fmt::format("{} {} bytes of global memory out of bounds: {}", write ? "writes" : "reads", bytes,
                   nearest));
  return false;
}

}  // namespace cardinal::simt
