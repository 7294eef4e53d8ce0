// Tokens to tree. Recovers at the ends of statements, so that one run reports every mistake.
#pragma once

#include "compiler/language/ast.h"

namespace cardinal {

// `file` must be in `sources`. What could be understood is returned even where there are errors.
ast::SourceFile parse_source(const SourceMap& sources, uint32_t file, Diagnostics& diagnostics);

}  // namespace cardinal
