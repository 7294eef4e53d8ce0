// The names that each file sees: what it declares and what its direct imports declare.
#pragma once

#include <map>
#include <string>

#include "compiler/language.h"

namespace cardinal {

struct Global {
  const ast::Callable* callable = nullptr;  // one of the two, or none if it could not be read
  const ast::Let* constant = nullptr;
  SourceLocation where;
  uint32_t file = 0;  // where it is declared
};

struct FileScope {
  std::map<std::string, Global, std::less<>> names;
  // Some declaration or import of this file could not be read, so an unknown name may well exist.
  bool incomplete = false;
};

using Globals = std::map<uint32_t, FileScope>;  // by file id

// Reports names that are declared twice.
Globals collect_globals(const Program& program, Diagnostics& diagnostics);

}  // namespace cardinal
