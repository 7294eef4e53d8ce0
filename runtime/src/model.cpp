#include <cardinal/model.h>

#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/src/cpu.h"
#include "runtime/src/file_format.h"
#include "runtime/src/mapped_file.h"
#include "runtime/src/shared_object.h"
#include "runtime/src/validate.h"

namespace cardinal {

namespace runtime {
namespace {

std::vector<TensorInfo> describe_tensors(const cardinal_tensor* tensors, uint32_t count) {
  std::vector<TensorInfo> infos;
  for (const cardinal_tensor& tensor : std::span(tensors, count)) {
    infos.push_back({.name = tensor.name,
                     .dtype = static_cast<cardinal_dtype>(tensor.dtype),
                     .layout = static_cast<cardinal_layout>(tensor.layout),
                     .shape = std::span(tensor.dims, static_cast<size_t>(tensor.rank)),
                     .elements = count_elements(tensor),
                     .bytes = tensor.bytes,
                     .open_batch = tensor.open_batch != 0});
  }
  return infos;
}

std::string hexadecimal(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

// A table and the better variants it leads to.
std::vector<const cardinal_model*> list_variants(const cardinal_model& first) {
  std::vector<const cardinal_model*> variants{&first};
  while (variants.back()->better) variants.push_back(variants.back()->better);
  return variants;
}

// The variant of that name, or the best one for this CPU if there is no name; if this CPU supports none, the
// first. Null if there is none of that name.
const cardinal_model* choose_variant(std::span<const cardinal_model* const> variants,
                                     const std::string& name) {
  const cardinal_model* chosen = name.empty() ? variants.front() : nullptr;
  for (const cardinal_model* variant : variants)
    if (name.empty() ? missing_features(variant->required_features, cpu_features()).empty()
                     : name == variant->target)
      chosen = variant;
  return chosen;
}

std::string list_targets(std::span<const cardinal_model* const> variants) {
  std::string names;
  for (const cardinal_model* variant : variants)
    names += (names.empty() ? "" : ", ") + std::string(variant->target);
  return names;
}

std::string beside(const std::string& path, const std::string& name) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? name : path.substr(0, slash + 1) + name;
}

}  // namespace
}  // namespace runtime

struct Model::State {
  std::string path;  // of the shared object; empty when linked into the program
  runtime::SharedObject object;
  runtime::LoadedWeights loaded;
  runtime::Arena weights_copy;
  const cardinal_model* raw = nullptr;  // at first the file's first variant, then the one to be run
  std::vector<const cardinal_model*> variants;
  const void* weights = nullptr;
  std::vector<TensorInfo> inputs, outputs;

  Expected<void> find_weights(const LoadOptions& options);
};

Expected<void> Model::State::find_weights(const LoadOptions& options) {
  weights = raw->weights;
  if (raw->weights_file) {
    if (options.weights_path.empty() && path.empty()) {
      return Error("network '" + std::string(raw->name) + "' keeps its weights in the file '" +
                   raw->weights_file + "'; say where it is in LoadOptions::weights_path");
    }
    auto file = runtime::open_weights(
        *raw, options.weights_path.empty() ? runtime::beside(path, raw->weights_file) : options.weights_path,
        options.verify_hash);
    if (!file) return file.error();
    loaded = std::move(*file);
    weights = loaded.data;
  }
  const bool formed = loaded.formed.size() > 0;  // in huge pages already
  if (options.weights_in_huge_pages && raw->weights_bytes && !formed) {
    auto copy = runtime::Arena::allocate(raw->weights_bytes, "a copy of the weights");
    if (!copy) return copy.error();
    weights_copy = std::move(*copy);
    std::memcpy(weights_copy.data(), weights, raw->weights_bytes);
    weights = weights_copy.data();
    loaded = {};
  }
  return {};
}

Expected<Model> Model::load(const std::string& path, const LoadOptions& options) {
  auto file = runtime::MappedFile::open(path, "a compiled network");
  if (!file) return file.error();
  auto symbol = runtime::check_trailer(*file, path, options.verify_hash);
  if (!symbol) return symbol.error();
  if (auto runs_here = runtime::check_machine(*file, path); !runs_here) return runs_here.error();
  auto state = std::make_shared<State>();
  state->path = path;
  auto object = runtime::SharedObject::open(path, *file);
  if (!object) return object.error();
  state->object = std::move(*object);
  auto model = state->object.find_model(*symbol);
  if (!model) return model.error();
  state->raw = *model;
  return finish(std::move(state), path, options);
}

Expected<Model> Model::from(const cardinal_model& model, const LoadOptions& options) {
  auto state = std::make_shared<State>();
  state->raw = &model;
  return finish(std::move(state), "linked network", options);
}

Expected<Model> Model::finish(std::shared_ptr<State> state, const std::string& label,
                              const LoadOptions& options) {
  const std::string malformed = runtime::find_malformed(*state->raw);
  if (!malformed.empty()) return Error(label + ": is not a usable network: " + malformed);
  const std::string name = label + ": network '" + state->raw->name + "' ";
  state->variants = runtime::list_variants(*state->raw);
  state->raw = runtime::choose_variant(state->variants, options.variant);
  const std::string targets = runtime::list_targets(state->variants);
  if (!state->raw) return Error(name + "has no variant '" + options.variant + "'; it has " + targets);
  const cardinal_model& raw = *state->raw;
  const std::string missing = runtime::missing_features(raw.required_features, cpu_features());
  if (!missing.empty()) {
    return Error(
        name + "was compiled for " + (options.variant.empty() ? targets : options.variant) + " and needs " +
        missing +
        ", which this CPU or its operating system lacks; recompile it with --target native on this machine");
  }
  if (options.expected_model_hash && options.expected_model_hash != raw.model_hash) {
    return Error(name + "has model hash " + runtime::hexadecimal(raw.model_hash) + ", expected " +
                 runtime::hexadecimal(options.expected_model_hash) +
                 "; the header and the compiled network must come from the same compilation");
  }
  state->inputs = runtime::describe_tensors(raw.inputs, raw.input_count);
  state->outputs = runtime::describe_tensors(raw.outputs, raw.output_count);
  auto weights = state->find_weights(options);
  if (!weights) return weights.error();
  return Model(std::move(state));
}

std::string_view Model::name() const { return raw().name; }
std::string_view Model::target() const { return raw().target; }
std::string_view Model::compiler() const { return raw().compiler; }
uint64_t Model::model_hash() const { return raw().model_hash; }
std::span<const TensorInfo> Model::inputs() const { return state_->inputs; }
std::span<const TensorInfo> Model::outputs() const { return state_->outputs; }
std::span<const cardinal_step> Model::steps() const { return {raw().steps, raw().step_count}; }
uint64_t Model::workspace_bytes() const { return raw().workspace_bytes; }
uint64_t Model::weights_bytes() const { return raw().weights_bytes; }
uint64_t Model::parameter_count() const { return raw().parameter_count; }
uint64_t Model::flops() const { return raw().flops; }
const void* Model::weights() const { return state_->weights; }
const cardinal_model& Model::raw() const { return *state_->raw; }
std::span<const cardinal_model* const> Model::variants() const { return state_->variants; }

std::string describe(const TensorInfo& tensor) {
  std::string text = std::string(tensor.name) + ": " + runtime::dtype_name(tensor.dtype) + "[";
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    text += i ? ", " : "";
    text += i == 0 && tensor.open_batch ? "N" : std::to_string(tensor.shape[i]);
  }
  text += "]";
  if (tensor.shape.size() == 4) text += std::string(" ") + runtime::layout_name(tensor.layout);
  return text;
}

}  // namespace cardinal
