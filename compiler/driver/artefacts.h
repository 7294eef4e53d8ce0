// What `cardinal compile` can write, and where it goes.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/codegen.h"
#include "ir/result.h"

namespace cardinal::driver {

enum class Emit : uint8_t { so, obj, assembly, llvm_ir, header, ir, plan, ptx, cubin };

struct EmitKind {
  Emit emit;
  std::string_view name;         // as --emit spells it
  std::string_view suffix;       // of the file
  std::optional<CodeKind> code;  // for those that code generation makes
  bool needs_weights;
};
std::span<const EmitKind> emit_kinds();

struct Artefact {
  const EmitKind* kind;
  std::string path;  // "-": standard output
};

// One artefact for each name; none: a shared object and its header. The first goes to `output`, the others
// beside it under their own suffix; an empty `output` is the network's name in the current directory.
Result<std::vector<Artefact>> choose_artefacts(const std::vector<std::string>& names,
                                               const std::string& output, const std::string& network);

// Whether a file can be written there, found out before there is anything to write, without losing one of
// the files that are read.
Status check_output(const std::string& path, std::span<const std::string> read);

// Takes back what was written before something failed; a device or a link is the user's own and stays.
void remove_files(std::span<const std::string> paths);

// Whether `path` is a directory or one can be made there.
Status check_directory(const std::string& path);

// A header that is written along with a shared object may take the place of an earlier one only.
Status check_replaces_only_headers(const std::string& path);

}  // namespace cardinal::driver
