#include "runtime/src/validate.h"

namespace cardinal::runtime {

namespace {

// Far beyond any network, yet small enough that sums of sizes cannot overflow.
constexpr uint32_t kMaxTensors = 4096, kMaxSteps = 1u << 20, kMaxVariants = 16;
constexpr uint64_t kMaxBytes = uint64_t{1} << 46;

std::string find_malformed_tensor(const cardinal_tensor& tensor) {
  if (!tensor.name) return "has no name";
  const std::string name = std::string("'") + tensor.name + "' ";
  if (!element_bytes(tensor.dtype)) return name + "has unknown dtype " + std::to_string(tensor.dtype);
  if (tensor.rank < 1 || tensor.rank > CARDINAL_MAX_RANK)
    return name + "has rank " + std::to_string(tensor.rank);
  const uint64_t elements = count_elements(tensor);
  if (elements == 0) return name + "has no valid shape and layout";
  if (tensor.open_batch && tensor.dims[0] != 1) return name + "has an open batch and N other than 1";
  const uint64_t expected = elements * element_bytes(tensor.dtype);
  if (tensor.bytes != expected) {
    return name + "has " + std::to_string(tensor.bytes) + " bytes, its shape needs " +
           std::to_string(expected);
  }
  return "";
}

std::string find_malformed_tensors(const char* kind, const cardinal_tensor* tensors, uint32_t count) {
  if (count < 1 || count > kMaxTensors || !tensors) return std::to_string(count) + " " + kind + "s";
  for (uint32_t i = 0; i < count; ++i) {
    const std::string problem = find_malformed_tensor(tensors[i]);
    if (!problem.empty()) return std::string(kind) + " " + std::to_string(i) + " " + problem;
  }
  return "";
}

bool inside(const cardinal_model& model, const cardinal_gpu_pointer& pointer) {
  switch (pointer.space) {
    case CARDINAL_GPU_INPUT:
    case CARDINAL_GPU_OUTPUT: {
      const bool input = pointer.space == CARDINAL_GPU_INPUT;
      const uint32_t count = input ? model.input_count : model.output_count;
      const auto index = static_cast<uint32_t>(pointer.index);
      return index < count && pointer.offset < (input ? model.inputs : model.outputs)[index].bytes;
    }
    case CARDINAL_GPU_WEIGHTS:
      return pointer.offset < model.weights_bytes;
    case CARDINAL_GPU_WORKSPACE:
      return pointer.offset < model.workspace_bytes;
    default:
      return false;
  }
}

// The limits are CUDA's, of every compute capability from 5.0 on.
bool is_launch(const cardinal_model& model, const cardinal_gpu_launch& launch) {
  constexpr uint64_t kMaxThreads = 1024, kMaxGridX = 0x7fffffff, kMaxGrid = 65535;
  constexpr uint32_t kMaxSharedBytes = 1u << 20, kMaxPointers = 512;
  const auto& [x, y, z] = launch.grid;
  if (x < 1 || x > kMaxGridX || y < 1 || y > kMaxGrid || z < 1 || z > kMaxGrid) return false;
  for (const uint32_t threads : launch.block)
    if (threads < 1 || threads > kMaxThreads) return false;
  if (uint64_t{launch.block[0]} * launch.block[1] * launch.block[2] > kMaxThreads) return false;
  if (!launch.kernel || launch.shared_bytes > kMaxSharedBytes || launch.pointer_count > kMaxPointers)
    return false;
  if (launch.pointer_count && !launch.pointers) return false;
  for (uint32_t i = 0; i < launch.pointer_count; ++i)
    if (!inside(model, launch.pointers[i])) return false;
  return true;
}

std::string find_malformed_gpu_code(const cardinal_gpu& gpu) {
  constexpr uint32_t kMaxCodes = 64;
  if (gpu.code_count < 1 || gpu.code_count > kMaxCodes || !gpu.codes)
    return std::to_string(gpu.code_count) + " pieces of GPU code";
  for (uint32_t i = 0; i < gpu.code_count; ++i) {
    const cardinal_gpu_code& code = gpu.codes[i];
    const bool ptx = code.kind == CARDINAL_GPU_PTX;
    if ((!ptx && code.kind != CARDINAL_GPU_CUBIN) || !code.data || code.bytes < 1 || code.bytes > kMaxBytes ||
        code.arch < 1 || (ptx && static_cast<const char*>(code.data)[code.bytes - 1] != 0))
      return "GPU code " + std::to_string(i) + " is damaged";
  }
  return "";
}

std::string find_malformed_code(const cardinal_model& model) {
  if (!model.gpu) return model.run ? "" : "it has no run function";
  if (model.run || model.better) return "it is for a GPU, but has functions for a CPU";
  return find_malformed_gpu_code(*model.gpu);
}

std::string find_malformed_steps(const cardinal_model& model) {
  if (model.step_count > kMaxSteps || (model.step_count && !model.steps)) {
    return std::to_string(model.step_count) + " steps";
  }
  int64_t repeats = model.step_count ? model.steps[0].repeats : 1;
  for (uint32_t i = 0; i < model.step_count; ++i) {
    const cardinal_step& step = model.steps[i];
    if (step.repeats != repeats) repeats = 1;  // the steps that are repeated come first
    if (step.repeats != repeats || repeats < 1 || (model.gpu && repeats > 1))
      return "step " + std::to_string(i) + " is repeated " + std::to_string(step.repeats) + " times";
    const bool complete =
        model.gpu ? !step.task && step.launch && is_launch(model, *step.launch) : step.task && !step.launch;
    if (!step.name || !step.kernel || !complete || step.units < 0 || step.grain < 1)
      return "step " + std::to_string(i) + " is incomplete";
  }
  return "";
}

std::string find_malformed_memory(const cardinal_model& model) {
  if (model.workspace_bytes > kMaxBytes) return std::to_string(model.workspace_bytes) + " bytes of workspace";
  if (model.weights_bytes > kMaxBytes) return std::to_string(model.weights_bytes) + " bytes of weights";
  if (model.weights && model.weights_file) return "weights both inside and in a file";
  if (!model.weights && !model.weights_file && model.weights_bytes)
    return "weights neither inside nor in a file";
  if (reinterpret_cast<uintptr_t>(model.weights) % CARDINAL_ALIGNMENT) return "misaligned weights";
  return "";
}

}  // namespace

uint64_t element_bytes(int32_t dtype) {
  switch (dtype) {
    case CARDINAL_F32:
      return 4;
    case CARDINAL_F16:
    case CARDINAL_BF16:
      return 2;
    default:
      return 0;
  }
}

const char* dtype_name(int32_t dtype) {
  switch (dtype) {
    case CARDINAL_F32:
      return "f32";
    case CARDINAL_F16:
      return "f16";
    case CARDINAL_BF16:
      return "bf16";
    default:
      return "?";
  }
}

const char* layout_name(int32_t layout) {
  switch (layout) {
    case CARDINAL_NCHW:
      return "nchw";
    case CARDINAL_NHWC:
      return "nhwc";
    case CARDINAL_NCHW16C:
      return "nchw16c";
    default:
      return "?";
  }
}

uint64_t count_elements(const cardinal_tensor& tensor) {
  if (tensor.rank < 1 || tensor.rank > CARDINAL_MAX_RANK) return 0;
  if (tensor.layout < CARDINAL_NCHW || tensor.layout > CARDINAL_NCHW16C) return 0;
  if (tensor.layout != CARDINAL_NCHW && tensor.rank != 4) return 0;
  uint64_t elements = 1;
  for (int i = 0; i < tensor.rank; ++i) {
    if (tensor.dims[i] <= 0 || static_cast<uint64_t>(tensor.dims[i]) > kMaxBytes) return 0;
    uint64_t extent = static_cast<uint64_t>(tensor.dims[i]);
    if (i == 1 && tensor.layout == CARDINAL_NCHW16C) extent = (extent + 15) / 16 * 16;
    if (extent > kMaxBytes / elements) return 0;
    elements *= extent;
  }
  return elements;
}

std::string find_version_mismatch(uint32_t abi_version) {
  if (abi_version == CARDINAL_ABI_VERSION) return "";
  const bool older = abi_version < CARDINAL_ABI_VERSION;
  return "compiled for version " + std::to_string(abi_version) +
         " of Cardinal's ABI, but this runtime has version " + std::to_string(CARDINAL_ABI_VERSION) +
         (older ? ": recompile the network with the `cardinal` of this runtime"
                : ": update the runtime, or recompile the network with an older `cardinal`");
}

static std::string find_malformed_table(const cardinal_model& model) {
  std::string problem = find_version_mismatch(model.abi_version);
  if (!problem.empty()) return problem;
  if (model.struct_bytes != sizeof(cardinal_model)) {
    return "its table has " + std::to_string(model.struct_bytes) + " bytes, expected " +
           std::to_string(sizeof(cardinal_model));
  }
  if (!model.name || !model.target || !model.compiler) return "its name, target or compiler is missing";
  problem = find_malformed_code(model);
  if (problem.empty()) problem = find_malformed_tensors("input", model.inputs, model.input_count);
  if (problem.empty()) problem = find_malformed_tensors("output", model.outputs, model.output_count);
  if (problem.empty()) problem = find_malformed_steps(model);
  if (problem.empty()) problem = find_malformed_memory(model);
  return problem;
}

std::string find_malformed(const cardinal_model& model) {
  std::string problem = find_malformed_table(model);
  const cardinal_model* last = &model;
  for (uint32_t i = 1; problem.empty() && last->better; ++i, last = last->better) {
    if (i == kMaxVariants) return "it has more than " + std::to_string(kMaxVariants) + " variants";
    problem = find_malformed_table(*last->better);
    if (problem.empty() &&
        (last->better->model_hash != model.model_hash ||
         last->better->workspace_bytes != model.workspace_bytes || last->better->weights != model.weights))
      problem = "it differs from the first";
    if (!problem.empty()) return "variant " + std::to_string(i) + ": " + problem;
  }
  return problem;
}

}  // namespace cardinal::runtime
