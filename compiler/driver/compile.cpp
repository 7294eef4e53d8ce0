#include <cardinal/packaging.h>
#include <fmt/format.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>

#include "codegen/describe.h"
#include "compiler/driver/artefacts.h"
#include "compiler/driver/build.h"
#include "compiler/driver/memory.h"
#include "compiler/driver/network_source.h"
#include "compiler/driver/progress.h"
#include "compiler/driver/report.h"
#include "compiler/driver/verbs.h"
#include "compiler/header.h"
#include "compiler/weights/open_weights.h"
#include "ir/text.h"
#include "passes/set_batch.h"

namespace cardinal::driver {

namespace {

using Clock = std::chrono::steady_clock;

// Stages asked for by --print-after (printed at once) and --dump-dir (kept until the compilation has
// succeeded, so that a failing one writes nothing).
class Dumps {
 public:
  explicit Dumps(const CompileArgs& args) : print_(args.print_after), directory_(args.dump_dir) {}

  bool wants(std::string_view stage) const { return !directory_.empty() || prints(stage); }
  void add(std::string_view stage, const std::string& text) {
    if (prints(stage)) fmt::print("# after {}\n{}\n", stage, text);
    std::string suffix = stage == kPlanPass ? "plan" : "ir";
    if (!directory_.empty())
      files_.push_back({fmt::format("{:02}-{}.{}", files_.size(), stage, suffix), text});
  }
  Status write() const {
    if (directory_.empty()) return ok();
    std::error_code error;
    std::filesystem::create_directories(directory_, error);
    if (error) return Diagnostics(fmt::format("cannot make directory {}: {}", directory_, error.message()));
    std::vector<std::string> done;
    for (const auto& [name, text] : files_) {
      const std::string_view pieces[] = {text};
      done.push_back(directory_ + "/" + name);
      if (Expected<void> written = write_file(done.back(), pieces); !written) {
        remove_files(std::span(done).first(done.size() - 1));
        return Diagnostics(written.error().message());
      }
    }
    return ok();
  }

 private:
  struct File {
    std::string name, text;
  };
  bool prints(std::string_view stage) const { return print_ == "all" || print_ == stage; }
  std::string print_, directory_;
  std::vector<File> files_;
};

// The files that no output may replace: the source with all that it imports, the weights, the plan, what was
// measured.
std::vector<std::string> files_read(const CompileArgs& args, const SourceMap& sources) {
  std::vector<std::string> files{args.source.path, args.weights, args.target.plan};
  files.insert(files.end(), args.target.tuning.begin(), args.target.tuning.end());
  for (uint32_t file = 1; file <= sources.count(); ++file) files.emplace_back(sources.path(file));
  return files;
}

// Everything that can be wrong before any work is done.
Status check_outputs(const CompileArgs& args, std::span<const std::string> read,
                     const std::vector<Artefact>& artefacts) {
  for (const Artefact& artefact : artefacts) {
    if (Status good = check_output(artefact.path, read); !good) return good;
    if (artefact.kind->needs_weights && args.weights.empty())
      return Diagnostics(
          fmt::format("--emit {} needs the weights: --weights FILE, or random:SEED to try the network out",
                      artefact.kind->name));
  }
  if (!args.dump_dir.empty())
    if (Status good = check_directory(args.dump_dir); !good) return good;
  if (args.emit.empty()) return check_replaces_only_headers(artefacts.back().path);
  return ok();
}

// The file beside the code that `--weights-file` asks for; empty without it.
Result<std::filesystem::path> choose_weights_path(const CompileArgs& args, std::span<const std::string> read,
                                                  const std::vector<Artefact>& artefacts) {
  if (!args.weights_file && args.compact_weights)
    return Diagnostics("--compact-weights goes with --weights-file");
  if (!args.weights_file) return std::filesystem::path();
  const Artefact& first = artefacts.front();
  if (first.kind->code != CodeKind::object || first.path == "-")
    return Diagnostics("--weights-file goes with --emit so or obj, as the first thing to emit");
  std::filesystem::path path = first.path;
  path.replace_extension(".weights");
  if (Status good = check_output(path.string(), read); !good) return good.take_error();
  return path;
}

std::string size_text(double bytes) {
  return bytes >= 1e6 ? fmt::format("{:.1f} MB", bytes * 1e-6) : fmt::format("{:.1f} kB", bytes * 1e-3);
}

// One compilation whose outputs are settled.
class Compilation {
 public:
  Compilation(SourceMap& sources, Build build, NetworkImage image, std::optional<CompactWeights> compact)
      : sources_(sources), build_(std::move(build)), image_(std::move(image)), compact_(std::move(compact)) {}

  Status write(const Artefact& artefact) {
    const Result<FilePieces> made = content(*artefact.kind);
    if (!made) return made.error();
    if (artefact.kind->emit == Emit::so) return link_shared(*made, image_.symbol, artefact.path);
    if (artefact.path == "-") {
      for (std::string_view piece : *made) std::fwrite(piece.data(), 1, piece.size(), stdout);
      return ok();
    }
    Expected<void> written = write_file(artefact.path, *made);
    return written ? ok() : Diagnostics(written.error().message());
  }

  Status write_weights(const std::string& path) const {
    Expected<void> written =
        write_weights_file(path, std::as_bytes(std::span(image_.weights)),
                           ModelDescription(build_.graph, build_.plans, image_).model().model_hash,
                           compact_ ? &*compact_ : nullptr);
    return written ? ok() : Diagnostics(written.error().message());
  }

  // "resnet50.so: network resnet50 for znver4, 1.2 MB of code, 102.2 MB of weights"
  std::string summary(const Artefact& artefact) const {
    std::vector<std::string_view> targets;
    for (const Plan& plan : build_.plans) targets.push_back(plan.target.cpu);
    std::string line =
        fmt::format("{}: network {} for {}", artefact.path, build_.graph.name, fmt::join(targets, " and "));
    if (artefact.kind->code == CodeKind::object && object_) {
      line += fmt::format(", {} of code, {} of weights", size_text(static_cast<double>(object_->size())),
                          size_text(static_cast<double>(image_.weights.size()) * sizeof(float)));
      if (compact_)
        line += fmt::format(" formed from {} in {}",
                            size_text(static_cast<double>(compact_->stored.size()) * sizeof(float)),
                            image_.weights_file);
    }
    return line;
  }

 private:
  // The artefact's content, or for a shared object the object file to be linked; valid until the next call.
  Result<FilePieces> content(const EmitKind& kind) {
    if (kind.code == CodeKind::object && object_) return object_file(*object_, image_);
    Result<std::string> made = std::string();
    if (kind.code) {
      made = emit_code(build_.graph, build_.plans, image_, *kind.code);
    } else if (kind.emit == Emit::header) {
      made = generate_header(ModelDescription(build_.graph, build_.plans, image_).model());
    } else if (kind.emit == Emit::ir) {
      made = print(build_.graph, &sources_);
    } else {
      made = print_plans(build_.plans, build_.graph);
    }
    if (!made) return made.take_error();
    if (kind.code == CodeKind::object) return object_file(object_.emplace(*std::move(made)), image_);
    text_ = *std::move(made);
    return FilePieces{text_};
  }

  SourceMap& sources_;
  Build build_;
  NetworkImage image_;
  std::optional<CompactWeights> compact_;
  std::optional<std::string> object_;  // for object_file; made once however many artefacts need it
  std::string text_;
};

// Writes the weight file, if there is to be one, and all artefacts; or, where one fails, none.
Status write_all(Compilation& compilation, const std::vector<Artefact>& artefacts,
                 const std::string& weights_path) {
  std::vector<std::string> done;
  auto undo = [&done](Status failed) {
    remove_files(done);
    return failed;
  };
  if (!weights_path.empty()) {
    if (Status written = compilation.write_weights(weights_path); !written) return undo(std::move(written));
    done.push_back(weights_path);
  }
  for (const Artefact& artefact : artefacts) {
    Progress progress(fmt::format("writing {}", artefact.path));
    if (Status written = compilation.write(artefact); !written) return undo(std::move(written));
    if (artefact.path != "-") done.push_back(artefact.path);
  }
  return ok();
}

}  // namespace

std::vector<std::string> emit_names() {
  std::vector<std::string> names;
  for (const EmitKind& kind : emit_kinds()) names.emplace_back(kind.name);
  return names;
}

int compile(const CompileArgs& args) {
  Clock::time_point start = Clock::now();
  SourceMap sources;
  if (Status known = check_pass_name(args.print_after, {kPlanPass, "all"}); !known)
    return fail(known.error());
  Result<Graph> source = load_graph(sources, args.source);
  if (source && args.batch) source = set_batch(*source, args.batch);
  if (!source) return fail(source.error(), sources);
  Result<std::vector<Artefact>> artefacts = choose_artefacts(args.emit, args.output, source->name);
  if (!artefacts) return fail(artefacts.error());
  std::vector<std::string> read = files_read(args, sources);
  if (Status outputs = check_outputs(args, read, *artefacts); !outputs) return fail(outputs.error());
  Result<std::filesystem::path> weights_path = choose_weights_path(args, read, *artefacts);
  if (!weights_path) return fail(weights_path.error());

  std::unique_ptr<WeightStore> weights;
  if (!args.weights.empty()) {
    if (Status fits = check_memory(memory_to_compile(*source), "compiling this network"); !fits)
      return fail(fits.error());
    Progress progress(fmt::format("reading {}", args.weights));
    Result<std::unique_ptr<WeightStore>> opened = open_weights(args.weights, *source, args.ignored_weights);
    if (!opened) return fail(opened.error(), sources);
    weights = *std::move(opened);
  }
  if (weights) report_ignored(ignored_weights(*source, *weights, args.ignored_weights), weights->describe());

  Dumps dumps(args);
  BuildOptions options{args.target, [&](std::string_view stage) { return dumps.wants(stage); },
                       [&](std::string_view stage, const std::string& text) { dumps.add(stage, text); }};
  Result<Build> build = build_plan(sources, *source, options);
  if (!build) return fail(build.error(), sources);
  NetworkImage image{
      .symbol = source->name, .weights_file = weights_path->filename().string(), .weights = {}};
  std::optional<CompactWeights> compact;
  if (args.compact_weights) compact.emplace();
  if (weights) {
    Progress progress("packing the weights");
    image.weights = pack_weights(build->graph, build->plans, *weights, compact ? &*compact : nullptr);
  }

  image.assembler = args.ptxas.empty() ? find_assembler() : args.ptxas;
  Compilation compilation(sources, *std::move(build), std::move(image), std::move(compact));
  if (Status written = write_all(compilation, *artefacts, weights_path->string()); !written)
    return fail(written.error(), sources);
  if (Status dumped = dumps.write(); !dumped) {
    std::vector<std::string> written{weights_path->string()};
    for (const Artefact& artefact : *artefacts) written.push_back(artefact.path);
    remove_files(written);
    return fail(dumped.error());
  }
  double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  for (const Artefact& artefact : *artefacts)
    if (artefact.path != "-") fmt::print(stderr, "{}, {:.1f} s\n", compilation.summary(artefact), seconds);
  return kDone;
}

}  // namespace cardinal::driver
