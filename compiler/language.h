// The language's interface to the tool: read a file with its imports, elaborate one of its networks into a
// graph, check everything in it, format it. docs/language.md is the reference.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/language/ast.h"
#include "ir/graph.h"
#include "ir/result.h"

namespace cardinal {

// A parsed file and, transitively, what it imports. Immutable; the trees are shared between copies.
struct Program {
  std::vector<std::shared_ptr<const ast::SourceFile>> files;  // the first is the file that was asked for
  std::string path;                                           // of the first
};

// Reads and parses `path` and its imports.
Result<Program> parse_program(SourceMap& sources, const std::string& path);

// The networks declared in the file itself, in order.
std::vector<std::string> network_names(const Program& program);

struct ElaborateOptions {
  std::string network;                                        // empty: the only one of the file
  std::vector<std::pair<std::string, std::string>> settings;  // --set KEY=VALUE: parameters of the network
};
Result<Graph> elaborate(const Program& program, const ElaborateOptions& options);

// Everything that can be found wrong with the file: syntax and names of all that it declares, and the shapes
// of all its networks, whose parameters take their defaults unless set. Empty if it is right.
Diagnostics check_program(SourceMap& sources, const std::string& path, const ElaborateOptions& options = {});

// The file in the standard format. Fails if it does not parse.
Result<std::string> format_source(SourceMap& sources, const std::string& path);
// The same for a text that did not come from a file; `path` stands for it in messages.
Result<std::string> format_text(SourceMap& sources, const std::string& path, std::string text);

// What may be written where an expression calls something, for the documentation and its test.
struct BuiltinInfo {
  std::string_view name;
  std::string_view signature;
  std::string_view summary;
};
std::vector<BuiltinInfo> builtin_functions();

}  // namespace cardinal
