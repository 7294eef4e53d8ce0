// A small network with a residual block, compiled as far as a test wants.
#pragma once

#include <cardinal/abi.h>

#include <memory>
#include <string>
#include <vector>

#include "codegen/codegen.h"
#include "ir/weights.h"

namespace cardinal::testing {

struct SmallNetwork {
  // For the best target that can be run here, or for the given ones.
  explicit SmallNetwork(const std::string& symbol, const std::vector<std::string>& targets = {});
  std::string object() const;                  // fails the test if there is none
  std::vector<float> expected_output() const;  // by the interpreter

  Graph graph;  // through the pipeline
  std::vector<Plan> plans;
  NetworkImage image;
  std::unique_ptr<WeightStore> weights;
  std::vector<float> input;
};

// Runs a network with one input and one output.
std::vector<float> run(const cardinal_model&, const std::vector<float>& input,
                       const cardinal_executor* executor = nullptr);

}  // namespace cardinal::testing
