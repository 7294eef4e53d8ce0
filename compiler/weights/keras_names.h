// What Keras calls the tensors of its HDF5 files.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/weights/wanted.h"
#include "ir/result.h"

namespace cardinal {

// What is known of the layer whose variables a group holds.
struct KerasLayer {
  std::string name;  // the user's, or the one that Keras made up
  bool has_config = false;
  bool scale = true, center = true;  // of normalizations: false leaves out gamma, beta
};
using KerasLayers = std::map<std::string, KerasLayer, std::less<>>;  // by the group: "layers/conv2d_1"

// The layers in a .keras archive's config.json. Layers of models that are written as classes are not in it;
// what is not a configuration has none.
KerasLayers keras_layers(std::string_view config_json);

struct KerasDataset {
  std::string path;  // "layers/conv2d/vars/0"
  size_t rank = 0;
};

// The datasets' names, in order; "" for those that are no weights: of the optimizer, of metrics, of random
// generators.
//
//   model_weights/conv1/conv1/kernel:0    conv1.kernel       .h5, model_weights only if the model was saved
//   whole model_weights/fn/c/kernel:0           fn.c.kernel        in a model within the model
//   layers/conv2d/vars/0                  conv1.kernel       .keras, .weights.h5: named as the layer is, if
//   known stage/blocks/block_1/conv/vars/0      stage.blocks.block_1.conv.kernel    by the attributes of a
//   class
//
// Variables that have numbers for names are told by their ranks: see variable_names in the .cpp.
Result<std::vector<std::string>> keras_names(const std::vector<KerasDataset>& datasets,
                                             const KerasLayers& layers, const Wanted& wanted);

}  // namespace cardinal
