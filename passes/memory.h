// Static memory planning: one arena, every buffer at a fixed offset for as long as it is needed.
#pragma once

#include <cstdint>
#include <vector>

namespace cardinal {

struct BufferLife {
  int64_t floats = 0;
  int first = 0, last = 0;  // steps, inclusive, between which the contents matter
};

struct Arena {
  std::vector<int64_t> offsets;  // floats, multiples of 16
  int64_t floats = 0;
};

// Places buffers so that no two overlap in both time and space. Largest first, each into the smallest gap
// left by those placed before it that live at the same time (Pisarchyk and Lee 2020, "greedy by size").
Arena plan_memory(const std::vector<BufferLife>&);

}  // namespace cardinal
