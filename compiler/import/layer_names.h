// Names for layers: those of the model's weights where they form a path, else its nodes', else counted ones.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/import/onnx_graph.h"

namespace cardinal::onnx_import {

struct LayerName {
  std::string path;
  bool is_given = false;  // the model's own, down to the weights
};

class LayerNames {
 public:
  // A name that no other layer has. `values` are the ONNX values that become the layer's weights.
  LayerName choose(std::string_view op, const OnnxNode& node, const std::vector<std::string>& values);

 private:
  std::string unique(std::string path);

  std::set<std::string, std::less<>> taken_;
  std::map<std::string, int, std::less<>> counts_;
};

// Where in the model's modules a node stands, from names such as /layer1/layer1.0/conv1/Conv; "" if its name
// does not say.
std::string node_path(const OnnxNode& node);

// A name that a declaration of the language may have.
std::string identifier(std::string_view name, std::string_view fallback);

}  // namespace cardinal::onnx_import
