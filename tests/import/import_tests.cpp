// Small models against the sources they become and the outputs of onnxruntime. CARDINAL_BLESS=1 writes the
// sources instead of comparing them.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "compiler/import/import.h"
#include "compiler/language.h"
#include "compiler/weights/open_weights.h"
#include "compiler/weights/safetensors.h"
#include "compiler/weights/safetensors_writer.h"
#include "ir/interpreter.h"
#include "ir/text.h"
#include "tests/runtime/scratch_directory.h"

using namespace cardinal;

namespace {

const std::string kModels = SOURCE_ROOT "/tests/import/models/";

std::string message(const Diagnostics& errors) { return errors.render(SourceMap()); }

ImportedModel imported(const std::string& name, bool flat = false) {
  Result<ImportedModel> model = import_onnx(kModels + name + ".onnx", {name, {}, flat});
  if (!model) FAIL(message(model.error()));
  return *std::move(model);
}

Graph elaborated(const ScratchDirectory& scratch, const std::string& source) {
  write_text(scratch.file("net.nn"), source);
  SourceMap sources;
  Result<Program> program = parse_program(sources, scratch.file("net.nn"));
  if (!program) FAIL(program.error().render(sources));
  Result<Graph> graph = elaborate(*program, {});
  if (!graph) FAIL(graph.error().render(sources));
  return *std::move(graph);
}

std::string weights_file(const ScratchDirectory& scratch, const ImportedModel& model) {
  std::vector<TensorToWrite> tensors;
  for (const ImportedWeight& weight : model.weights)
    tensors.push_back({weight.name, weight.shape, *weight.values});
  std::string text = safetensors_header(tensors);
  for (const TensorToWrite& tensor : tensors)
    text.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size_bytes());
  write_text(scratch.file("net.safetensors"), text);
  return scratch.file("net.safetensors");
}

std::vector<std::string> model_names() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kModels))
    if (entry.path().extension() == ".onnx") names.insert(entry.path().stem().string());
  return {names.begin(), names.end()};
}

// An array in the caller's layout as a tensor in logical order.
Tensor to_tensor(const StoredTensor& stored, const Shape& shape, Layout layout) {
  std::vector<float> values = to_floats(stored);
  REQUIRE(static_cast<int64_t>(values.size()) == shape.elements());
  Tensor out(TensorType{DType::f32, shape});
  out.data.assign(values.begin(), values.end());
  if (layout == Layout::nchw) return out;
  size_t next = 0;
  for (int64_t n = 0; n < shape.n(); ++n)
    for (int64_t h = 0; h < shape.h(); ++h)
      for (int64_t w = 0; w < shape.w(); ++w)
        for (int64_t c = 0; c < shape.c(); ++c) out.at(n, c, h, w) = values[next++];
  return out;
}

}  // namespace

TEST_CASE("imported sources are those expected, and formatted") {
  bool blesses = std::getenv("CARDINAL_BLESS") != nullptr;
  for (const std::string& name : model_names()) {
    INFO(name);
    ImportedModel model = imported(name);
    SourceMap sources;
    Result<std::string> formatted = format_text(sources, name, model.source);
    REQUIRE(formatted);
    CHECK(*formatted == model.source);
    std::string golden = kModels + name + ".nn";
    if (blesses) write_text(golden, model.source);
    CHECK(model.source == read_text(golden));
  }
}

TEST_CASE("blocks and loops change nothing but the text") {
  for (const std::string& name : model_names()) {
    INFO(name);
    ScratchDirectory scratch;
    Graph blocks = elaborated(scratch, imported(name).source);
    Graph flat = elaborated(scratch, imported(name, true).source);
    CHECK(print(blocks) == print(flat));
  }
}

TEST_CASE("imported networks compute what onnxruntime computed") {
  for (const std::string& name : model_names()) {
    INFO(name);
    ScratchDirectory scratch;
    ImportedModel model = imported(name);
    Graph graph = elaborated(scratch, model.source);
    Result<std::unique_ptr<WeightStore>> weights = open_weights(weights_file(scratch, model), graph);
    if (!weights) FAIL(message(weights.error()));
    const std::string path = kModels + name + ".values.safetensors";
    Result<MappedFile> file = MappedFile::open(path);
    REQUIRE(file);
    Result<std::unique_ptr<WeightStore>> values = read_safetensors(path, *std::move(file), Wanted(Graph()));
    REQUIRE(values);
    std::vector<Tensor> inputs;
    for (NodeId id : graph.inputs()) {
      const auto& input = *graph[id].as<Input>();
      for (const std::string& array : (*values)->names())
        if (array.starts_with("in."))
          inputs.push_back(to_tensor(*(*values)->find(array), input.shape, input.layout));
    }
    std::vector<Tensor> outputs = interpret(graph, **weights, inputs);
    REQUIRE(outputs.size() == graph.outputs().size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const StoredTensor* expected = (*values)->find("out." + std::to_string(i));
      REQUIRE(expected);
      Layout layout = graph[graph.outputs()[i]].as<Output>()->layout;
      Tensor wanted = to_tensor(*expected, outputs[i].type.shape, layout);
      double largest = 0, error = 0;
      for (size_t j = 0; j < wanted.data.size(); ++j) {
        largest = std::max(largest, std::abs(wanted.data[j]));
        error = std::max(error, std::abs(wanted.data[j] - outputs[i].data[j]));
      }
      CHECK(error <= 2e-6 * largest);
    }
  }
}

TEST_CASE("an input that the model leaves open takes its shape from the caller") {
  ImportOptions options{"net", {{"image", {2, 8, 6, 6}}}, false};
  Result<ImportedModel> model = import_onnx(kModels + "shuffle.onnx", options);
  REQUIRE(model);
  CHECK(model->source.find("f32[2, 8, 6, 6]") != std::string::npos);
  options.shapes["image"] = {2, 8, 7, 6};
  model = import_onnx(kModels + "shuffle.onnx", options);
  REQUIRE(!model);
  CHECK(message(model.error()).find("--shape gives dimension 2 as 7, but in the model it is 6") !=
        std::string::npos);
  options.shapes = {{"picture", {1, 8, 6, 6}}};
  model = import_onnx(kModels + "shuffle.onnx", options);
  REQUIRE(!model);
  CHECK(message(model.error()).find("the model has no such input") != std::string::npos);
}
