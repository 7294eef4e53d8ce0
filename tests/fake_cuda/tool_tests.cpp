// The tool on networks for a GPU, with the fake driver in the library path.
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/runtime/scratch_directory.h"

using Catch::Contains;

namespace {

constexpr const char* kNetwork = R"(
network tiny {
  input image: f32[1, 3, 10, 10]
  return y = image |> conv1: conv(16, kernel=3, stride=2) |> bn1: batch_norm |> relu |> global_avg_pool |> flatten |> fc: linear(5)
}
)";

struct Outcome {
  int code = -1;
  std::string out, err;
};

class Workshop {
 public:
  Workshop() { write_text(scratch_.file("tiny.nn"), kNetwork); }

  // With a driver that takes the kernels of tiny.ll, or without one.
  Outcome cardinal(const std::string& arguments, bool driver) const {
    std::string command = "cd '" + scratch_.path() + "' && ";
    if (driver) command += "LD_LIBRARY_PATH='" FAKE_DRIVER_DIRECTORY "' FAKE_CUDA_KERNELS=tiny.ll ";
    command += "'" CARDINAL_TOOL "' " + arguments + " >.out 2>.err";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(".out"), read(".err")};
  }
  std::string read(const std::string& name) const { return read_text(scratch_.file(name)); }

  void write_image() const {
    std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 10, 10), }";
    header.resize(117, ' ');
    std::vector<float> values(300);
    for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
    write_text(scratch_.file("image.npy"),
               std::string("\x93NUMPY\x01\x00\x76\x00", 10) + header + "\n" +
                   std::string(reinterpret_cast<const char*>(values.data()), 1200));
  }
  // The five numbers at the end of a file of them.
  std::vector<float> output(const std::string& name) const {
    const std::string bytes = read(name);
    std::vector<float> values(5);
    REQUIRE(bytes.size() > 20);
    std::memcpy(values.data(), bytes.data() + bytes.size() - 20, 20);
    return values;
  }

 private:
  ScratchDirectory scratch_;
};

TEST_CASE("compile, info, run and bench for a GPU") {
  const Workshop shop;
  shop.write_image();
  const std::string weights = " tiny.nn --weights random:3 ";
  const Outcome compiled =
      shop.cardinal("compile" + weights + "--target sm_80 --emit=so,llvm-ir -o tiny.so", false);
  INFO(compiled.err);
  REQUIRE(compiled.code == 0);
  REQUIRE(shop.cardinal("compile" + weights + "--target native -o native.so", false).code == 0);

  const Outcome info = shop.cardinal("info tiny.so", false);
  CHECK(info.code == 0);
  CHECK_THAT(info.out, Contains("GPU code    PTX for sm_80") && Contains("on the GPU for each session"));
  CHECK_THAT(shop.cardinal("info tiny.so --json", false).out, Contains(R"("architecture": "sm_80")"));

  REQUIRE(shop.cardinal("run native.so --input image.npy --output native.npy", false).code == 0);
  const Outcome run = shop.cardinal("run tiny.so --input image.npy --output gpu.npy", true);
  INFO(run.err);
  REQUIRE(run.code == 0);
  const std::vector<float> expected = shop.output("native.npy"), actual = shop.output("gpu.npy");
  for (size_t i = 0; i < expected.size(); ++i) CHECK(actual[i] == Approx(expected[i]).margin(1e-2));

  const Outcome bench = shop.cardinal("bench tiny.so --seconds 0", true);
  INFO(bench.err);
  REQUIRE(bench.code == 0);
  CHECK_THAT(bench.out, Contains("tiny") && Contains(", sm_80 on Fake GPU, 1 image, 20 runs") &&
                            Contains("flushed_us") && Contains("images_per_s"));
  CHECK_THAT(
      shop.cardinal("bench tiny.so --seconds 0 --json", true).out,
      Contains(R"("device": "Fake GPU")") && Contains("median_us_flushed") && Contains(R"("name": "conv1")"));
  for (const char* verb : {"run tiny.so --input image.npy --output y.npy", "bench tiny.so"}) {
    const Outcome refused = shop.cardinal(std::string(verb) + " --threads 2", true);
    CHECK(refused.code == 1);
    CHECK_THAT(refused.err, Contains("--threads is for networks that run on a CPU"));
  }
}

TEST_CASE("what is for CPUs or for GPUs only says what to do instead") {
  const Workshop shop;
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:3 --target sm_80 -o tiny.so", false).code == 0);
  const auto refused = [&](const std::string& arguments, const char* why) {
    const Outcome outcome = shop.cardinal(arguments, false);
    INFO(arguments << ": " << outcome.err);
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.err, Contains(why));
  };
  refused("profile tiny.so", "`cardinal bench --json` times each step of one on a GPU");
  refused("verify tiny.nn --weights random:3 --target sm_80", "use --target native");
  refused("tune tiny.nn --weights random:3 --target sm_80", "--plan FILE overrides them");
  refused("compile tiny.nn --weights random:3 --precision tf32 -o x.so", "--precision is for GPUs");
  refused("compile tiny.nn --weights random:3 --target sm_80 --precision int8 -o x.so", "tf32");
}

TEST_CASE("without a driver run and bench say so, and exit with 1") {
  const Workshop shop;
  shop.write_image();
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:3 --target sm_80 -o tiny.so", false).code == 0);
  for (const char* verb : {"run tiny.so --input image.npy --output y.npy", "bench tiny.so"}) {
    const Outcome outcome = shop.cardinal(verb, false);
    if (outcome.code == 0) return;  // this machine has a driver and a GPU
    CHECK(outcome.code == 1);
    CHECK_THAT(outcome.err, Contains("error: ") && (Contains("no CUDA driver") || Contains("GPU")));
  }
}

}  // namespace
