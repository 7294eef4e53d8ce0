// What a compiled network says about itself: its cardinal_model table, before there is any code.
#pragma once

#include <cardinal/abi.h>

#include <deque>
#include <string>
#include <vector>

#include "codegen/codegen.h"

namespace cardinal {

// A cardinal_model whose pointers lead into this object. What only generated code can provide is null: run,
// the steps' tasks, and the weights.
class ModelDescription {
 public:
  ModelDescription(const Graph&, const Plan&, const NetworkImage&);
  ModelDescription(ModelDescription&&) = default;
  ModelDescription& operator=(ModelDescription&&) = default;

  const cardinal_model& model() const { return model_; }

 private:
  const char* keep(std::string text);
  cardinal_tensor describe(const Graph&, NodeId, Layout, bool open_batch);

  std::deque<std::string> strings_;  // elements stay in place as it grows and moves
  std::vector<cardinal_tensor> inputs_, outputs_;
  std::vector<cardinal_step> steps_;
  cardinal_model model_{};
};

}  // namespace cardinal
