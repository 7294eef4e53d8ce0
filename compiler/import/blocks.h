// Blocks of the language for pieces of a network that repeat.
#pragma once

#include <string>
#include <vector>

#include "compiler/import/network.h"
#include "compiler/import/source_writer.h"

namespace cardinal::onnx_import {

struct BlockProgram {
  std::vector<std::string> blocks;  // declarations
  std::vector<SourceCall> calls;    // of the network, whose values are numbered as its layers
};

// Finds the blocks and writes the network with them. Layers of repeating pieces that the model does not name
// as one are given new names here. The network must be in written order.
BlockProgram recover_blocks(Network& network);

}  // namespace cardinal::onnx_import
