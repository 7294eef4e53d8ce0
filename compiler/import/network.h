// The network that an import makes: layers of the language in order of computation, with their weights.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "compiler/import/onnx_graph.h"
#include "ir/op.h"

namespace cardinal::onnx_import {

struct LayerWeight {
  std::string suffix;  // as the op's Parameter has it
  Shape shape;
  ConstantPtr data;  // floats, in the order of `shape`
};

// Inputs are layers too.
struct Layer {
  OpAttrs op;
  std::vector<size_t> operands;  // indices of earlier layers
  TensorType type;
  std::string name;             // the path of the layer's name; "" if it has none
  std::string scope;            // where in the model the node stood, for layers without a name
  bool has_given_name = false;  // the model's own name for it, which its weights keep
  std::vector<LayerWeight> weights;
};

struct NetworkOutput {
  std::string name;
  size_t layer = 0;
  Layout layout = Layout::nchw;
};

struct Network {
  std::string name;
  std::deque<Layer> layers;  // references to layers stay good while others are added
  std::vector<NetworkOutput> outputs;
};

}  // namespace cardinal::onnx_import
