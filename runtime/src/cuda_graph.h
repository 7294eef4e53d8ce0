// A network's launches for a number of images as one CUDA graph.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/src/binding.h"
#include "runtime/src/cuda_context.h"

namespace cardinal::cuda {

// The parameters of one launch for one image.
class LaunchParameters {
 public:
  LaunchParameters(const Access::ModelState& model, size_t step, size_t image, const void* workspace,
                   const runtime::Bound& bound);
  LaunchParameters(const LaunchParameters&) = delete;
  LaunchParameters& operator=(const LaunchParameters&) = delete;
  // Valid as long as this object.
  const runtime::CuKernelNodeParams& node() const { return node_; }

 private:
  std::vector<runtime::CuDevicePointer> values_;
  std::vector<void*> addresses_;
  runtime::CuKernelNodeParams node_{};
};

// The nodes are added one by one, not captured from a stream: redirecting one to other buffers needs its
// handle.
class Graph {
 public:
  // With the device's context current. `bound` says how many images there are.
  static Expected<Graph> create(const Access::ModelState& model, const void* workspace,
                                const runtime::Bound& bound);
  Graph(Graph&&) noexcept;
  Graph& operator=(Graph&&) noexcept;
  ~Graph();  // no run may be in flight

  // Makes later launches use these buffers. After an error the graph must not be launched.
  Expected<void> redirect(const runtime::Bound& bound);
  Expected<void> launch(void* stream) const;

 private:
  struct Node {
    runtime::CuGraphNode node = nullptr;
    size_t step = 0, image = 0;
  };
  Graph(const Access::ModelState& model, const void* workspace) : model_(&model), workspace_(workspace) {}
  Expected<void> add_nodes(const runtime::Bound& bound);

  const Access::ModelState* model_;
  const void* workspace_;
  runtime::CuGraph graph_ = nullptr;
  runtime::CuGraphExec executable_ = nullptr;
  std::vector<Node> outer_;  // those that touch the caller's buffers
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

}  // namespace cardinal::cuda
