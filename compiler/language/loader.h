// Files to a Program: reading, imports, cycles.
#pragma once

#include "compiler/language.h"

namespace cardinal {

// Reads what can be read; everything wrong is in `diagnostics`. A file that could not be read is missing in
// the result.
Program load_program(SourceMap& sources, const std::string& path, Diagnostics& diagnostics);

// The text of a source file, or why it cannot be read.
Result<std::string> read_source(const std::string& path, SourceLocation imported_at = {});

}  // namespace cardinal
