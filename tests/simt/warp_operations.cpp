// Operations that the lanes of a warp do together, and barriers.
#include <algorithm>
#include <array>
#include <bit>

#include "tests/simt/cta.h"

namespace cardinal::simt {

namespace {

using enum Operation::Scope;

template <class F>
void for_each_lane(uint32_t lanes, F f) {
  for (uint32_t rest = lanes; rest; rest &= rest - 1) f(static_cast<uint32_t>(std::countr_zero(rest)));
}

enum Shuffle { kUp, kDown, kBfly, kIdx };
constexpr int kPredicate = 4;  // the result has a second member: whether the source lane was in range

// shfl.sync: in = mask, value, lane or delta, clamp and segment (PTX ISA, "shfl.sync")
void shuffle(const WarpCall& c) {
  const int detail = c.site.operation->detail;
  std::array<Slot, kWarpSize> values{};
  for_each_lane(c.lanes, [&](uint32_t lane) { values[lane] = c.in(lane)[1]; });
  for_each_lane(c.lanes, [&](uint32_t lane) {
    const auto b = static_cast<int>(c.in(lane)[2] & 0x1f);
    const auto control = static_cast<int>(c.in(lane)[3]);
    const int clamp = control & 0x1f, segment = control >> 8 & 0x1f, self = static_cast<int>(lane);
    const int last = (self & segment) | (clamp & ~segment), first = self & segment;
    int source = self;
    bool in_range = false;
    switch (detail & ~kPredicate) {
      case kUp:
        source = self - b;
        in_range = source >= last;
        break;
      case kDown:
        source = self + b;
        in_range = source <= last;
        break;
      case kBfly:
        source = self ^ b;
        in_range = source <= last;
        break;
      case kIdx:
        source = first | (b & ~segment);
        in_range = source <= last;
        break;
    }
    if (!in_range) source = self;
    if (!(c.lanes >> source & 1))
      return c.cta.fail(c.first_thread + lane, c.site, "reads from a lane that does not take part");
    c.out(lane)[0] = values[static_cast<size_t>(source)];
    if (detail & kPredicate) c.out(lane)[1] = in_range;
  });
}

enum Vote { kAll, kAny, kUni, kBallot };

// in = mask, predicate
void vote(const WarpCall& c) {
  uint32_t ballot = 0;
  for_each_lane(c.lanes, [&](uint32_t lane) { ballot |= static_cast<uint32_t>(c.in(lane)[1] & 1) << lane; });
  const std::array<uint32_t, 4> results = {ballot == c.lanes, ballot != 0, ballot == 0 || ballot == c.lanes,
                                           ballot};
  for_each_lane(c.lanes, [&](uint32_t lane) {
    c.out(lane)[0] = results[static_cast<size_t>(c.site.operation->detail)];
  });
}

enum Reduction { kAdd, kMin, kMax, kUnsignedMin, kUnsignedMax, kAnd, kOr, kXor };

uint32_t combine(int reduction, uint32_t a, uint32_t b) {
  const auto sa = static_cast<int32_t>(a), sb = static_cast<int32_t>(b);
  switch (reduction) {
    case kAdd:
      return a + b;
    case kMin:
      return static_cast<uint32_t>(std::min(sa, sb));
    case kMax:
      return static_cast<uint32_t>(std::max(sa, sb));
    case kUnsignedMin:
      return std::min(a, b);
    case kUnsignedMax:
      return std::max(a, b);
    case kAnd:
      return a & b;
    case kOr:
      return a | b;
    default:
      return a ^ b;
  }
}

// in = value, mask
void reduce(const WarpCall& c) {
  const auto first = static_cast<uint32_t>(std::countr_zero(c.lanes));
  auto result = static_cast<uint32_t>(c.in(first)[0]);
  for_each_lane(c.lanes & (c.lanes - 1), [&](uint32_t lane) {
    result = combine(c.site.operation->detail, result, static_cast<uint32_t>(c.in(lane)[0]));
  });
  for_each_lane(c.lanes, [&](uint32_t lane) { c.out(lane)[0] = result; });
}

void synchronise_warp(const WarpCall& c) {
  c.cta.shared().clocks().synchronise(1u << (c.first_thread / kWarpSize));
}

constexpr int kCounted = 1;  // the second argument says how many threads a barrier waits for

constexpr Operation kOperations[] = {
    {"shfl.sync.up.i32", warp, nullptr, shuffle, 0, kUp},
    {"shfl.sync.up.f32", warp, nullptr, shuffle, 0, kUp},
    {"shfl.sync.up.i32p", warp, nullptr, shuffle, 0, kUp | kPredicate},
    {"shfl.sync.up.f32p", warp, nullptr, shuffle, 0, kUp | kPredicate},
    {"shfl.sync.down.i32", warp, nullptr, shuffle, 0, kDown},
    {"shfl.sync.down.f32", warp, nullptr, shuffle, 0, kDown},
    {"shfl.sync.down.i32p", warp, nullptr, shuffle, 0, kDown | kPredicate},
    {"shfl.sync.down.f32p", warp, nullptr, shuffle, 0, kDown | kPredicate},
    {"shfl.sync.bfly.i32", warp, nullptr, shuffle, 0, kBfly},
    {"shfl.sync.bfly.f32", warp, nullptr, shuffle, 0, kBfly},
    {"shfl.sync.bfly.i32p", warp, nullptr, shuffle, 0, kBfly | kPredicate},
    {"shfl.sync.bfly.f32p", warp, nullptr, shuffle, 0, kBfly | kPredicate},
    {"shfl.sync.idx.i32", warp, nullptr, shuffle, 0, kIdx},
    {"shfl.sync.idx.f32", warp, nullptr, shuffle, 0, kIdx},
    {"shfl.sync.idx.i32p", warp, nullptr, shuffle, 0, kIdx | kPredicate},
    {"shfl.sync.idx.f32p", warp, nullptr, shuffle, 0, kIdx | kPredicate},
    {"vote.all.sync", warp, nullptr, vote, 0, kAll},
    {"vote.any.sync", warp, nullptr, vote, 0, kAny},
    {"vote.uni.sync", warp, nullptr, vote, 0, kUni},
    {"vote.ballot.sync", warp, nullptr, vote, 0, kBallot},
    {"redux.sync.add", warp, nullptr, reduce, 1, kAdd},
    {"redux.sync.min", warp, nullptr, reduce, 1, kMin},
    {"redux.sync.max", warp, nullptr, reduce, 1, kMax},
    {"redux.sync.umin", warp, nullptr, reduce, 1, kUnsignedMin},
    {"redux.sync.umax", warp, nullptr, reduce, 1, kUnsignedMax},
    {"redux.sync.and", warp, nullptr, reduce, 1, kAnd},
    {"redux.sync.or", warp, nullptr, reduce, 1, kOr},
    {"redux.sync.xor", warp, nullptr, reduce, 1, kXor},
    {"bar.warp.sync", warp, nullptr, synchronise_warp, 0},
    {"barrier.cta.sync.aligned.all", cta, nullptr, nullptr, Operation::kAligned},
    {"barrier.cta.sync.aligned.count", cta, nullptr, nullptr, Operation::kAligned, kCounted},
    {"barrier.cta.sync.all", cta, nullptr, nullptr, Operation::kAnyPlace},
    {"barrier.cta.sync.count", cta, nullptr, nullptr, Operation::kAnyPlace, kCounted},
};

}  // namespace

std::span<const Operation> warp_operations() { return kOperations; }

}  // namespace cardinal::simt
