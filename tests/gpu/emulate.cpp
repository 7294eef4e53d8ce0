#include "tests/gpu/emulate.h"

#include <cstring>
#include <limits>

#include "codegen/codegen.h"
#include "codegen/describe.h"
#include "ir/weights.h"
#include "passes/pipeline.h"

namespace cardinal::testing {

namespace {

// Memory aligned as a device's is, filled with NaNs of every type.
class DeviceBuffer {
 public:
  explicit DeviceBuffer(size_t bytes) : words_((bytes + 255) / 256 * 32 + 32, ~uint64_t{0}), bytes_(bytes) {}
  char* data() {
    const auto address = reinterpret_cast<uintptr_t>(words_.data());
    return reinterpret_cast<char*>((address + 255) / 256 * 256);
  }
  size_t bytes() const { return bytes_; }

 private:
  std::vector<uint64_t> words_;
  size_t bytes_;
};

// Calls f(logical index, index in the caller's buffer) for every element.
template <class F>
void for_each_element(const Shape& shape, Layout layout, F f) {
  const View view = make_view(Space::input, 0, 0, shape, layout);
  size_t logical = 0;
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t c = 0; c < shape.c(); ++c)
      for (int64_t h = 0; h < shape.h(); ++h)
        for (int64_t w = 0; w < shape.w(); ++w, ++logical)
          f(logical, n * view.stride_n + c / kChannelBlock * view.stride_block +
                         c % kChannelBlock * view.stride_c + h * view.stride_h + w * view.stride_w);
}

struct Device {
  std::vector<DeviceBuffer> inputs, outputs;
  DeviceBuffer weights, workspace;

  simt::Argument argument(const cardinal_gpu_pointer& p) {
    const auto at = [&](DeviceBuffer& buffer, bool writable) {
      return simt::Argument{buffer.data() + p.offset, buffer.bytes() - p.offset, writable};
    };
    const auto index = static_cast<size_t>(p.index);
    switch (p.space) {
      case CARDINAL_GPU_INPUT:
        return at(inputs[index], false);
      case CARDINAL_GPU_OUTPUT:
        return at(outputs[index], true);
      case CARDINAL_GPU_WEIGHTS:
        return at(weights, false);
      default:
        return at(workspace, true);
    }
  }
};

Status run_steps(const cardinal_model& model, const simt::Module& module, Device& device,
                 simt::Schedule schedule) {
  for (const cardinal_step& step : std::span(model.steps, model.step_count)) {
    const cardinal_gpu_launch& l = *step.launch;
    simt::Launch launch{
        l.kernel, {l.grid[0], l.grid[1], l.grid[2]}, {l.block[0], l.block[1], l.block[2]}, l.shared_bytes, {},
        schedule};
    for (const cardinal_gpu_pointer& pointer : std::span(l.pointers, l.pointer_count))
      launch.arguments.push_back(device.argument(pointer));
    if (Status done = module.run(launch); !done) {
      Diagnostics errors(std::string(step.name) + ", " + l.kernel);
      errors.append(done.take_error());
      return errors;
    }
  }
  return ok();
}

}  // namespace

Result<Plan> plan_for_gpu(const Graph& source, const EmulationOptions& options) {
  Result<Graph> graph = run_pipeline(source, {.gpu = true});
  if (!graph) return graph.take_error();
  Result<Target> target = resolve_target(options.target);
  if (!target) return target.take_error();
  return make_plan(*graph, *target, options.plan);
}

Result<std::vector<Tensor>> emulate(const Graph& source, const WeightStore& weights,
                                    std::span<const Tensor> inputs, const EmulationOptions& options) {
  Result<Graph> graph = run_pipeline(source, {.gpu = true});
  if (!graph) return graph.take_error();
  Result<Target> target = resolve_target(options.target);
  if (!target) return target.take_error();
  Result<std::vector<Plan>> plans = make_plans(*graph, std::span(&*target, 1), options.plan);
  if (!plans) return plans.take_error();
  NetworkImage image{
      .symbol = "net", .weights_file = {}, .weights = pack_weights(*graph, *plans, weights), .assembler = {}};
  Result<std::string> text = emit_code(*graph, *plans, image, CodeKind::llvm_ir);
  if (!text) return text.take_error();
  Result<simt::Module> module = simt::Module::load(*text);
  if (!module) return module.take_error();

  const ModelDescription description(*graph, *plans, image);
  const cardinal_model& model = description.model();
  Device device{{}, {}, DeviceBuffer(model.weights_bytes), DeviceBuffer(model.workspace_bytes)};
  if (model.weights_bytes) std::memcpy(device.weights.data(), image.weights.data(), model.weights_bytes);
  for (const Tensor& tensor : inputs) {
    const Input& input = *source[source.inputs()[device.inputs.size()]].as<Input>();
    DeviceBuffer& buffer = device.inputs.emplace_back(model.inputs[device.inputs.size()].bytes);
    for_each_element(tensor.type.shape, input.layout, [&](size_t logical, int64_t i) {
      const auto value = static_cast<float>(tensor.data[logical]);
      std::memcpy(buffer.data() + 4 * i, &value, sizeof value);
    });
  }
  for (const cardinal_tensor& tensor : std::span(model.outputs, model.output_count))
    device.outputs.emplace_back(tensor.bytes);
  if (Status done = run_steps(model, *module, device, options.schedule); !done) return done.take_error();

  std::vector<Tensor> results;
  for (NodeId id : source.outputs()) {
    const char* data = device.outputs[results.size()].data();
    Tensor& tensor = results.emplace_back(source[id].type);
    for_each_element(tensor.type.shape, source[id].as<Output>()->layout, [&](size_t logical, int64_t i) {
      float value;
      std::memcpy(&value, data + 4 * i, sizeof value);
      tensor.data[logical] = value;
    });
  }
  return results;
}

}  // namespace cardinal::testing
