// The graph passes, as a table with checked order.
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "ir/graph.h"
#include "ir/result.h"

namespace cardinal {

struct Pass {
  std::string_view name;     // as --print-after spells it
  std::string_view summary;  // one line
  Graph (*run)(const Graph&);
  bool cpus_only = false;  // worth nothing on a GPU
};

std::span<const Pass> pass_table();

struct PipelineOptions {
  std::string stop_after;             // run up to and including this pass; "" for all
  std::vector<std::string> disabled;  // passes to leave out
  bool gpu = false;                   // leave out the passes that are for CPUs only
  bool verify = true;                 // check the graph's invariants after each pass
  // Called with each pass's name and result ("source" for the graph as elaborated).
  std::function<void(std::string_view pass, const Graph&)> after;
};

// Fails only for an unknown pass name (listing the known ones), or with an internal error if a verification
// fails.
Result<Graph> run_pipeline(const Graph&, const PipelineOptions& options = {});

}  // namespace cardinal
