#include "compiler/driver/artefacts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace cardinal::driver {

namespace {

constexpr std::array kKinds = {
    EmitKind{Emit::so, "so", ".so", CodeKind::object, true},
    EmitKind{Emit::obj, "obj", ".o", CodeKind::object, true},
    EmitKind{Emit::assembly, "asm", ".s", CodeKind::assembly, true},
    EmitKind{Emit::llvm_ir, "llvm-ir", ".ll", CodeKind::llvm_ir, true},
    EmitKind{Emit::header, "header", ".h", std::nullopt, true},
    EmitKind{Emit::ir, "ir", ".ir", std::nullopt, false},
    EmitKind{Emit::plan, "plan", ".plan", std::nullopt, false},
    EmitKind{Emit::ptx, "ptx", ".ptx", CodeKind::ptx, false},
    EmitKind{Emit::cubin, "cubin", ".cubin", CodeKind::cubin, false},
};

}  // namespace

std::span<const EmitKind> emit_kinds() { return kKinds; }

Result<std::vector<Artefact>> choose_artefacts(const std::vector<std::string>& names,
                                               const std::string& output, const std::string& network) {
  std::vector<const EmitKind*> kinds;
  for (const std::string& name : names) {
    auto kind = std::find_if(kKinds.begin(), kKinds.end(), [&](const EmitKind& k) { return k.name == name; });
    if (kind == kKinds.end()) return Diagnostics(fmt::format("there is nothing to emit called {}", name));
    if (std::find(kinds.begin(), kinds.end(), &*kind) == kinds.end()) kinds.push_back(&*kind);
  }
  if (kinds.empty()) kinds = {&kKinds[0], &kKinds[4]};
  static_assert(kKinds[0].emit == Emit::so && kKinds[4].emit == Emit::header);
  if (output == "-" && (kinds.size() > 1 || kinds[0]->emit == Emit::so))
    return Diagnostics("-o - takes one thing to emit, and it cannot be the shared object");

  std::filesystem::path base =
      output.empty() ? std::filesystem::path(network) : std::filesystem::path(output);
  if (!output.empty()) base.replace_extension();
  std::vector<Artefact> out;
  for (const EmitKind* kind : kinds) {
    bool is_named = out.empty() && !output.empty();
    out.push_back({kind, is_named ? output : base.string() + std::string(kind->suffix)});
    if (!is_named && out.back().path == out.front().path && out.size() > 1)
      return Diagnostics(fmt::format("{} would be both {} and {}", output, kinds[0]->name, kind->name));
  }
  return out;
}

Status check_output(const std::string& path, std::span<const std::string> read) {
  if (path == "-") return ok();
  std::error_code ignored;
  for (const std::string& input : read)
    if (std::filesystem::equivalent(input, path, ignored))
      return Diagnostics(fmt::format("{} is both read and written", path));
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("cannot write {}: {}", path, why));
  };
  if (std::filesystem::is_directory(path, ignored)) return failure("it is a directory");
  // Devices and pipes are written in place; for a file a new one is put into its directory.
  if (std::filesystem::exists(path, ignored) && !std::filesystem::is_regular_file(path, ignored)) return ok();
  std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (directory.empty()) directory = ".";
  if (!std::filesystem::is_directory(directory, ignored))
    return failure(fmt::format("there is no directory {}", directory.string()));
  if (access(directory.c_str(), W_OK | X_OK) != 0)
    return failure(fmt::format("directory {}: {}", directory.string(), std::strerror(errno)));
  return ok();
}

void remove_files(std::span<const std::string> paths) {
  std::error_code ignored;
  for (const std::string& path : paths)
    if (std::filesystem::is_regular_file(std::filesystem::symlink_status(path, ignored)))
      std::filesystem::remove(path, ignored);
}

Status check_directory(const std::string& path) {
  std::error_code ignored;
  std::filesystem::path existing = path;
  while (!existing.empty() && !std::filesystem::exists(existing, ignored)) existing = existing.parent_path();
  if (existing.empty()) existing = ".";
  if (!std::filesystem::is_directory(existing, ignored))
    return Diagnostics(existing == path ? fmt::format("{} is not a directory", path)
                                        : fmt::format("cannot make directory {}: {} is not a directory", path,
                                                      existing.string()));
  if (access(existing.c_str(), W_OK | X_OK) != 0)
    return Diagnostics(fmt::format("directory {}: {}", existing.string(), std::strerror(errno)));
  return ok();
}

Status check_replaces_only_headers(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return ok();
  std::string beginning(256, '\0');
  file.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  if (beginning.find("written by cardinal") != std::string::npos) return ok();
  return Diagnostics(
      fmt::format("{} exists and is not a header that cardinal wrote; move it away, or leave the header "
                  "out with --emit so",
                  path));
}

}  // namespace cardinal::driver
