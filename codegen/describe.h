// What a compiled network says about itself: its cardinal_model table, before there is any code.
#pragma once

#include <cardinal/abi.h>

#include <deque>
#include <span>
#include <string>
#include <vector>

#include "codegen/codegen.h"

namespace cardinal {

// The cardinal_model of each plan, leading to the next, whose pointers lead into this object. What only
// generated code can provide is null: run, the steps' tasks, the size of the code, and the weights; a GPU's
// has no code yet.
class ModelDescription {
 public:
  ModelDescription(const Graph&, std::span<const Plan>, const NetworkImage&);
  ModelDescription(ModelDescription&&) = default;
  ModelDescription& operator=(ModelDescription&&) = default;

  const cardinal_model& model() const { return models_.front(); }

 private:
  const char* keep(std::string text);
  cardinal_tensor describe(const Graph&, NodeId, Layout, bool open_batch);
  cardinal_model describe(const Plan&);
  const cardinal_gpu_launch* describe_launch(const Step&, const std::string& kernel);

  // Elements stay in place as these grow and move.
  std::deque<std::string> strings_;
  std::deque<std::vector<cardinal_step>> steps_;
  std::deque<cardinal_gpu_launch> launches_;
  std::deque<std::vector<cardinal_gpu_pointer>> pointers_;
  std::deque<cardinal_model> models_;
  std::vector<cardinal_tensor> inputs_, outputs_;
};

}  // namespace cardinal
