#include "codegen/describe.h"

#include <cardinal/hash.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "codegen/nvptx/module.h"
#include "ir/text.h"
#include "passes/floor.h"
#include "passes/planner.h"

namespace cardinal {

namespace {

static_assert(static_cast<int>(DType::f32) == CARDINAL_F32 && static_cast<int>(DType::f16) == CARDINAL_F16 &&
              static_cast<int>(DType::bf16) == CARDINAL_BF16);
static_assert(static_cast<int>(Layout::nchw) == CARDINAL_NCHW &&
              static_cast<int>(Layout::nhwc) == CARDINAL_NHWC &&
              static_cast<int>(Layout::nchw16c) == CARDINAL_NCHW16C);

// Of what the network computes and how. The path of its source file is left out: it changes nothing.
uint64_t model_hash(Graph graph, std::span<const Plan> plans, uint64_t weights_hash) {
  graph.source.clear();
  std::string text = print(graph);
  for (const Plan& plan : plans) text += print(plan, graph) + plan.target.triple + ' ' + plan.target.cpu;
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

const cardinal_gpu_launch* ModelDescription::describe_launch(const Step& step, const std::string& kernel) {
  std::vector<cardinal_gpu_pointer>& pointers = pointers_.emplace_back();
  const auto add = [&](const View& view) {
    const cardinal_gpu_space space = view.space == Space::workspace ? CARDINAL_GPU_WORKSPACE
                                     : view.space == Space::input   ? CARDINAL_GPU_INPUT
                                                                    : CARDINAL_GPU_OUTPUT;
    pointers.push_back({space, view.index, static_cast<uint64_t>(view.offset * dtype_bytes(view.dtype))});
  };
  add(step.output);
  if (step.second_output) add(*step.second_output);
  for (const View& input : step.inputs) add(input);
  for (const PackedWeight& weight : step.weights)
    pointers.push_back({CARDINAL_GPU_WEIGHTS, 0, static_cast<uint64_t>(weight.offset) * sizeof(float)});
  const auto u32 = [](int64_t value) { return static_cast<uint32_t>(value); };
  const GpuLaunch& l = step.launch;
  return &launches_.emplace_back(cardinal_gpu_launch{keep(kernel),
                                                     {u32(l.grid_x), u32(l.grid_y), u32(l.grid_z)},
                                                     {u32(l.threads), 1, 1},
                                                     u32(l.shared_bytes),
                                                     u32(static_cast<int64_t>(pointers.size())),
                                                     pointers.data()});
}

cardinal_model ModelDescription::describe(const Plan& plan) {
  cardinal_model model{};
  std::vector<cardinal_step>& steps = steps_.emplace_back();
  const std::vector<std::string> kernels =
      plan.target.gpu ? gpu_kernel_names(plan) : std::vector<std::string>();
  for (const Step& step : plan.steps) {
    const cardinal_gpu_launch* launch =
        plan.target.gpu ? describe_launch(step, kernels[steps.size()]) : nullptr;
    const Work work = work_of(step);
    const auto repeats = static_cast<double>(step.repeats);
    const auto whole = [](double number) { return static_cast<uint64_t>(std::llround(number)); };
    const uint64_t flops = whole(repeats * step.flops);
    steps.push_back({keep(step.name), keep(kernel_name(step.kernel)), nullptr, step.units, step.grain,
                     step.repeats, flops, whole(work.bytes), whole(work.flops), whole(work.weight_bytes),
                     repeats * step.predicted_us, launch});
    model.flops += flops;
  }
  model.abi_version = CARDINAL_ABI_VERSION;
  model.struct_bytes = sizeof(cardinal_model);
  model.target = keep(plan.target.cpu);
  model.compiler = "cardinal " CARDINAL_VERSION ", LLVM " CARDINAL_LLVM_VERSION;
  model.required_features = plan.target.required_features;
  static constexpr cardinal_gpu kNoCodeYet = {};
  if (plan.target.gpu) model.gpu = &kNoCodeYet;
  model.step_count = static_cast<uint32_t>(steps.size());
  model.steps = steps.data();
  model.weights_read = static_cast<uint64_t>(weights_read(plan)) * sizeof(float);
  return model;
}

ModelDescription::ModelDescription(const Graph& graph, std::span<const Plan> plans,
                                   const NetworkImage& image) {
  for (NodeId id : graph.inputs()) {
    const Input& input = *graph[id].as<Input>();
    inputs_.push_back(describe(graph, id, input.layout, input.open_batch));
  }
  for (NodeId id : graph.outputs()) {
    const Output& output = *graph[id].as<Output>();
    outputs_.push_back(describe(graph, id, output.layout, output.open_batch));
  }
  int64_t workspace_floats = 0;  // one size fits all variants
  for (const Plan& plan : plans) workspace_floats = std::max(workspace_floats, plan.workspace_floats);
  const uint64_t weights_hash = hash_bytes(image.weights.data(), image.weights.size() * sizeof(float));
  const uint64_t hash = model_hash(graph, plans, weights_hash);
  for (const Plan& plan : plans) {
    cardinal_model& model = models_.emplace_back(describe(plan));
    model.name = keep(graph.name);
    model.model_hash = hash;
    model.input_count = static_cast<uint32_t>(inputs_.size());
    model.output_count = static_cast<uint32_t>(outputs_.size());
    model.inputs = inputs_.data();
    model.outputs = outputs_.data();
    model.workspace_bytes = static_cast<uint64_t>(workspace_floats) * sizeof(float);
    model.weights_bytes = image.weights.size() * sizeof(float);
    model.weights_file = image.weights_file.empty() ? nullptr : keep(image.weights_file);
    model.weights_hash = weights_hash;
    model.parameter_count = parameter_count(graph);
    if (models_.size() > 1) models_[models_.size() - 2].better = &model;
  }
}

}  // namespace cardinal
