#include "compiler/language/loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "compiler/language/parser.h"

namespace cardinal {
namespace {

namespace fs = std::filesystem;

// A description of a network takes kilobytes; the bound keeps a wrong file name from filling the memory.
constexpr uintmax_t kMaxSourceBytes = 16 << 20;
constexpr size_t kMaxFiles = 256;

struct Loader {
  SourceMap& sources;
  Diagnostics& diagnostics;
  std::vector<std::shared_ptr<ast::SourceFile>> files;
  std::map<fs::path, uint32_t> known;  // by canonical path; 0 while unreadable
  std::vector<fs::path> open;          // the chain of imports being read

  static fs::path canonical(const fs::path& path) {
    std::error_code code;
    fs::path result = fs::weakly_canonical(path, code);
    return code ? path : result;
  }

  // Returns the file's id, 0 after an error.
  uint32_t load(const fs::path& path, SourceLocation imported_at) {
    fs::path key = canonical(path);
    if (std::find(open.begin(), open.end(), key) != open.end()) {
      diagnostics.error(imported_at, open.back() == key ? "a file cannot import itself" : cycle(key));
      return 0;
    }
    if (auto found = known.find(key); found != known.end()) return found->second;
    if (known.size() >= kMaxFiles) {
      diagnostics.error(imported_at, fmt::format("more than {} files are imported", kMaxFiles));
      return 0;
    }
    known[key] = 0;
    Result<std::string> text = read_source(path.string(), imported_at);
    if (!text) {
      diagnostics.append(text.take_error());
      return 0;
    }
    uint32_t id = sources.add(path.string(), std::move(*text));
    known[key] = id;
    auto file = std::make_shared<ast::SourceFile>(parse_source(sources, id, diagnostics));
    files.push_back(file);
    open.push_back(key);
    for (ast::Item& item : file->items)
      if (auto* import = std::get_if<ast::Import>(&item.node)) follow(*import, path);
    open.pop_back();
    return id;
  }

  void follow(ast::Import& import, const fs::path& importer) {
    if (import.path.empty()) {
      diagnostics.error(import.path_where, "an import needs a file name");
      return;
    }
    fs::path path(import.path);
    import.file = load(path.is_absolute() ? path : importer.parent_path() / path, import.path_where);
  }

  std::string cycle(const fs::path& again) const {
    std::string chain;
    for (auto it = std::find(open.begin(), open.end(), again); it != open.end(); ++it)
      chain += it->filename().string() + " imports ";
    return fmt::format("imports go round in a circle: {}{}", chain, again.filename().string());
  }
};

}  // namespace

Result<std::string> read_source(const std::string& path, SourceLocation imported_at) {
  auto fail = [&](std::string why) {
    return Diagnostics(fmt::format("cannot read {}: {}", path, why), imported_at);
  };
  if (path.find('\0') != std::string::npos)
    return Diagnostics("a file name cannot contain a NUL byte", imported_at);
  std::error_code code;
  fs::file_status status = fs::status(path, code);
  if (status.type() == fs::file_type::not_found) return fail("there is no such file");
  if (code) return fail(code.message());
  if (fs::is_directory(status)) return fail("it is a directory");
  errno = 0;
  std::ifstream stream(path, std::ios::binary);
  if (!stream) return fail(errno ? std::strerror(errno) : "it cannot be opened");
  std::string text;
  std::vector<char> chunk(1 << 16);
  while (stream.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || stream.gcount() > 0) {
    text.append(chunk.data(), static_cast<size_t>(stream.gcount()));
    if (text.size() > kMaxSourceBytes)
      return fail(
          fmt::format("it is longer than {} MiB; is it a network description?", kMaxSourceBytes >> 20));
  }
  if (stream.bad()) return fail("reading it failed");
  return text;
}

Program load_program(SourceMap& sources, const std::string& path, Diagnostics& diagnostics) {
  Loader loader{sources, diagnostics, {}, {}, {}};
  loader.load(path, {});
  Program program;
  program.path = path;
  program.files.assign(loader.files.begin(), loader.files.end());
  return program;
}

Result<Program> parse_program(SourceMap& sources, const std::string& path) {
  Diagnostics diagnostics;
  Program program = load_program(sources, path, diagnostics);
  if (diagnostics.has_errors()) return diagnostics;
  return program;
}

std::vector<std::string> network_names(const Program& program) {
  std::vector<std::string> names;
  if (program.files.empty()) return names;
  for (const ast::Item& item : program.files.front()->items) {
    const auto* callable = std::get_if<ast::Callable>(&item.node);
    if (callable && callable->kind == ast::CallableKind::network) names.push_back(callable->name.text);
  }
  return names;
}

}  // namespace cardinal
