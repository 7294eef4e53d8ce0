// Compiled networks against what the frameworks computed:
//   compare_vectors CARDINAL SOURCES DIRECTORY FRAMEWORK... [--without NETWORK]
// For every network in SOURCES/blocks.nn and SOURCES/FRAMEWORK.nn, DIRECTORY/FRAMEWORK/NETWORK/ holds its
// weights in one or more of the framework's containers (weights*), input.npy in the framework's layout, and
// output.npy.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "compiler/language.h"
#include "tests/frameworks/difference.h"
#include "tests/runtime/scratch_directory.h"

using namespace cardinal;
using testing::kTolerance;
namespace fs = std::filesystem;

namespace {

struct Setup {
  std::string tool, sources, vectors, without;
};

struct Network {
  std::string framework, name;
  std::string source;  // what the tool is told to compile
};

std::vector<std::string> networks_of(const std::string& path) {
  SourceMap sources;
  Result<Program> program = parse_program(sources, path);
  if (program) return network_names(*program);
  fmt::print(stderr, "{}", program.error().render(sources));
  std::exit(1);
}

std::vector<Network> networks(const Setup& setup, const std::string& framework) {
  std::vector<Network> out;
  std::string blocks = setup.sources + "/blocks.nn", own = fmt::format("{}/{}.nn", setup.sources, framework);
  for (const std::string& name : networks_of(blocks))
    out.push_back(
        {framework, name, fmt::format("'{}' --network {} --set framework={}", blocks, name, framework)});
  for (const std::string& name : networks_of(own))
    if (name != setup.without) out.push_back({framework, name, fmt::format("'{}' --network {}", own, name)});
  return out;
}

std::vector<fs::path> containers(const fs::path& directory) {
  std::vector<fs::path> out;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(directory, absent))
    if (entry.path().filename().string().starts_with("weights")) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

// Its message if the command fails.
std::string failure_of(const std::string& command, const ScratchDirectory& scratch) {
  bool done = std::system((command + " 2>'" + scratch.file("messages") + "'").c_str()) == 0;
  return done ? "" : command + "\n" + read_text(scratch.file("messages"));
}

Result<double> compare(const Setup& setup, const Network& network, const fs::path& weights) {
  ScratchDirectory scratch;
  std::string so = scratch.file("network.so"), output = scratch.file("output.npy");
  std::string compile =
      fmt::format("'{}' compile {} --weights '{}' -o '{}'", setup.tool, network.source, weights.string(), so);
  if (std::string failure = failure_of(compile, scratch); !failure.empty()) return Diagnostics(failure);
  std::string run = fmt::format("'{}' run '{}' --input '{}' --output '{}'", setup.tool, so,
                                (weights.parent_path() / "input.npy").string(), output);
  if (std::string failure = failure_of(run, scratch); !failure.empty()) return Diagnostics(failure);
  return testing::difference(output, (weights.parent_path() / "output.npy").string());
}

// How many of the network's containers do not give the framework's output.
int failures(const Setup& setup, const Network& network) {
  fs::path directory = fs::path(setup.vectors) / network.framework / network.name;
  std::vector<fs::path> files = containers(directory);
  if (files.empty()) fmt::print("{}: FAILED: there are no weights\n", directory.string());
  int failed = files.empty() ? 1 : 0;
  for (const fs::path& weights : files) {
    Result<double> error = compare(setup, network, weights);
    std::string row =
        fmt::format("{:<8} {:<19} {:<20}", network.framework, network.name, weights.filename().string());
    if (!error) {
      fmt::print("{} FAILED: {}\n", row, error.error().list().front().message);
    } else {
      fmt::print("{} {:.1e}{}\n", row, *error, *error <= kTolerance ? "" : " FAILED");
    }
    failed += !error || !(*error <= kTolerance);
  }
  return failed;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  Setup setup;
  if (words.size() > 2 && words[words.size() - 2] == "--without") {
    setup.without = words.back();
    words.resize(words.size() - 2);
  }
  if (words.size() < 4) {
    fmt::print(stderr,
               "usage: compare_vectors CARDINAL SOURCES DIRECTORY FRAMEWORK... [--without NETWORK]\n");
    return 1;
  }
  setup.tool = words[0], setup.sources = words[1], setup.vectors = words[2];
  int failed = 0;
  for (size_t i = 3; i < words.size(); ++i)
    for (const Network& network : networks(setup, words[i])) failed += failures(setup, network);
  return failed == 0 ? 0 : 1;
}
