// check, fmt, ir: the verbs that stop at the source.
#include <cardinal/packaging.h>
#include <fmt/format.h>

#include "compiler/driver/build.h"
#include "compiler/driver/network_source.h"
#include "compiler/driver/report.h"
#include "compiler/driver/verbs.h"
#include "ir/text.h"
#include "passes/pipeline.h"

namespace cardinal::driver {

int check(const SourceArgs& args) {
  SourceMap sources;
  if (is_ir_dump(args.path)) {
    Result<Graph> graph = load_graph(sources, args);
    return graph ? kDone : fail(graph.error(), sources);
  }
  Result<ElaborateOptions> options = elaborate_options(args);
  if (!options) return fail(options.error());
  Diagnostics found = check_program(sources, args.path, *options);
  if (found.has_errors()) return fail(found, sources);
  fmt::print(stderr, "{}", found.render(sources));
  return kDone;
}

int format(const FormatArgs& args) {
  int worst = kDone;
  for (const std::string& path : args.paths) {
    SourceMap sources;
    Result<std::string> formatted = format_source(sources, path);
    if (!formatted) {
      worst = fail(formatted.error(), sources);
    } else if (*formatted == sources.text(1)) {
      continue;
    } else if (args.check) {
      worst = fail(fmt::format("{} is not formatted; run `cardinal fmt {}`", path, path));
    } else {
      const std::string_view pieces[] = {*formatted};
      if (Expected<void> written = write_file(path, pieces); !written)
        worst = fail(written.error().message());
    }
  }
  return worst;
}

int print_ir(const IrArgs& args) {
  SourceMap sources;
  if (Status known = check_pass_name(args.after, {}); !known) return fail(known.error());
  Result<Graph> graph = load_graph(sources, args.source);
  if (graph && !args.after.empty() && args.after != kSourcePass)
    graph = run_pipeline(*graph, PipelineOptions{.stop_after = args.after});
  if (!graph) return fail(graph.error(), sources);
  fmt::print("{}", print(*graph, &sources));
  return kDone;
}

}  // namespace cardinal::driver
