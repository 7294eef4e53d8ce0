#include "tests/language/support.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "ir/text.h"

namespace cardinal::test {

namespace fs = std::filesystem;

ScratchDirectory::ScratchDirectory() {
  std::string pattern = (fs::temp_directory_path() / "cardinal-language-XXXXXX").string();
  root_ = mkdtemp(pattern.data());
}

ScratchDirectory::~ScratchDirectory() {
  std::error_code ignored;
  fs::remove_all(root_, ignored);
}

std::string ScratchDirectory::path(const std::string& name) const { return root_ + "/" + name; }

std::string ScratchDirectory::write(const std::string& name, const std::string& text) const {
  std::ofstream(path(name), std::ios::binary) << text;
  return path(name);
}

std::string source_root() { return SOURCE_ROOT; }

std::string read_text(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<std::string> errors_of(const std::string& text, const ElaborateOptions& options) {
  ScratchDirectory directory;
  SourceMap sources;
  Diagnostics found = check_program(sources, directory.write("test.nn", text), options);
  std::vector<std::string> lines;
  for (const Diagnostic& d : found.list())
    lines.push_back(fmt::format("{}:{}: {}", d.where.line, d.where.column, d.message));
  return lines;
}

std::string graph_of(const std::string& text, const ElaborateOptions& options) {
  ScratchDirectory directory;
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
