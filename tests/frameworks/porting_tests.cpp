// docs/porting.md: its Python is what the frameworks ran, its sources and commands give what the frameworks
// computed, and its messages are the tool's.
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>

#include "tests/frameworks/difference.h"
#include "tests/runtime/scratch_directory.h"
#include "tests/support/document.h"

using namespace cardinal;
namespace fs = std::filesystem;

namespace {

const std::string kHere = SOURCE_ROOT "/tests/frameworks/";
const std::map<std::string, std::string> kFrameworks = {
    {"PyTorch", "pytorch"}, {"MXNet", "mxnet"}, {"Keras", "keras"}, {"Flax", "flax"}};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

std::string without_indentation(const std::string& text) {
  std::istringstream stream(text);
  std::string line, out;
  while (std::getline(stream, line))
    out += line.substr(std::min(line.find_first_not_of(' '), line.size())) + "\n";
  return out;
}

// The framework's program, with the names of files that the page has.
std::string program(const std::string& framework) {
  return without_indentation(replaced(read_text(kHere + framework + "_networks.py"), "stem + \"", "\"tiny"));
}

// The vectors of the framework's network, as its user has them.
void lay_out(const std::string& framework, const ScratchDirectory& scratch) {
  for (const auto& entry : fs::directory_iterator(kHere + "vectors/" + framework + "/tiny")) {
    std::string name = entry.path().filename().string();
    if (name == "output.npy") name = "expected.npy";
    if (name.starts_with("weights")) name.replace(0, std::string("weights").size(), "tiny");
    fs::copy_file(entry.path(), scratch.file(name), fs::copy_options::overwrite_existing);
  }
}

struct Command {
  std::string line, output;
};

std::vector<Command> commands(const std::string& console) {
  std::vector<Command> list;
  std::istringstream stream(console);
  std::string line;
  while (std::getline(stream, line)) {
    if (line.starts_with("$ ")) {
      list.push_back({line.substr(2), ""});
    } else {
      REQUIRE(!list.empty());
      list.back().output += line + "\n";
    }
  }
  return list;
}

// Runs it; a command that the page shows no output of has to succeed, and what it prints does not matter.
void check(const Command& command, const ScratchDirectory& scratch) {
  std::string directory = fs::path(CARDINAL_TOOL).parent_path().string();
  std::string call = "cd '" + scratch.path() + "' && PATH='" + directory + "':\"$PATH\" && { " +
                     command.line + "; } >'" + scratch.file("printed") + "' 2>&1";
  int status = std::system(call.c_str());
  std::string printed = read_text(scratch.file("printed"));
  INFO("$ " << command.line << "\n" << printed);
  REQUIRE(WIFEXITED(status));
  if (command.output.empty()) {
    CHECK(WEXITSTATUS(status) == 0);
  } else {
    CHECK(printed == command.output);
  }
}

}  // namespace

TEST_CASE("the page on porting is true") {
  ScratchDirectory scratch;
  std::string section;
  int compared = 0;
  for (const testing::Example& example : testing::examples(read_text(SOURCE_ROOT "/docs/porting.md"))) {
    INFO("docs/porting.md:" << example.line);
    auto framework = kFrameworks.find(example.section);
    if (section != example.section && framework != kFrameworks.end()) lay_out(framework->second, scratch);
    section = example.section;
    if (example.kind == "python") {
      REQUIRE(framework != kFrameworks.end());
      CHECK(program(framework->second).find(without_indentation(example.text)) != std::string::npos);
    } else if (example.kind.starts_with("nn file=")) {
      write_text(scratch.file(example.kind.substr(8)), example.text);
    } else if (example.kind == "console") {
      for (const Command& command : commands(example.text)) check(command, scratch);
      if (!fs::exists(scratch.file("output.npy"))) continue;
      Result<double> error = testing::difference(scratch.file("output.npy"), scratch.file("expected.npy"));
      REQUIRE(error);
      CHECK(*error <= testing::kTolerance);
      fs::remove(scratch.file("output.npy"));
      ++compared;
    }
  }
  CHECK(compared == 4);
}
