// The built tool, run in a directory of its own.
#pragma once

#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>

#include "compiler/weights/npy.h"
#include "tests/runtime/scratch_directory.h"

namespace cardinal::testing {

inline constexpr const char* kNetwork = R"(# One convolution with everything around it.
network tiny(channels: int = 8) {
  input image: f32[1, 3, 6, 6]
  y = image |> conv1: conv(channels, kernel=3) |> bn1: batch_norm |> relu |> global_avg_pool |> flatten |> fc: linear(5)
  return y
}
)";

struct Outcome {
  int code = -1;
  std::string out, err;
};

// A scratch directory with tiny.nn in it, in which the tool runs.
class Workshop {
 public:
  Workshop() { write("tiny.nn", kNetwork); }

  Outcome cardinal(const std::string& arguments) const { return shell("'" CARDINAL_TOOL "' " + arguments); }
  Outcome shell(const std::string& commands) const {
    std::string command = "cd '" + scratch_.path() + "' || exit 1\n{ " + commands + "\n} >.out 2>.err";
    int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(".out"), read(".err")};
  }
  void write(const std::string& name, const std::string& text) const {
    write_text(scratch_.file(name), text);
  }
  std::string read(const std::string& name) const { return read_text(scratch_.file(name)); }
  std::string path(const std::string& name) const { return scratch_.file(name); }
  bool exists(const std::string& name) const { return std::filesystem::exists(scratch_.file(name)); }
  // Names other than the tool's captured output and those given.
  std::vector<std::string> others(std::vector<std::string> known) const {
    known.insert(known.end(), {".out", ".err", "tiny.nn"});
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_.path())) {
      std::string name = entry.path().filename().string();
      if (std::find(known.begin(), known.end(), name) == known.end()) found.push_back(name);
    }
    return found;
  }
  void write_npy(const std::string& name, const cardinal::Shape& shape, float value) const {
    std::vector<float> values(static_cast<size_t>(shape.elements()), value);
    std::string data(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    write(name, cardinal::npy_header("<f4", shape) + data);
  }

 private:
  ScratchDirectory scratch_;
};

inline bool has(const std::string& text, const std::string& part) {
  UNSCOPED_INFO(text);
  return text.find(part) != std::string::npos;
}

// The command fails by the user's fault, says so, and leaves nothing behind.
inline void check_refused(const Workshop& shop, const std::string& arguments, const std::string& message,
                          const std::vector<std::string>& known = {}) {
  INFO("cardinal " << arguments);
  Outcome outcome = shop.cardinal(arguments);
  CHECK(outcome.code == 1);
  CHECK(has(outcome.err, message));
  CHECK(outcome.out == "");
  CHECK(shop.others(known) == std::vector<std::string>{});
}

}  // namespace cardinal::testing
