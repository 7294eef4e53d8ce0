#include <cardinal/cardinal.h>
#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "compiler/driver/report.h"
#include "compiler/driver/verbs.h"

namespace cardinal::driver {

namespace {

using nlohmann::json;

constexpr std::string_view kDtypes[] = {"f32", "f16", "bf16"};
constexpr std::string_view kLayouts[] = {"nchw", "nhwc", "nchw16c"};

json tensors_json(std::span<const TensorInfo> tensors) {
  json list = json::array();
  for (const TensorInfo& tensor : tensors)
    list.push_back({{"name", tensor.name},
                    {"dtype", kDtypes[tensor.dtype]},
                    {"layout", kLayouts[tensor.layout]},
                    {"shape", std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end())},
                    {"open_batch", tensor.open_batch},
                    {"bytes", tensor.bytes}});
  return list;
}

json variants_json(const Model& model) {
  json list = json::array();
  for (const cardinal_model* variant : model.variants())
    list.push_back({{"target", variant->target},
                    {"code_bytes", variant->code_bytes},
                    {"weights_read", variant->weights_read},
                    {"chosen", variant == &model.raw()}});
  return list;
}

std::span<const cardinal_gpu_code> gpu_codes(const Model& model) {
  const cardinal_gpu* gpu = model.raw().gpu;
  return gpu ? std::span(gpu->codes, gpu->code_count) : std::span<const cardinal_gpu_code>();
}

std::string_view kind(const cardinal_gpu_code& code) {
  return code.kind == CARDINAL_GPU_CUBIN ? "cubin" : "PTX";
}

std::string architecture(const cardinal_gpu_code& code) {
  return fmt::format("sm_{}{}", code.arch, code.specific ? "a" : "");
}

json gpu_json(const Model& model) {
  json list = json::array();
  for (const cardinal_gpu_code& code : gpu_codes(model))
    list.push_back({{"kind", kind(code)}, {"architecture", architecture(code)}, {"bytes", code.bytes}});
  return list;
}

json model_json(const Model& model, uint64_t file_bytes) {
  json steps = json::array();
  for (const cardinal_step& step : model.steps())
    steps.push_back({{"name", step.name},
                     {"kernel", step.kernel},
                     {"units", step.units},
                     {"grain", step.grain},
                     {"flops", step.flops},
                     {"bytes", step.bytes}});
  return {{"network", model.name()},
          {"target", model.target()},
          {"variants", variants_json(model)},
          {"gpu_code", gpu_json(model)},
          {"compiler", model.compiler()},
          {"inputs", tensors_json(model.inputs())},
          {"outputs", tensors_json(model.outputs())},
          {"parameters", model.parameter_count()},
          {"flops", model.flops()},
          {"workspace_bytes", model.workspace_bytes()},
          {"weights_bytes", model.weights_bytes()},
          {"weights_file", model.raw().weights_file ? json(model.raw().weights_file) : json()},
          {"file_bytes", file_bytes},
          {"model_hash", fmt::format("{:016x}", model.model_hash())},
          {"weights_hash", fmt::format("{:016x}", model.raw().weights_hash)},
          {"steps", steps}};
}

void line(std::string_view key, const std::string& value) { fmt::print("{:<12}{}\n", key, value); }

std::string megabytes(uint64_t bytes) { return fmt::format("{:.2f} MB", static_cast<double>(bytes) * 1e-6); }

// The code for the CPU; of several variants, what each has and what it has in common with the others.
void print_variants(const Model& model) {
  const std::span<const cardinal_gpu_code> codes = gpu_codes(model);
  for (const cardinal_gpu_code& code : codes)
    line(&code == codes.data() ? "GPU code" : "",
         fmt::format("{} for {}: {}", kind(code), architecture(code), megabytes(code.bytes)));
  if (!codes.empty()) return;
  const std::span<const cardinal_model* const> variants = model.variants();
  if (variants.size() == 1)
    return line("code", megabytes(model.raw().code_bytes) + " for " + model.raw().target);
  uint64_t read = 0;
  for (const cardinal_model* variant : variants) {
    read += variant->weights_read;
    line(variant == variants.front() ? "variants" : "",
         fmt::format("{}: {} of code, reads {} of the weights{}", variant->target,
                     megabytes(variant->code_bytes), megabytes(variant->weights_read),
                     variant == &model.raw() ? "; this is the one run here" : ""));
  }
  line("", megabytes(read - model.weights_bytes()) +
               " of weights would be there more than once if they did not share them");
}

void print_text(const Model& model, uint64_t file_bytes) {
  const char* weights_file = model.raw().weights_file;
  line("network", std::string(model.name()));
  line("compiler", std::string(model.compiler()));
  for (const TensorInfo& tensor : model.inputs()) line("input", describe(tensor));
  for (const TensorInfo& tensor : model.outputs()) line("output", describe(tensor));
  line("parameters", fmt::format("{}", model.parameter_count()));
  line("flops", fmt::format("{:.3f} GFLOP a run", static_cast<double>(model.flops()) * 1e-9));
  line("steps", fmt::format("{}", model.steps().size()));
  line("workspace", megabytes(model.workspace_bytes()) +
                        (model.raw().gpu ? " on the GPU for each session" : " for each thread that runs it"));
  line("weights", megabytes(model.weights_bytes()) +
                      (weights_file ? fmt::format(" packed, in {}", weights_file) : std::string(" packed")));
  print_variants(model);
  line("file", megabytes(file_bytes));
  line("hashes", fmt::format("model {:016x}, weights {:016x}", model.model_hash(), model.raw().weights_hash));
}

void print_steps(const Model& model) {
  fmt::print("\n{:<32} {:<28} {:>7} {:>9} {:>9}\n", "step", "kernel", "units", "MFLOP", "MB");
  for (const cardinal_step& step : model.steps())
    fmt::print("{:<32} {:<28} {:>7} {:>9.2f} {:>9.3f}\n", step.name, step.kernel, step.units,
               static_cast<double>(step.flops) * 1e-6, static_cast<double>(step.bytes) * 1e-6);
}

}  // namespace

int info(const InfoArgs& args) {
  Expected<Model> model = Model::load(args.model, {.variant = args.variant});
  if (!model) return fail(model.error().message());
  std::error_code ignored;
  uint64_t file_bytes = std::filesystem::file_size(args.model, ignored);
  if (args.json) {
    fmt::print("{}\n", model_json(*model, file_bytes).dump(2, ' ', false, json::error_handler_t::replace));
    return kDone;
  }
  print_text(*model, file_bytes);
  if (args.steps) print_steps(*model);
  return kDone;
}

}  // namespace cardinal::driver
