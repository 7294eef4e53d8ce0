#include "compiler/driver/build.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "codegen/codegen.h"
#include "compiler/driver/progress.h"
#include "compiler/weights/mapped_file.h"
#include "ir/text.h"
#include "passes/explain.h"
#include "passes/pipeline.h"

namespace cardinal::driver {

namespace {

Result<std::string> read_text(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.take_error();
  return std::string(reinterpret_cast<const char*>(file->bytes().data()), file->bytes().size());
}

Result<PlanOptions> plan_options(SourceMap& sources, const TargetArgs& args) {
  PlanOptions options;
  options.winograd = args.winograd;
  options.fast_matmul = args.fast_matmul;
  options.blocked_sums = args.blocked_sums;
  options.max_weight_growth = args.max_weight_growth;
  options.same_bits = args.same_bits;
  if (args.precision == "bf16") options.precision = DType::bf16;
  if (args.precision == "fp32" || args.precision == "tf32") options.precision = DType::f32;
  options.tf32 = args.precision == "tf32";
  options.conv_pairs = args.conv_pairs;
  options.use_wgmma = args.matrix_unit == "wgmma";
  for (const std::string& path : args.tuning) {
    Result<Tuning> tuning = read_tuning_file(sources, path);
    if (!tuning) return tuning.take_error();
    options.tuning.add(*tuning);
  }
  if (args.plan.empty()) return options;
  Result<std::string> text = read_text(args.plan);
  if (!text) return text.take_error();
  auto overrides = read_overrides(sources, args.plan, *std::move(text));
  if (!overrides) return overrides.take_error();
  options.overrides = *std::move(overrides);
  return options;
}

}  // namespace

std::string print_plans(std::span<const Plan> plans, const Graph& graph) {
  std::string text;
  for (const Plan& plan : plans) text += explain(plan, graph);
  return text;
}

Result<Tuning> read_tuning_file(SourceMap& sources, const std::string& path) {
  Result<std::string> text = read_text(path);
  if (!text) return text.take_error();
  return read_tuning(sources, path, *std::move(text));
}

Status check_pass_name(std::string_view name, std::initializer_list<std::string_view> others) {
  std::vector<std::string_view> known{kSourcePass};
  for (const Pass& pass : pass_table()) known.push_back(pass.name);
  known.insert(known.end(), others);
  if (name.empty() || std::find(known.begin(), known.end(), name) != known.end()) return ok();
  return Diagnostics(fmt::format("there is no pass {}; there are {}", name, fmt::join(known, ", ")));
}

Result<Build> build_plan(SourceMap& sources, const Graph& source, const BuildOptions& options) {
  Result<std::vector<Target>> targets = resolve_targets(options.target.target);
  if (!targets) return targets.take_error();
  Result<PlanOptions> planning = plan_options(sources, options.target);
  if (!planning) return planning.take_error();
  if (!options.target.precision.empty() && !targets->front().gpu)
    return Diagnostics(
        fmt::format("--precision is for GPUs; code for {} computes in fp32", targets->front().cpu));

  const auto has_wgmma = [](const Target& target) { return target.gpu && target.gpu->wgmma_tflops > 0; };
  if (planning->use_wgmma && !has_wgmma(targets->front()))
    return Diagnostics(
        fmt::format("--matrix-unit wgmma needs --target sm_90a; {} has no wgmma", targets->front().cpu));
  if (planning->use_wgmma && planning->precision == DType::f32)
    return Diagnostics(
        fmt::format("--matrix-unit wgmma needs --precision fp16 or bf16; it computes nothing in {}",
                    options.target.precision));

  Progress progress("optimising and planning");
  auto wants = [&options](std::string_view stage) { return options.wants && options.wants(stage); };
  PipelineOptions passes;
  passes.gpu = targets->front().gpu.has_value();
  passes.after = [&](std::string_view pass, const Graph& graph) {
    if (wants(pass)) options.dump(pass, print(graph, &sources));
  };
  Result<Graph> graph = run_pipeline(source, passes);
  if (!graph) return graph.take_error();
  Result<std::vector<Plan>> plans = make_plans(*graph, *targets, *planning);
  if (!plans) return plans.take_error();
  if (wants(kPlanPass)) options.dump(kPlanPass, print_plans(*plans, *graph));
  return Build{*std::move(graph), *std::move(plans), *std::move(planning)};
}

}  // namespace cardinal::driver
