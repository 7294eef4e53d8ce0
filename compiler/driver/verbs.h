// The tool's verbs. Each returns the process's exit code: 0 done, 1 the user's mistake, 2 our fault; what
// went wrong is on stderr by then.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace cardinal::driver {

// Which network: a source file (.nn) or an IR dump (.ir), and its parameters.
struct SourceArgs {
  std::string path;
  std::string network;                // "": the only one of the file
  std::vector<std::string> settings;  // KEY=VALUE
};

// What to compile for, and how.
struct TargetArgs {
  std::string target = "native";
  std::string plan;                        // file of overrides, or ""
  std::vector<std::string> tuning;         // files that `tune` wrote; what a later one says counts
  bool winograd = true, same_bits = true;  // see PlanOptions, as the rest
  int fast_matmul = 2;                     // levels
  std::optional<bool> blocked_sums;
  double max_weight_growth = std::numeric_limits<double>::infinity();
  std::string precision;    // of a GPU: fp16, bf16, tf32 or fp32; "": the target's
  std::string matrix_unit;  // of a GPU: mma or wgmma; "": mma
  bool conv_pairs = true;   // on a GPU
};

struct CompileArgs {
  SourceArgs source;
  std::string weights;                       // FILE or random:SEED
  std::vector<std::string> ignored_weights;  // patterns
  std::string output;                        // "": named after the network, in the current directory
  TargetArgs target;
  std::vector<std::string> emit;  // names from emit_names(); "": a shared object and its header
  std::string print_after;        // a pass, "source", "plan", "all" or ""
  std::string dump_dir;
  bool weights_file = false;     // keep the weights beside the shared object
  bool compact_weights = false;  // in that file, what they are formed from
  int64_t batch = 0;             // images at once; 0: as the network says
  std::string ptxas;             // NVIDIA's assembler; "": what is found
};
int compile(const CompileArgs& args);
std::vector<std::string> emit_names();

int check(const SourceArgs& args);

struct FormatArgs {
  std::vector<std::string> paths;
  bool check = false;
};
int format(const FormatArgs& args);

struct IrArgs {
  SourceArgs source;
  std::string after;  // "": as elaborated
};
int print_ir(const IrArgs& args);

struct ImportArgs {
  std::string model;                // .onnx
  std::string output;               // "": the model's name with .nn, in the current directory
  std::vector<std::string> shapes;  // INPUT=1,3,224,224
  bool flat = false;
};
int import_model(const ImportArgs& args);

struct PlanArgs {
  SourceArgs source;
  TargetArgs target;
  std::string profile;  // file that `profile` wrote, or ""
  int threads = 1;      // whose shares of each step to show
  bool choices = false;
};
int print_plan(const PlanArgs& args);

struct TuneArgs {
  SourceArgs source;
  std::string weights = "random:0";
  TargetArgs target;
  std::string output;  // "": the network's name with .tuning, in the current directory
  int candidates = 8;  // of each convolution
  double seconds = 0;  // 0: until all are measured
};
int tune(const TuneArgs& args);

struct InfoArgs {
  std::string model;
  std::string variant;
  bool json = false, steps = false;
};
int info(const InfoArgs& args);

struct RunArgs {
  std::string model;
  std::string variant;                       // see LoadOptions
  std::vector<std::string> inputs, outputs;  // FILE or NAME=FILE
  int threads = 1;
};
int run(const RunArgs& args);

struct BenchArgs {
  std::string model;
  std::string variant;
  int threads = 1;
  double seconds = 3;
  bool json = false;
};
int bench(const BenchArgs& args);

struct ProfileArgs {
  std::string model;
  std::string variant;
  int threads = 1;
  double seconds = 3;
  std::string sort = "order";
  std::string output;  // "": the table alone; "-": JSON on standard output
};
int profile(const ProfileArgs& args);

struct VerifyArgs {
  SourceArgs source;
  std::string weights;
  std::vector<std::string> ignored_weights;  // patterns
  TargetArgs target;
  uint64_t seed = 0;        // of the inputs
  double tolerance = 1e-4;  // of the largest value of a layer
};
int verify(const VerifyArgs& args);

}  // namespace cardinal::driver
