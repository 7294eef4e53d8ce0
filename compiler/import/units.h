// Pieces of a network that may be instances of one block.
#pragma once

#include <string>
#include <vector>

#include "compiler/import/network.h"

namespace cardinal::onnx_import {

// The layers from `begin` up to, without, `end`: they take one value from before, `input`, and of theirs only
// the last is used later.
struct Unit {
  size_t begin = 0, end = 0;
  size_t input = 0;
  std::string path;  // what its layers' names begin with; "" if they share nothing
  size_t tail =
      0;  // how many layers behind it could belong to it too: activations, and the order of channels
};

// In order, not overlapping. The network must be in written order.
std::vector<Unit> find_units(const Network& network);

}  // namespace cardinal::onnx_import
