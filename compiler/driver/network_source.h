// From what the command line names to a graph.
#pragma once

#include "compiler/driver/verbs.h"
#include "compiler/language.h"
#include "ir/graph.h"

namespace cardinal::driver {

bool is_ir_dump(const std::string& path);  // by its suffix, .ir

// KEY=VALUE pairs taken apart.
Result<ElaborateOptions> elaborate_options(const SourceArgs& args);

Result<Graph> load_graph(SourceMap& sources, const SourceArgs& args);

}  // namespace cardinal::driver
