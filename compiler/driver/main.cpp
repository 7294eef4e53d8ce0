// The command line: flags to argument structs, exceptions to exit codes.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <new>

#include "compiler/driver/report.h"
#include "compiler/driver/verbs.h"
#include "compiler/language/suggest.h"

namespace cardinal::driver {

namespace {

constexpr const char* kExamples = R"(examples:
  cardinal compile resnet50.nn --weights resnet50.safetensors      writes resnet50.so and resnet50.h
  cardinal compile resnet50.nn --weights random:0 --emit asm -o -  assembly on the terminal
  cardinal import resnet50.onnx -o resnet50.nn                     writes resnet50.nn and resnet50.safetensors
  cardinal plan resnet50.nn                                        each layer's kernel, and why
  cardinal bench resnet50.so --threads 4
  cardinal profile resnet50.so --sort lost                         where the time goes, and what could be had
  cardinal tune resnet50.nn                                        writes resnet50.tuning for compile --tuning
  cardinal run resnet50.so --input image.npy --output logits.npy
  cardinal verify resnet50.nn --weights random:0

exit codes: 0 done, 1 your mistake (nothing is written), 2 a fault of the compiler)";

// What the chosen verb will do; set by parsing.
using Action = std::function<int()>;

// CLI::Range takes NaN for a number within it.
CLI::Validator in_range(double least, double most) {
  return CLI::Validator(
      [least, most](const std::string& text) {
        double value = 0;
        bool good = CLI::detail::lexical_cast(text, value) && value >= least && value <= most;
        return good ? std::string()
                    : fmt::format("expected a number from {} to {}, got {}", least, most, text);
      },
      fmt::format("FLOAT in [{} - {}]", least, most));
}

// Options that may be repeated take one value each time (allow_extra_args(false)): they must not swallow what
// follows.
template <class Args>
CLI::App* add_verb(CLI::App& app, const std::string& name, const std::string& summary, Args& args,
                   Action& action, int (*verb)(const Args&)) {
  CLI::App* sub = app.add_subcommand(name, summary);
  sub->callback([&args, &action, verb] { action = [&args, verb] { return verb(args); }; });
  return sub;
}

void add_source_options(CLI::App* sub, SourceArgs& args) {
  sub->add_option("NET", args.path, "a network's source, .nn, or an IR dump, .ir")->required();
  sub->add_option("--network", args.network, "which network of the file, if it has several");
  sub->add_option("--set", args.settings, "KEY=VALUE: a parameter of the network; repeatable")
      ->allow_extra_args(false);
}

void add_target_options(CLI::App* sub, TargetArgs& args) {
  sub->add_option(
         "--target", args.target,
         "native, x86-64 (a variant for x86-64-v3 and one for x86-64-v4, chosen when the network is "
         "loaded), x86-64-v3, x86-64-v4, aarch64 or an LLVM CPU name such as znver4 or neoverse-n1; for an "
         "NVIDIA GPU sm_80, sm_90a and the like")
      ->capture_default_str();
  sub->add_option("--plan", args.plan, "file that overrides choices of the planner, a line for each step");
  sub->add_option("--winograd", args.winograd,
                  "on or off: whether 3x3 convolutions may be computed by Winograd's algorithm, faster and "
                  "less exact")
      ->transform(CLI::CheckedTransformer(std::map<std::string, bool>{{"on", true}, {"off", false}}))
      ->default_str("on");
  sub->add_option("--fast-matmul", args.fast_matmul,
                  "off, one or two: levels of fast matrix multiplication (Strassen-Winograd) by which 1x1 "
                  "convolutions may be computed, faster and less exact, with larger weights")
      ->transform(CLI::CheckedTransformer(std::map<std::string, int>{{"off", 0}, {"one", 1}, {"two", 2}}))
      ->default_str("two");
  sub->add_option_function<bool>(
         "--blocked-sums", [&args](bool on) { args.blocked_sums = on; },
         "on or off: whether convolutions add up long sums in blocks of about 64 terms, more exact and up to "
         "4% slower; on by default with --winograd off --fast-matmul off")
      ->transform(CLI::CheckedTransformer(std::map<std::string, bool>{{"on", true}, {"off", false}}));
  sub->add_option("--max-weight-growth", args.max_weight_growth,
                  "how many times larger an algorithm may make a layer's weights: one level of fast matrix "
                  "multiplication needs 1.75, two 3.06, Winograd's algorithm up to 4")
      ->check(CLI::Range(1.0, std::numeric_limits<double>::infinity(), "a number from 1 on"))
      ->default_str("no limit");
  sub->add_option(
         "--same-bits", args.same_bits,
         "on or off: whether results are the same bits for every target and batch size, or algorithms "
         "may be chosen for this target and this batch")
      ->transform(CLI::CheckedTransformer(std::map<std::string, bool>{{"on", true}, {"off", false}}))
      ->default_str("on");
  sub->add_option(
         "--tuning", args.tuning,
         "file that `cardinal tune` wrote: kernels are chosen by what was measured; of several the last "
         "counts")
      ->allow_extra_args(false);
  sub->add_option("--precision", args.precision,
                  "fp16 (the default), bf16 or fp32: what a GPU's values and weights are stored in, sums are "
                  "fp32; tf32: "
                  "fp32, rounded to 11 bits where tensor cores multiply")
      ->check(CLI::IsMember({"fp16", "bf16", "tf32", "fp32"}));
  sub->add_option(
         "--conv-pairs", args.conv_pairs,
         "on or off: whether a GPU may compute a convolution and the 1x1 convolution that reads it in "
         "one kernel")
      ->transform(CLI::CheckedTransformer(std::map<std::string, bool>{{"on", true}, {"off", false}}))
      ->default_str("on");
  sub->add_option(
         "--matrix-unit", args.matrix_unit,
         "mma (the default), or with --target sm_90a wgmma: the instruction that computes convolutions "
         "without groups and linear layers on a GPU, in fp16 or bf16")
      ->check(CLI::IsMember({"mma", "wgmma"}));
}

void add_model_options(CLI::App* sub, std::string& model, std::string& variant) {
  sub->add_option("MODEL", model, "a compiled network, .so")->required();
  sub->add_option("--variant", variant, "the target whose code to use; by default the best for this CPU");
}

void add_ignored_weights(CLI::App* sub, std::vector<std::string>& patterns) {
  sub->add_option("--ignore-weights", patterns,
                  "weights of the file that the network need not have, such as 'head.*'; may be repeated")
      ->allow_extra_args(false);
}

void add_compile(CLI::App& app, CompileArgs& args, Action& action) {
  CLI::App* sub = add_verb(app, "compile", "compile a network to machine code", args, action, compile);
  add_source_options(sub, args.source);
  sub->add_option("--weights", args.weights,
                  "a .safetensors, .npz, .params, .msgpack, .keras or .h5 file, or random:SEED");
  add_ignored_weights(sub, args.ignored_weights);
  sub->add_option("-o,--output", args.output, "where to write; NETWORK.so by default, - is standard output");
  add_target_options(sub, args.target);
  sub->add_option("--emit", args.emit, "what to write, several with commas; so,header by default")
      ->allow_extra_args(false)
      ->delimiter(',')
      ->check(CLI::IsMember(emit_names()));
  sub->add_option("--print-after", args.print_after, "print the IR after PASS (or source, plan, all)");
  sub->add_option("--dump-dir", args.dump_dir, "write the IR after every pass into this directory");
  sub->add_option("--batch", args.batch,
                  "how many images at once, for a network that takes one or leaves the batch open")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16));
  sub->add_option(
         "--ptxas", args.ptxas,
         "what makes cubins of a GPU's PTX: NVIDIA's ptxas, or a libnvJitLink; by default what is found")
      ->check(CLI::ExistingFile);
  sub->add_flag("--weights-file", args.weights_file,
                "keep the weights in a file of their own beside the output");
  sub->add_flag("--compact-weights", args.compact_weights,
                "in that file keep the network's own weights, and transform them when it is loaded");
}

void add_source_verbs(CLI::App& app, SourceArgs& check_args, FormatArgs& format_args, IrArgs& ir_args,
                      Action& action) {
  add_source_options(add_verb(app, "check", "report every mistake in a network", check_args, action, check),
                     check_args);

  CLI::App* fmt_verb = add_verb(app, "fmt", "format source files in place", format_args, action, format);
  fmt_verb->add_option("NET", format_args.paths, "source files")->required();
  fmt_verb->add_flag("--check", format_args.check, "change nothing; fail if a file is not formatted");

  CLI::App* ir_verb = add_verb(app, "ir", "print a network's IR", ir_args, action, print_ir);
  add_source_options(ir_verb, ir_args.source);
  ir_verb->add_option("--after", ir_args.after, "the pass to print it after; as elaborated by default");
}

void add_import(CLI::App& app, ImportArgs& args, Action& action) {
  CLI::App* sub = add_verb(app, "import", "translate an ONNX model into a network and a weight file", args,
                           action, import_model);
  sub->add_option("MODEL", args.model, "an ONNX model, .onnx")->required();
  sub->add_option("-o,--output", args.output,
                  "where to write the source; the weights go beside it, .safetensors; MODEL.nn by default");
  sub->add_option("--shape", args.shapes,
                  "INPUT=N,C,H,W: the shape of an input that the model leaves open; "
                  "repeatable")
      ->allow_extra_args(false);
  sub->add_flag("--flat", args.flat, "a statement for each layer, no blocks or loops");
}

void add_model_verbs(CLI::App& app, InfoArgs& info_args, RunArgs& run_args, BenchArgs& bench_args,
                     ProfileArgs& profile_args, Action& action) {
  CLI::App* info_verb = add_verb(app, "info", "say what a compiled network is", info_args, action, info);
  add_model_options(info_verb, info_args.model, info_args.variant);
  info_verb->add_flag("--json", info_args.json, "as JSON, steps included");
  info_verb->add_flag("--steps", info_args.steps, "list the steps too");

  CLI::App* run_verb = add_verb(app, "run", "run a compiled network on .npy files", run_args, action, run);
  add_model_options(run_verb, run_args.model, run_args.variant);
  run_verb->add_option("--input", run_args.inputs, "X.npy, or NAME=X.npy for each of several")
      ->allow_extra_args(false);
  run_verb->add_option("--output", run_args.outputs, "Z.npy, or NAME=Z.npy for each of several")
      ->allow_extra_args(false);
  run_verb->add_option("--threads", run_args.threads, "how many threads")->check(CLI::Range(1, 1024));

  CLI::App* bench_verb = add_verb(app, "bench", "time a compiled network", bench_args, action, bench);
  add_model_options(bench_verb, bench_args.model, bench_args.variant);
  bench_verb->add_option("--threads", bench_args.threads, "how many threads")->check(CLI::Range(1, 1024));
  bench_verb->add_option("--seconds", bench_args.seconds, "how long to measure")->check(in_range(0, 3600));
  bench_verb->add_flag("--json", bench_args.json, "as JSON");

  CLI::App* profile_verb =
      add_verb(app, "profile", "time each step of a compiled network", profile_args, action, profile);
  add_model_options(profile_verb, profile_args.model, profile_args.variant);
  profile_verb->add_option("--threads", profile_args.threads, "how many threads")->check(CLI::Range(1, 1024));
  profile_verb->add_option("--seconds", profile_args.seconds, "how long to measure")
      ->check(in_range(0, 3600));
  profile_verb
      ->add_option("--sort", profile_args.sort,
                   "order: as the steps run; time: the longest first; lost: those first that lose most over "
                   "their floor")
      ->check(CLI::IsMember({"order", "time", "lost"}))
      ->capture_default_str();
  profile_verb->add_option(
      "-o,--output", profile_args.output,
      "write the profile as JSON too, for `cardinal plan --profile`; - is standard output, "
      "without the table");
}

void add_plan_verbs(CLI::App& app, PlanArgs& plan_args, TuneArgs& tune_args, Action& action) {
  CLI::App* plan_verb =
      add_verb(app, "plan", "say which kernel each layer gets, why, and how fast it should be", plan_args,
               action, print_plan);
  add_source_options(plan_verb, plan_args.source);
  add_target_options(plan_verb, plan_args.target);
  plan_verb->add_option("--profile", plan_args.profile,
                        "file that `cardinal profile` wrote: its times stand beside the predicted ones");
  plan_verb->add_option("--threads", plan_args.threads, "show how the units of each step are shared out")
      ->check(CLI::Range(1, 1024));
  plan_verb->add_flag("--choices", plan_args.choices, "the choices alone, as --plan FILE reads them");

  CLI::App* tune_verb =
      add_verb(app, "tune", "measure on this machine which kernels are the fastest", tune_args, action, tune);
  add_source_options(tune_verb, tune_args.source);
  tune_verb->add_option("--weights", tune_args.weights, "as for compile; their values hardly matter")
      ->capture_default_str();
  add_target_options(tune_verb, tune_args.target);
  tune_verb->add_option("-o,--output", tune_args.output,
                        "file for `compile --tuning`; what is in it already is kept and not measured again; "
                        "NETWORK.tuning by default");
  tune_verb
      ->add_option("--candidates", tune_args.candidates,
                   "how many tiles of each convolution and algorithm, the best predicted first")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  tune_verb->add_option("--seconds", tune_args.seconds, "stop after about so long; 0: when all is measured")
      ->check(in_range(0, 1e6))
      ->capture_default_str();
}

void add_verify(CLI::App& app, VerifyArgs& args, Action& action) {
  CLI::App* sub =
      add_verb(app, "verify", "compare compiled code with the reference interpreter, layer by layer", args,
               action, verify);
  add_source_options(sub, args.source);
  sub->add_option("--weights", args.weights,
                  "a .safetensors, .npz, .params, .msgpack, .keras or .h5 file, or random:SEED")
      ->required();
  add_ignored_weights(sub, args.ignored_weights);
  add_target_options(sub, args.target);
  sub->add_option("--seed", args.seed, "of the random inputs");
  sub->add_option("--tolerance", args.tolerance, "largest difference, relative to a layer's largest value")
      ->capture_default_str()
      ->check(in_range(0, 1));
}

// "" unless the first word should be a verb and is none.
std::string unknown_verb(const CLI::App& app, int argc, char** argv) {
  const std::string word = argc > 1 ? argv[1] : "";
  if (word.empty() || word[0] == '-') return {};
  std::vector<std::string> verbs;
  for (const CLI::App* verb : app.get_subcommands([](const CLI::App*) { return true; }))
    verbs.push_back(verb->get_name());
  if (std::find(verbs.begin(), verbs.end(), word) != verbs.end()) return {};
  const std::string guess = did_you_mean(word, verbs);
  return fmt::format("there is no verb '{}'{}", word,
                     guess.empty() ? "; `cardinal --help` lists them" : guess);
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Compiles convolutional networks to native code.", "cardinal");
  app.footer(kExamples);
  app.set_version_flag("--version", "cardinal " CARDINAL_VERSION);
  app.require_subcommand(0, 1);  // not 1: a misspelt verb would then be called missing
  CompileArgs compile_args;
  SourceArgs check_args;
  FormatArgs format_args;
  IrArgs ir_args;
  ImportArgs import_args;
  InfoArgs info_args;
  RunArgs run_args;
  BenchArgs bench_args;
  ProfileArgs profile_args;
  PlanArgs plan_args;
  TuneArgs tune_args;
  VerifyArgs verify_args;
  Action action;
  add_compile(app, compile_args, action);
  add_source_verbs(app, check_args, format_args, ir_args, action);
  add_import(app, import_args, action);
  add_model_verbs(app, info_args, run_args, bench_args, profile_args, action);
  add_plan_verbs(app, plan_args, tune_args, action);
  add_verify(app, verify_args, action);
  if (const std::string problem = unknown_verb(app, argc, argv); !problem.empty()) return fail(problem);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 has an exit code for each kind of mistake; here they are one.
    return app.exit(error) == 0 ? kDone : kUserError;
  }
  return action ? action() : fail("a verb is needed; `cardinal --help` lists them");
}

}  // namespace

}  // namespace cardinal::driver

int main(int argc, char** argv) {
  try {
    return cardinal::driver::parse_and_run(argc, argv);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "cardinal: error: out of memory; make the network or its inputs smaller\n");
    return cardinal::driver::kUserError;
  } catch (const std::exception& error) {
    fmt::print(stderr, "cardinal: internal error: {}\n", error.what());
  }
  return cardinal::driver::kInternalError;
}
