#include "passes/memory.h"

#include <algorithm>
#include <numeric>

#include "ir/type.h"

namespace cardinal {

namespace {

bool alive_together(const BufferLife& a, const BufferLife& b) {
  return a.first <= b.last && b.first <= a.last;
}

}  // namespace

Arena plan_memory(const std::vector<BufferLife>& buffers) {
  constexpr int64_t kAlignFloats = 16;  // CARDINAL_ALIGNMENT
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers[a].floats > buffers[b].floats; });
  Arena arena;
  arena.offsets.resize(buffers.size());
  std::vector<size_t> placed;  // by offset
  for (size_t i : order) {
    const int64_t size = round_up(buffers[i].floats, kAlignFloats);
    int64_t end = 0, best = -1, best_gap = 0;
    for (size_t other : placed) {
      if (!alive_together(buffers[i], buffers[other])) continue;
      const int64_t gap = arena.offsets[other] - end;
      if (gap >= size && (best < 0 || gap < best_gap)) {
        best = end;
        best_gap = gap;
      }
      end = std::max(end, arena.offsets[other] + round_up(buffers[other].floats, kAlignFloats));
    }
    arena.offsets[i] = best >= 0 ? best : end;
    arena.floats = std::max(arena.floats, arena.offsets[i] + size);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), i,
                                   [&](size_t a, size_t b) { return arena.offsets[a] < arena.offsets[b]; }),
                  i);
  }
  return arena;
}

}  // namespace cardinal
