#include "compiler/header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <span>
#include <string_view>
#include <vector>

namespace cardinal {

namespace {

// C++20's keywords and alternative tokens, and C11's. (A name that is a keyword of one is avoided in both.)
constexpr std::string_view kKeywords =
    "alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t "
    "char8_t class co_await co_return co_yield compl concept const const_cast consteval constexpr "
    "constinit continue decltype default delete do double dynamic_cast else enum explicit export "
    "extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq "
    "nullptr operator or or_eq private protected public register reinterpret_cast requires restrict "
    "return short signed sizeof static static_assert static_cast struct switch template this "
    "thread_local throw true try typedef typeid typename union unsigned using virtual void volatile "
    "wchar_t while xor xor_eq std";

// Hands out identifiers, each once.
class Names {
 public:
  explicit Names(std::initializer_list<std::string_view> reserved)
      : taken_(reserved.begin(), reserved.end()) {
    for (size_t at = 0; at < kKeywords.size();) {
      const size_t end = std::min(kKeywords.find(' ', at), kKeywords.size());
      taken_.emplace(kKeywords.substr(at, end - at));
      at = end + 1;
    }
  }
  std::string add(std::string_view wanted) {
    std::string name = wanted.empty() || std::isdigit(static_cast<unsigned char>(wanted[0])) ? "t" : "";
    for (char c : wanted) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
    while (!taken_.insert(name).second) name += '_';
    return name;
  }

 private:
  std::set<std::string, std::less<>> taken_;
};

// A tensor and what it is called in the header.
struct Tensor {
  const cardinal_tensor& type;
  std::string scope;      // its struct in namespace inputs or outputs
  std::string parameter;  // of run()
};

std::vector<Tensor> name_tensors(std::span<const cardinal_tensor> tensors, Names& parameters) {
  // The members that write_tensor gives each struct.
  Names scopes({"name", "element", "dtype", "layout", "shape", "elements", "bytes"});
  std::vector<Tensor> named;
  for (const cardinal_tensor& tensor : tensors) {
    named.push_back({tensor, scopes.add(tensor.name), parameters.add(tensor.name)});
  }
  return named;
}

struct DtypeFacts {
  std::string_view name, constant, c_type;
  uint64_t bytes;
};
DtypeFacts facts(int32_t dtype) {
  switch (dtype) {
    case CARDINAL_F16:
      return {"f16", "CARDINAL_F16", "std::uint16_t", 2};
    case CARDINAL_BF16:
      return {"bf16", "CARDINAL_BF16", "std::uint16_t", 2};
    default:
      return {"f32", "CARDINAL_F32", "float", 4};
  }
}

struct LayoutFacts {
  std::string_view name, constant;
};
LayoutFacts layout_facts(int32_t layout) {
  switch (layout) {
    case CARDINAL_NHWC:
      return {"nhwc", "CARDINAL_NHWC"};
    case CARDINAL_NCHW16C:
      return {"nchw16c", "CARDINAL_NCHW16C"};
    default:
      return {"nchw", "CARDINAL_NCHW"};
  }
}

std::span<const int64_t> shape(const cardinal_tensor& tensor) {
  return {tensor.dims, static_cast<size_t>(tensor.rank)};
}

uint64_t elements(const cardinal_tensor& tensor) { return tensor.bytes / facts(tensor.dtype).bytes; }

std::string describe(const cardinal_tensor& tensor) {
  std::string dims = fmt::format("{}", fmt::join(shape(tensor), ", "));
  if (tensor.open_batch) dims.replace(0, 1, "N");  // for the 1 of one image
  std::string text = fmt::format("{}[{}]", facts(tensor.dtype).name, dims);
  if (tensor.rank == 4) text += fmt::format(" {}", layout_facts(tensor.layout).name);
  return text;
}

// Text that cannot end a comment or a string literal.
std::string quotable(std::string_view text) {
  std::string safe(text);
  std::replace_if(
      safe.begin(), safe.end(),
      [](char c) { return c == '"' || c == '\\' || c == '*' || static_cast<unsigned char>(c) < ' '; }, '_');
  return safe;
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return result;
}

struct Description {
  const cardinal_model& model;
  bool external_weights, open_batch;
  std::vector<Tensor> inputs, outputs;
};

// "x86-64-v3, x86-64-v4"
std::string targets(const cardinal_model& first) {
  std::vector<std::string_view> names;
  for (const cardinal_model* variant = &first; variant; variant = variant->better)
    names.emplace_back(variant->target);
  return quotable(fmt::format("{}", fmt::join(names, ", ")));
}

std::string write_comment(const Description& network) {
  const cardinal_model& model = network.model;
  std::string text = fmt::format("/* {}: written by {} for {}. Do not edit.\n *\n", model.name,
                                 quotable(model.compiler), targets(model));
  for (const Tensor& tensor : network.inputs) {
    text += fmt::format(" *   input   {}: {}\n", quotable(tensor.type.name), describe(tensor.type));
  }
  for (const Tensor& tensor : network.outputs) {
    text += fmt::format(" *   output  {}: {}\n", quotable(tensor.type.name), describe(tensor.type));
  }
  if (network.open_batch) {
    text +=
        " *\n"
        " * N is the caller's choice in each run, as `images`. What is said of tensors with N below is of "
        "one image.\n";
  }
  if (model.gpu)
    return text +
           " *\n"
           " * It runs on an NVIDIA GPU, which cardinal/cuda.h loads it for. */\n";
  text +=
      " *\n"
      " * The caller owns all buffers: dense tensors in the order named above that do not overlap, and a "
      "workspace for\n"
      " * each thread. Running cannot fail; any number of threads may run the network at once. */\n";
  return text;
}

std::string declare_functions(std::string_view name) {
  return fmt::format(
      "void {0}_run(const struct cardinal_frame* frame, const struct cardinal_executor* executor) "
      "CARDINAL_NOEXCEPT;\n"
      "/* What {0}_run runs on this CPU. NULL if the CPU lacks instructions that it needs: then it must not "
      "be "
      "called. */\n"
      "const struct cardinal_model* {0}_variant(void) CARDINAL_NOEXCEPT;\n",
      name);
}

std::string write_c_part(const Description& network) {
  const cardinal_model& model = network.model;
  const std::string_view name = model.name;
  std::string text = fmt::format(
      "#if CARDINAL_ABI_VERSION != {}\n"
      "#error \"{} was compiled for version {} of Cardinal's ABI; recompile it with this version\"\n"
      "#endif\n\n"
      "#ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n"
      "extern const struct cardinal_model {}_cardinal_model;\n"
      "{}"
      "\n#ifdef __cplusplus\n}}\n#endif\n",
      model.abi_version, name, model.abi_version, name, model.gpu ? "" : declare_functions(name));

  Names macros({});
  const std::string prefix = upper(name);
  const auto define = [&](const std::string& key, uint64_t value) {
    text += fmt::format("#define {} UINT64_C({})\n", macros.add(prefix + "_" + key), value);
  };
  text += "\n#ifndef __cplusplus\n";
  define("WORKSPACE_BYTES", model.workspace_bytes);
  if (network.external_weights) define("WEIGHTS_BYTES", model.weights_bytes);
  define("MODEL_HASH", model.model_hash);
  for (const Tensor& tensor : network.inputs)
    define(upper("input_" + tensor.scope + "_elements"), elements(tensor.type));
  for (const Tensor& tensor : network.outputs) {
    define(upper("output_" + tensor.scope + "_elements"), elements(tensor.type));
  }
  text += "#endif\n";
  return text;
}

std::string write_tensor(const Tensor& tensor) {
  const DtypeFacts dtype = facts(tensor.type.dtype);
  return fmt::format(
      "struct {} {{\n"
      "  using element = {};\n"
      "  static constexpr const char* name = \"{}\";\n"
      "  static constexpr cardinal_dtype dtype = {};\n"
      "  static constexpr cardinal_layout layout = {};\n"
      "  static constexpr std::array<std::int64_t, {}> shape = {{{}}};\n"
      "  static constexpr std::size_t elements = {};\n"
      "  static constexpr std::size_t bytes = {};\n"
      "}};\n",
      tensor.scope, dtype.c_type, quotable(tensor.type.name), dtype.constant,
      layout_facts(tensor.type.layout).constant, tensor.type.rank, fmt::join(shape(tensor.type), ", "),
      elements(tensor.type), tensor.type.bytes);
}

std::string write_constants(const Description& network) {
  const cardinal_model& model = network.model;
  std::string text = fmt::format(
      "inline constexpr const char* name = \"{}\";\n"
      "inline constexpr const char* target = \"{}\";\n"
      "inline constexpr std::uint32_t abi_version = {};\n"
      "inline constexpr std::uint64_t model_hash = {:#018x};\n"
      "inline constexpr std::size_t workspace_bytes = {};\n"
      "inline constexpr std::size_t workspace_alignment = CARDINAL_ALIGNMENT;\n"
      "inline constexpr std::uint64_t parameter_count = {};\n"
      "inline constexpr std::uint64_t flops = {};\n",
      model.name, targets(model), model.abi_version, model.model_hash, model.workspace_bytes,
      model.parameter_count, model.flops);
  if (network.external_weights) {
    text += fmt::format(
        "inline constexpr const char* weights_file = \"{}\";\n"
        "inline constexpr std::size_t weights_offset = CARDINAL_WEIGHTS_OFFSET;  // in the file\n"
        "inline constexpr std::size_t weights_bytes = {};\n",
        quotable(model.weights_file), model.weights_bytes);
  }
  return text;
}

// The buffers' pointers, in the loop over images advanced to the one at hand.
std::string pointers(const std::vector<Tensor>& tensors, std::string_view scope) {
  std::string text;
  for (const Tensor& tensor : tensors) {
    text += (text.empty() ? "" : ", ") + tensor.parameter;
    if (tensor.type.open_batch) text += fmt::format(" + image_ * {}::{}::elements", scope, tensor.scope);
  }
  return text;
}

std::string write_run(const Description& network) {
  std::string parameters = network.open_batch ? "std::size_t images, " : "";
  for (const Tensor& tensor : network.inputs)
    parameters += fmt::format("const {}* {}, ", facts(tensor.type.dtype).c_type, tensor.parameter);
  for (const Tensor& tensor : network.outputs)
    parameters += fmt::format("{}* {}, ", facts(tensor.type.dtype).c_type, tensor.parameter);
  const std::string_view name = network.model.name;
  std::string text = "// Without an executor everything runs on the calling thread.";
  if (network.external_weights) {
    parameters += "const void* weights, ";
    text +=
        " `weights` is the weight file from weights_offset\n// on, at an address that is a multiple of "
        "CARDINAL_ALIGNMENT; cardinal::Model::from maps and checks it.";
  }
  return text + fmt::format(
                    "\ninline void run({}void* workspace,\n                const cardinal_executor* executor "
                    "= nullptr) "
                    "noexcept {{\n"
                    "{}"
                    "  const void* const inputs_[] = {{{}}};\n"
                    "  void* const outputs_[] = {{{}}};\n"
                    "  const cardinal_frame frame_ = {{inputs_, outputs_, {}, workspace, 0}};\n"
                    "  ::{}_run(&frame_, executor);\n"
                    "{}}}\n",
                    parameters,
                    network.open_batch ? "  for (std::size_t image_ = 0; image_ < images; ++image_) {\n" : "",
                    pointers(network.inputs, "inputs"), pointers(network.outputs, "outputs"),
                    network.external_weights ? "weights" : fmt::format("::{}_cardinal_model.weights", name),
                    name, network.open_batch ? "  }\n" : "");
}

std::string write_cpp_part(const Description& network) {
  const std::string_view name = network.model.name;
  const std::string scope = Names({}).add(name);
  std::string text = fmt::format(
      "#ifdef __cplusplus\n#include <array>\n#include <cstddef>\n#include <cstdint>\n\nnamespace {} {{\n\n",
      scope);
  text += write_constants(network);
  text += "\nnamespace inputs {\n";
  for (const Tensor& tensor : network.inputs) text += write_tensor(tensor);
  text += "}  // namespace inputs\n\nnamespace outputs {\n";
  for (const Tensor& tensor : network.outputs) text += write_tensor(tensor);
  text += "}  // namespace outputs\n\n";
  text += fmt::format(
      "// Whether the object that was linked comes from the same compilation as this header.\n"
      "inline bool matches_linked_object() noexcept {{\n"
      "  return ::{0}_cardinal_model.abi_version == abi_version && ::{0}_cardinal_model.model_hash == "
      "model_hash;\n"
      "}}\n\n",
      name);
  if (!network.model.gpu) text += write_run(network);
  return text + fmt::format("\n}}  // namespace {}\n#endif\n", scope);
}

}  // namespace

std::string generate_header(const cardinal_model& model) {
  Names parameters({"workspace", "weights", "executor", "images", "inputs_", "outputs_", "frame_", "image_"});
  const std::span<const cardinal_tensor> inputs(model.inputs, model.input_count);
  Description network = {.model = model,
                         .external_weights = model.weights_file != nullptr,
                         .open_batch = std::any_of(inputs.begin(), inputs.end(),
                                                   [](const auto& input) { return input.open_batch; }),
                         .inputs = {},
                         .outputs = {}};
  network.inputs = name_tensors({model.inputs, model.input_count}, parameters);
  network.outputs = name_tensors({model.outputs, model.output_count}, parameters);
  return fmt::format(
      "{0}#ifndef CARDINAL_NETWORK_{1}\n#define CARDINAL_NETWORK_{1}\n\n#include "
      "<cardinal/abi.h>\n\n{2}\n{3}\n#endif\n",
      write_comment(network), model.name, write_c_part(network), write_cpp_part(network));
}

}  // namespace cardinal
