#include "codegen/describe.h"

#include <cardinal/hash.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "ir/text.h"

namespace cardinal {

namespace {

static_assert(static_cast<int>(DType::f32) == CARDINAL_F32 && static_cast<int>(DType::f16) == CARDINAL_F16 &&
              static_cast<int>(DType::bf16) == CARDINAL_BF16);
static_assert(static_cast<int>(Layout::nchw) == CARDINAL_NCHW &&
              static_cast<int>(Layout::nhwc) == CARDINAL_NHWC &&
              static_cast<int>(Layout::nchw16c) == CARDINAL_NCHW16C);

// Of what the network computes and how. The path of its source file is left out: it changes nothing.
uint64_t model_hash(Graph graph, const Plan& plan, uint64_t weights_hash) {
  graph.source.clear();
  const std::string text = print(graph) + print(plan, graph) + plan.target.triple + ' ' + plan.target.cpu;
  return hash_bytes(text.data(), text.size(), weights_hash);
}

uint64_t parameter_count(const Graph& graph) {
  uint64_t count = 0;
  for (NodeId id : graph.weights()) count += static_cast<uint64_t>(graph[id].type.shape.elements());
  return count;
}

}  // namespace

const char* ModelDescription::keep(std::string text) {
  return strings_.emplace_back(std::move(text)).c_str();
}

cardinal_tensor ModelDescription::describe(const Graph& graph, NodeId id, Layout layout, bool open_batch) {
  const Node& node = graph[id];
  const Shape& shape = node.type.shape;
  cardinal_tensor tensor{};
  tensor.name = keep(node.name);
  tensor.dtype = static_cast<int32_t>(node.type.dtype);
  tensor.layout = static_cast<int32_t>(layout);
  tensor.rank = shape.rank();
  tensor.open_batch = open_batch;
  for (int i = 0; i < shape.rank(); ++i) tensor.dims[i] = shape[i];
  tensor.bytes = static_cast<uint64_t>(view_elements(shape, layout) * dtype_bytes(node.type.dtype));
  return tensor;
}

ModelDescription::ModelDescription(const Graph& graph, const Plan& plan, const NetworkImage& image) {
  for (NodeId id : graph.inputs()) {
    const Input& input = *graph[id].as<Input>();
    inputs_.push_back(describe(graph, id, input.layout, input.open_batch));
  }
  for (NodeId id : graph.outputs()) {
    const Output& output = *graph[id].as<Output>();
    outputs_.push_back(describe(graph, id, output.layout, output.open_batch));
  }
  for (const Step& step : plan.steps) {
    const auto flops = static_cast<uint64_t>(std::llround(step.flops));
    steps_.push_back({keep(step.name), keep(kernel_name(step.kernel)), nullptr, step.units, flops,
                      static_cast<uint64_t>(step.bytes)});
    model_.flops += flops;
  }
  model_.abi_version = CARDINAL_ABI_VERSION;
  model_.struct_bytes = sizeof(cardinal_model);
  model_.name = keep(graph.name);
  model_.target = keep(plan.target.cpu);
  model_.compiler = "cardinal " CARDINAL_VERSION ", LLVM " CARDINAL_LLVM_VERSION;
  model_.required_features = plan.target.required_features;
  model_.input_count = static_cast<uint32_t>(inputs_.size());
  model_.output_count = static_cast<uint32_t>(outputs_.size());
  model_.step_count = static_cast<uint32_t>(steps_.size());
  model_.inputs = inputs_.data();
  model_.outputs = outputs_.data();
  model_.steps = steps_.data();
  model_.workspace_bytes = static_cast<uint64_t>(plan.workspace_floats) * sizeof(float);
  model_.weights_bytes = image.weights.size() * sizeof(float);
  model_.weights_file = image.weights_file.empty() ? nullptr : keep(image.weights_file);
  model_.weights_hash = hash_bytes(image.weights.data(), image.weights.size() * sizeof(float));
  model_.model_hash = model_hash(graph, plan, model_.weights_hash);
  model_.parameter_count = parameter_count(graph);
}

}  // namespace cardinal
