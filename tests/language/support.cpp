#include "tests/language/support.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/text.h"

namespace cardinal::test {

std::string SourceDirectory::path(const std::string& name) const { return files_.file(name); }

std::string SourceDirectory::write(const std::string& name, const std::string& text) const {
  write_text(path(name), text);
  return path(name);
}

std::string source_root() { return SOURCE_ROOT; }

std::vector<std::string> errors_of(const std::string& text, const ElaborateOptions& options) {
  SourceDirectory directory;
  SourceMap sources;
  Diagnostics found = check_program(sources, directory.write("test.nn", text), options);
  std::vector<std::string> lines;
  for (const Diagnostic& d : found.list())
    lines.push_back(fmt::format("{}:{}: {}", d.where.line, d.where.column, d.message));
  return lines;
}

std::string graph_of(const std::string& text, const ElaborateOptions& options) {
  SourceDirectory directory;
  SourceMap sources;
  Result<Program> program = parse_program(sources, directory.write("test.nn", text));
  if (!program) return program.error().render(sources);
  Result<Graph> graph = elaborate(*program, options);
  if (!graph) return graph.error().render(sources);
  graph->source.clear();
  return print(*graph);
}

std::string channels_of(const std::string& expression, const std::string& statements) {
  std::string text = "network n {\n  input x: f32[1, 4, 4, 4]\n" + statements + "\n  y = x |> c: conv(" +
                     expression + ", kernel=1)\n  return y\n}\n";
  std::string graph = graph_of(text);
  size_t at = graph.find("channels=");
  if (at == std::string::npos) return graph;
  at += std::string("channels=").size();
  return graph.substr(at, graph.find_first_of(",}", at) - at);
}

bool contains(const std::vector<std::string>& messages, const std::string& part) {
  return std::any_of(messages.begin(), messages.end(),
                     [&](const std::string& m) { return m.find(part) != std::string::npos; });
}

}  // namespace cardinal::test
