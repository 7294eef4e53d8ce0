// Networks and targets that the planning tests share.
#pragma once

#include <functional>

#include "passes/planner.h"

namespace cardinal::testing {

Target avx2_target();
Target avx512_target();

// Builds graphs layer by layer; a refused shape is a bug in the test.
class NetworkBuilder {
 public:
  explicit NetworkBuilder(std::string name) { graph.name = std::move(name); }
  Graph graph;

  NodeId input(const Shape& shape, Layout layout = Layout::nchw, const std::string& name = "x");
  NodeId layer(const OpAttrs& op, std::vector<NodeId> tensors, const std::string& name = "");
  NodeId conv(NodeId x, Conv op, const std::string& name = "");
  void output(NodeId value, const std::string& name = "y", Layout layout = Layout::nchw);

 private:
  int unnamed_ = 0;
};

// torchvision's ResNet-50 family with batch norms, through the pipeline: (1, 64) is ResNet-50, (32, 4)
// ResNeXt-50 32x4d.
Graph resnet50(int64_t groups, int64_t group_width, int64_t batch = 1);

Plan plan_of(const Graph&, const Target&, const PlanOptions& options = {});
const Step& step_called(const Plan&, const std::string& name);
const Step& step_called(Plan&&, const std::string& name) = delete;  // the step would dangle

}  // namespace cardinal::testing
