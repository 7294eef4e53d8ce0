#include "runtime/src/cuda_graph.h"

#include <algorithm>

namespace cardinal::cuda {

namespace {

const std::byte* base_of(const Access::ModelState& model, const cardinal_gpu_pointer& pointer, size_t image,
                         const void* workspace, const runtime::Bound& bound) {
  const auto index = static_cast<size_t>(pointer.index);
  const auto of_image = [image](const void* data, const TensorInfo& tensor) {
    return static_cast<const std::byte*>(data) + (tensor.open_batch ? image * tensor.bytes : 0);
  };
  switch (pointer.space) {
    case CARDINAL_GPU_INPUT:
      return of_image(bound.inputs[index], model.model.inputs()[index]);
    case CARDINAL_GPU_OUTPUT:
      return of_image(bound.outputs[index], model.model.outputs()[index]);
    case CARDINAL_GPU_WEIGHTS:
      return static_cast<const std::byte*>(model.weights->data());
    default:
      return static_cast<const std::byte*>(workspace);
  }
}

bool touches_caller(const cardinal_gpu_launch& launch) {
  return std::any_of(launch.pointers, launch.pointers + launch.pointer_count, [](const auto& pointer) {
    return pointer.space == CARDINAL_GPU_INPUT || pointer.space == CARDINAL_GPU_OUTPUT;
  });
}

Error at_step(const Access::ModelState& model, size_t step, const Error& error) {
  return runtime::in_context("step " + std::string(model.model.steps()[step].name), error);
}

}  // namespace

LaunchParameters::LaunchParameters(const Access::ModelState& model, size_t step, size_t image,
                                   const void* workspace, const runtime::Bound& bound) {
  const cardinal_gpu_launch& launch = *model.model.steps()[step].launch;
  for (const cardinal_gpu_pointer& pointer : std::span(launch.pointers, launch.pointer_count))
    values_.push_back(device_address(base_of(model, pointer, image, workspace, bound) + pointer.offset));
  for (runtime::CuDevicePointer& value : values_) addresses_.push_back(&value);
  node_ = {model.functions[step], launch.grid[0],  launch.grid[1],      launch.grid[2],    launch.block[0],
           launch.block[1],       launch.block[2], launch.shared_bytes, addresses_.data(), nullptr};
}

Graph::Graph(Graph&& other) noexcept : Graph(*other.model_, other.workspace_) { *this = std::move(other); }

Graph& Graph::operator=(Graph&& other) noexcept {
  std::swap(model_, other.model_);
  std::swap(workspace_, other.workspace_);
  std::swap(graph_, other.graph_);
  std::swap(executable_, other.executable_);
  std::swap(outer_, other.outer_);
  std::swap(inputs_, other.inputs_);
  std::swap(outputs_, other.outputs_);
  return *this;
}

Graph::~Graph() {
  (void)with_context(model_->device, [&](const runtime::Driver& d) {
    if (executable_) d.graph_exec_destroy.pointer(executable_);
    if (graph_) d.graph_destroy.pointer(graph_);
    return Expected<void>();
  });
}

Expected<Graph> Graph::create(const Access::ModelState& model, const void* workspace,
                              const runtime::Bound& bound) {
  const runtime::Driver& driver = *Access::state(model.device).driver;
  Graph graph(model, workspace);
  Expected<void> made = driver.graph_create(&graph.graph_, 0);
  if (made) made = graph.add_nodes(bound);
  if (made) made = driver.graph_instantiate(&graph.executable_, graph.graph_, 0);
  if (!made) return made.error();
  graph.inputs_ = bound.inputs;
  graph.outputs_ = bound.outputs;
  return graph;
}

// Each after the one before: a step may read whatever earlier ones wrote, and images share the workspace.
Expected<void> Graph::add_nodes(const runtime::Bound& bound) {
  const runtime::Driver& driver = *Access::state(model_->device).driver;
  runtime::CuGraphNode last = nullptr;
  for (size_t image = 0; image < bound.images; ++image)
    for (size_t step = 0; step < model_->functions.size(); ++step) {
      const LaunchParameters parameters(*model_, step, image, workspace_, bound);
      runtime::CuGraphNode node = nullptr;
      Expected<void> added =
          driver.graph_add_kernel_node(&node, graph_, &last, last ? 1 : 0, &parameters.node());
      if (!added) return at_step(*model_, step, added.error());
      last = node;
      if (touches_caller(*model_->model.steps()[step].launch)) outer_.push_back({node, step, image});
    }
  return {};
}

Expected<void> Graph::redirect(const runtime::Bound& bound) {
  if (bound.inputs == inputs_ && bound.outputs == outputs_) return {};
  const runtime::Driver& driver = *Access::state(model_->device).driver;
  for (const Node& node : outer_) {
    const LaunchParameters parameters(*model_, node.step, node.image, workspace_, bound);
    Expected<void> set = driver.graph_exec_set_params(executable_, node.node, &parameters.node());
    if (!set) return at_step(*model_, node.step, set.error());
  }
  inputs_ = bound.inputs;
  outputs_ = bound.outputs;
  return {};
}

Expected<void> Graph::launch(void* stream) const {
  return Access::state(model_->device).driver->graph_launch(executable_, as_stream(stream));
}

}  // namespace cardinal::cuda
