// Which warp runs next, and when the operations that threads wait for together take place.
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "tests/simt/cta.h"

namespace cardinal::simt {

std::string_view schedule_name(Schedule schedule) {
  switch (schedule) {
    case Schedule::forward:
      return "forward";
    case Schedule::random:
      return "random";
    case Schedule::first_warp_ahead:
      return "first warp ahead";
    case Schedule::last_warp_ahead:
      return "last warp ahead";
  }
  return "?";
}

void Cta::schedule() {
  while (done_ < thread_count_ && !failed()) {
    if (const std::optional<uint32_t> warp = choose_warp())
      run_warp(*warp);
    else
      report_deadlock();
  }
}

bool Cta::is_ready(uint32_t warp) {
  const uint32_t begin = warp * kWarpSize, end = std::min(begin + kWarpSize, thread_count_);
  return std::any_of(threads_.begin() + begin, threads_.begin() + end,
                     [this](Thread& thread) { return can_run(thread); });
}

// Whether the thread waits for nothing, or no longer.
bool Cta::can_run(Thread& thread) {
  if (thread.state == Thread::State::waiting && thread.site->operation->scope == Operation::Scope::wait &&
      thread.site->operation->ready({*this, thread, *thread.site, thread.in, thread.out}))
    thread.state = Thread::State::ready;
  return thread.state == Thread::State::ready;
}

std::optional<uint32_t> Cta::choose_warp() {
  uint32_t first = 0, direction = 1;
  switch (launch_->schedule) {
    case Schedule::forward:
      first = next_warp_++;
      break;
    case Schedule::random:
      first = static_cast<uint32_t>(random_() % warp_count_);
      std::shuffle(lane_order_.begin(), lane_order_.end(), random_);
      break;
    case Schedule::first_warp_ahead:
      break;
    case Schedule::last_warp_ahead:
      first = warp_count_ - 1;
      direction = warp_count_ - 1;  // backwards, modulo the number of warps
      break;
  }
  for (uint32_t i = 0; i < warp_count_; ++i) {
    const uint32_t warp = (first + i * direction) % warp_count_;
    if (is_ready(warp)) return warp;
  }
  return {};
}

// Runs each lane until it waits or ends, then does what they wait for.
void Cta::run_warp(uint32_t warp) {
  for (uint32_t lane : lane_order_) {
    const uint32_t id = warp * kWarpSize + lane;
    if (id >= thread_count_ || !can_run(threads_[id])) continue;
    running_ = &threads_[id];
    simt_switch(&scheduler_stack_, running_->stack);
    if (failed()) return;
  }
  if (complete_warp_operations(warp) || failed()) return;
  arrive_at_barriers(warp);
}

// Does every operation of the warp whose lanes have all arrived. False if there is none.
bool Cta::complete_warp_operations(uint32_t warp) {
  const uint32_t first = warp * kWarpSize, lanes = std::min(kWarpSize, thread_count_ - first);
  const auto all = static_cast<uint32_t>((uint64_t{1} << lanes) - 1);
  bool any = false;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    const Thread& leader = threads_[first + lane];
    if (leader.state != Thread::State::waiting || leader.site->operation->scope != Operation::Scope::warp)
      continue;
    const Operation& operation = *leader.site->operation;
    const bool aligned = operation.mask == Operation::kAligned;
    const uint32_t mask = aligned ? all : static_cast<uint32_t>(leader.in[operation.mask]) & all;
    bool complete = mask >> lane & 1;
    for (uint32_t rest = mask; rest && complete; rest &= rest - 1) {
      const Thread& other = threads_[first + static_cast<uint32_t>(std::countr_zero(rest))];
      complete = other.state == Thread::State::waiting && other.site == leader.site &&
                 (aligned || (static_cast<uint32_t>(other.in[operation.mask]) & all) == mask);
    }
    if (!complete) continue;
    any = true;
    operation.by_warp({*this, first, mask, *leader.site});
    for (uint32_t rest = mask; rest; rest &= rest - 1)
      threads_[first + static_cast<uint32_t>(std::countr_zero(rest))].state = Thread::State::ready;
  }
  return any;
}

// Called when no lane of the warp can go on: then all of them must be at barriers or have ended, unless some
// wait for what others do.
void Cta::arrive_at_barriers(uint32_t warp) {
  const uint32_t first = warp * kWarpSize, lanes = std::min(kWarpSize, thread_count_ - first);
  const Site* place = nullptr;
  uint32_t waiting = 0, done = 0;
  bool aligned = false, together = true;
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    const Thread& thread = threads_[first + lane];
    if (thread.state == Thread::State::done) {
      ++done;
      continue;
    }
    if (thread.site->operation->scope == Operation::Scope::wait) return;
    if (thread.site->operation->scope != Operation::Scope::cta) return report_divergence(warp);
    aligned |= thread.site->operation->mask == Operation::kAligned;
    together &= !place || place == thread.site;
    place = thread.site;
    ++waiting;
  }
  if (waiting == 0) return;
  if (aligned && (done || !together)) return report_divergence(warp);
  for (uint32_t lane = 0; lane < lanes; ++lane) {
    Thread& thread = threads_[first + lane];
    if (thread.state != Thread::State::waiting || thread.counted) continue;
    thread.counted = true;
    Barrier& barrier = barriers_[static_cast<uint32_t>(thread.in[0])];
    barrier.expected = thread.site->operation->detail ? thread.in[1] : thread_count_;
    barrier.warps |= 1u << warp;
    barrier.threads.push_back(thread.id);
  }
  release_full_barriers();
}

void Cta::release_full_barriers() {
  for (auto it = barriers_.begin(); it != barriers_.end();) {
    const Barrier& barrier = it->second;
    if (barrier.threads.size() < barrier.expected) {
      ++it;
      continue;
    }
    shared_.clocks().synchronise(barrier.warps);
    for (uint32_t id : barrier.threads) threads_[id].state = Thread::State::ready;
    it = barriers_.erase(it);
  }
}

// "lanes 0-15 at barrier..., lanes 16-31 have ended"
std::string Cta::describe_waiting(uint32_t warp) const {
  const uint32_t first = warp * kWarpSize, end = std::min(first + kWarpSize, thread_count_);
  const auto same = [&](const Thread& a, const Thread& b) {
    return a.state == b.state && (a.state == Thread::State::done || a.site == b.site);
  };
  std::string description;
  for (uint32_t t = first; t < end;) {
    uint32_t last = t;
    while (last + 1 < end && same(threads_[t], threads_[last + 1])) ++last;
    const Thread& thread = threads_[t];
    description +=
        fmt::format("{}lanes {}-{} {}", description.empty() ? "" : ", ", t - first, last - first,
                    thread.state == Thread::State::done ? "have ended" : "wait " + thread.site->text);
    t = last + 1;
  }
  return description;
}

void Cta::report_divergence(uint32_t warp) {
  static const Site kNowhere{.text = "they must all come to the same instruction"};
  fail(warp * kWarpSize, kNowhere, "the warp diverges: " + describe_waiting(warp));
}

void Cta::report_deadlock() {
  static const Site kNowhere{.text = "no thread can go on"};
  std::string description = "deadlock";
  for (uint32_t warp = 0; warp < warp_count_; ++warp)
    description += fmt::format("\n  warp {}: {}", warp, describe_waiting(warp));
  fail(0, kNowhere, description);
}

}  // namespace cardinal::simt
