#include "compiler/driver/network_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "compiler/weights/mapped_file.h"
#include "ir/text.h"

namespace cardinal::driver {

namespace {

// The name prefixes the symbols that the compiled network exports.
bool is_identifier(const std::string& name) {
  auto fits = [](unsigned char c) { return std::isalnum(c) || c == '_'; };
  return !name.empty() && !std::isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), fits);
}

Result<Graph> load_dump(SourceMap& sources, const SourceArgs& args) {
  if (!args.settings.empty())
    return Diagnostics(fmt::format("{} is an IR dump, whose parameters are settled: --set {} has no effect",
                                   args.path, args.settings.front()));
  Result<MappedFile> file = MappedFile::open(args.path);
  if (!file) return file.take_error();
  std::string text(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
  Result<Graph> graph = parse_ir(sources, args.path, std::move(text));
  if (!graph) return graph;
  if (!args.network.empty() && graph->name != args.network)
    return Diagnostics(fmt::format("{} holds network {}, not {}", args.path, graph->name, args.network));
  if (!is_identifier(graph->name))
    return Diagnostics(
        fmt::format("{}: the network's name, {}, is not a C identifier", args.path, graph->name));
  return graph;
}

}  // namespace

bool is_ir_dump(const std::string& path) { return path.ends_with(".ir"); }

Result<ElaborateOptions> elaborate_options(const SourceArgs& args) {
  ElaborateOptions options{args.network, {}};
  for (const std::string& setting : args.settings) {
    size_t equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
      return Diagnostics(fmt::format("--set {} is not KEY=VALUE", setting));
    options.settings.emplace_back(setting.substr(0, equals), setting.substr(equals + 1));
  }
  return options;
}

Result<Graph> load_graph(SourceMap& sources, const SourceArgs& args) {
  if (is_ir_dump(args.path)) return load_dump(sources, args);
  Result<ElaborateOptions> options = elaborate_options(args);
  if (!options) return options.take_error();
  Result<Program> program = parse_program(sources, args.path);
  if (!program) return program.take_error();
  return elaborate(*program, *options);
}

}  // namespace cardinal::driver
