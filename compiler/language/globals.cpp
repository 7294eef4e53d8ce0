#include "compiler/language/globals.h"

#include <fmt/format.h>

namespace cardinal {
namespace {

void declare(FileScope& scope, const std::string& name, const Global& global, Diagnostics& diagnostics) {
  auto [it, inserted] = scope.names.emplace(name, global);
  if (inserted || it->second.where == global.where) return;
  bool imported = it->second.file != global.file;
  Diagnostic& d = diagnostics.error(
      global.where, imported
                        ? fmt::format("'{}' is also declared in an imported file; rename one of them", name)
                        : fmt::format("'{}' is declared twice", name));
  d.notes.push_back({it->second.where, "the other declaration is here"});
}

FileScope own_names(const ast::SourceFile& file, Diagnostics& diagnostics) {
  FileScope scope;
  for (const ast::Item& item : file.items) {
    if (const auto* let = std::get_if<ast::Let>(&item.node)) {
      declare(scope, let->name.text, {nullptr, let, let->name.where, file.id}, diagnostics);
    } else if (const auto* callable = std::get_if<ast::Callable>(&item.node)) {
      declare(scope, callable->name.text, {callable, nullptr, callable->name.where, file.id}, diagnostics);
    }
  }
  for (const ast::Name& name : file.unreadable)
    declare(scope, name.text, {nullptr, nullptr, name.where, file.id}, diagnostics);
  return scope;
}

}  // namespace

Globals collect_globals(const Program& program, Diagnostics& diagnostics) {
  Globals own;
  for (const auto& file : program.files) own[file->id] = own_names(*file, diagnostics);
  Globals result;
  for (const auto& file : program.files) {
    FileScope& scope = result[file->id];
    scope.incomplete = file->incomplete;
    for (const ast::Item& item : file->items) {
      const auto* import = std::get_if<ast::Import>(&item.node);
      if (!import) continue;
      if (import->file == 0) scope.incomplete = true;
      for (const auto& [name, global] : own[import->file].names) {
        // A network of an imported file belongs to that file; it cannot be called anyway.
        bool network = global.callable && global.callable->kind == ast::CallableKind::network;
        if (!network) declare(scope, name, global, diagnostics);
      }
    }
    for (const auto& [name, global] : own[file->id].names) declare(scope, name, global, diagnostics);
  }
  return result;
}

}  // namespace cardinal
