// A convolution built by hand from its numbers, with the interpreter's result as its reference.
#pragma once

#include <string>

#include "ir/ops/conv.h"
#include "tests/codegen/step_batch.h"

namespace cardinal::testing {

struct ConvCase {
  Shape x{1, 16, 8, 8};
  Conv op{16, {3, 3}};  // its padding must be explicit, its epilogue empty
  ConvAlgorithm algorithm = ConvAlgorithm::direct;
  int pixels = 7, panel = 1, k_unroll = 4;
  int rows = 1;                     // of a tile: more only with lanes
  int64_t strip = 0;                // of tiles
  int64_t pass_blocks = 0;          // direct only
  SumBlock sum;                     // direct only
  Epilogue epilogue;                // on top of the op
  bool broadcast_operands = false;  // the epilogue's operands are [N, C, 1, 1]
  bool in_place = false;            // the epilogue's first operand is where the output is
  // Whether the kernel also adds up rows, and which result is checked then. Grouped convolutions only.
  enum class RowSums : uint8_t { none, beside, averaged } row_sums = RowSums::none;
  Layout x_layout = Layout::nchw16c, out_layout = Layout::nchw16c;
  int64_t misalignment = 0;  // floats that x and the output are off a 64-byte boundary; not for nchw16c
  std::string text() const;
};

// Adds the step, or Winograd's three, or it and the global average of its rows' sums, to the batch. The
// tolerance follows from the length of the reduction: n products added up one by one in float are off by
// about sqrt(n) roundings of the sum of their sizes. With Winograd, whose reduction is shorter, it follows
// from how much its transforms amplify roundings.
void add_conv(StepBatch&, const ConvCase&, uint32_t seed);

}  // namespace cardinal::testing
