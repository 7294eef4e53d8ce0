#include "compiler/import/import.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <filesystem>

#include "compiler/import/blocks.h"
#include "compiler/import/converter.h"
#include "compiler/import/onnx_graph.h"
#include "compiler/import/patterns.h"
#include "compiler/import/source_writer.h"
#include "compiler/language.h"

namespace cardinal {

using namespace onnx_import;

namespace {

std::string input_text(const Layer& layer) {
  const auto& input = std::get<Input>(layer.op);
  std::string layout = input.layout == Layout::nhwc ? " layout=nhwc" : "";
  std::string dims = fmt::format("{}", fmt::join(input.shape.dims(), ", "));
  if (input.open_batch) dims.replace(0, 1, "N");  // for the 1 of one image
  return fmt::format("input {}: f32[{}]{}\n", layer.name, dims, layout);
}

std::string write_source(const Network& network, const BlockProgram& program) {
  std::string inputs;
  std::map<size_t, std::string> names;
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const Layer& layer = network.layers[i];
    if (!layer.operands.empty()) continue;
    inputs += input_text(layer);
    names[i] = layer.name;
  }
  std::vector<SourceResult> results;
  for (const NetworkOutput& output : network.outputs)
    results.push_back({output.layer, output.name, output.layout == Layout::nhwc ? "nhwc" : ""});
  return fmt::format("{}\nnetwork {} {{\n{}{}}}\n", fmt::join(program.blocks, "\n"), network.name, inputs,
                     write_statements(program.calls, names, results));
}

// Layers by their whole names, one call each.
BlockProgram flat_program(const Network& network) {
  BlockProgram out;
  for (size_t i = 0; i < network.layers.size(); ++i)
    if (!network.layers[i].operands.empty()) out.calls.push_back(layer_call(network, i));
  return out;
}

std::vector<ImportedWeight> collect_weights(const Network& network) {
  std::vector<ImportedWeight> out;
  for (const Layer& layer : network.layers)
    for (const LayerWeight& weight : layer.weights) {
      std::string name = weight.suffix.empty() ? layer.name : layer.name + "." + weight.suffix;
      out.push_back({name, weight.shape, {weight.data, &weight.data->floats}});
    }
  return out;
}

}  // namespace

Result<ImportedModel> import_onnx(const std::string& path, const ImportOptions& options) {
  Result<OnnxGraph> graph = read_onnx(path);
  if (!graph) return graph.take_error();
  simplify_graph(*graph);
  Result<Network> converted = Converter(*graph, path).run(options.shapes);
  if (!converted) return converted.take_error();
  Network network = without_dead_layers(*converted);
  make_names_unique(network);
  network = reordered(network, written_order(network));
  network.name = identifier(options.network, "net");
  // Also where they are not wanted, because repeating pieces are given their names by it.
  BlockProgram program = recover_blocks(network);
  if (options.flat) program = flat_program(network);
  SourceMap sources;
  std::string file = std::filesystem::path(path).filename().string();
  Result<std::string> source = format_text(
      sources, path, fmt::format("# Imported from {}.\n\n{}", file, write_source(network, program)));
  if (!source) return source.take_error();
  return ImportedModel{network.name, *std::move(source), collect_weights(network)};
}

}  // namespace cardinal
