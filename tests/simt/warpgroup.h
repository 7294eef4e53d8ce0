// wgmma's products in flight. A sum that a product is to change reads as a NaN that names it, until the wait
// that hands the sums out.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "tests/simt/operation.h"
#include "tests/simt/shared_memory.h"

namespace cardinal::simt {

struct PendingSum {
  float value = 0;
  uint64_t product = 0;  // the last one that changes it
};

struct WarpProducts {  // of a warp
  struct Group {
    uint64_t last = 0;  // product
    std::vector<SharedRange> reads;
  };
  uint64_t issued = 0, retired = 0;  // products are numbered from 1 on
  Group open;
  std::deque<Group> committed;
  bool registers_fenced = false;
};

struct ProductCall {  // the warps of a warpgroup must make the same ones
  const Site* site = nullptr;
  uint64_t a = 0, b = 0;
};

constexpr uint32_t kWarpsOfGroup = 4;

}  // namespace cardinal::simt
