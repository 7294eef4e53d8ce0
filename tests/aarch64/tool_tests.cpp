// What `cardinal compile --target aarch64` writes, run under qemu and met by this machine's tools.
#include <cardinal/cardinal.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <random>

#include "tests/aarch64/emulated_network.h"
#include "tests/runtime/scratch_directory.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr const char* kDigits = SOURCE_ROOT "/examples/digits/digits.nn --weights " SOURCE_ROOT
                                            "/examples/digits/data/digits.safetensors";

// The exit status; what the tool says is left in the file "said".
int cardinal_tool(const ScratchDirectory& directory, const std::string& arguments) {
  const std::string command =
      "cd '" + directory.path() + "' && '" CARDINAL_TOOL "' " + arguments + " >said 2>&1";
  const int status = std::system(command.c_str());
  INFO(read_text(directory.file("said")));
  return status;
}

std::vector<float> random_pixels(size_t count) {
  std::mt19937 random(5);
  std::uniform_real_distribution<float> values(0, 1);
  std::vector<float> pixels(count);
  for (float& pixel : pixels) pixel = values(random);
  return pixels;
}

}  // namespace

TEST_CASE("digits, trained, gives the bits of x86-64 on AArch64 for any number of threads") {
  if (!can_emulate_aarch64()) return;
  const ScratchDirectory directory;
  constexpr size_t kBatch = 5;
  const std::string compile =
      std::string("compile ") + kDigits + " --set batch=" + std::to_string(kBatch) + " --target ";
  REQUIRE(cardinal_tool(directory, compile + "x86-64-v3 -o here.so") == 0);
  REQUIRE(cardinal_tool(directory, compile + "aarch64 -o there.so") == 0);
  REQUIRE(cardinal_tool(directory, compile + "neoverse-v1 -o outside.so --weights-file") == 0);

  const std::vector<float> images = random_pixels(kBatch * 64);
  std::vector<float> expected(kBatch * 10);
  const Model model = Model::load(directory.file("here.so")).value();
  Session::create(model).value().run(images, expected).value();
  for (const char* file : {"there.so", "outside.so"}) {
    Result<EmulatedNetwork> network =
        EmulatedNetwork::load(directory.file(file), images.size() + expected.size());
    if (!network) FAIL(network.error().list()[0].message);
    const auto logits = network->memory().subspan(images.size());
    for (int threads : {1, 3}) {
      INFO(file << " on " << threads << " threads");
      std::copy(images.begin(), images.end(), network->memory().begin());
      std::fill(logits.begin(), logits.end(), 0.0f);
      REQUIRE(network->run(threads));
      CHECK(std::equal(logits.begin(), logits.end(), expected.begin(), expected.end()));
    }
  }
}

TEST_CASE("networks are refused by machines that they were not compiled for") {
  const ScratchDirectory directory;
  REQUIRE(cardinal_tool(directory, std::string("compile ") + kDigits + " --target aarch64 -o there.so") == 0);
  for (const char* verb : {"run there.so --input x.npy", "bench there.so", "info there.so"}) {
    INFO(verb);
    CHECK(cardinal_tool(directory, verb) != 0);
    CHECK_THAT(read_text(directory.file("said")),
               Catch::Contains("there.so: holds code for AArch64, but this program runs on x86-64"));
  }
  CHECK(cardinal_tool(directory, std::string("verify ") + kDigits + " --target aarch64") != 0);
  CHECK_THAT(read_text(directory.file("said")), Catch::Contains("this machine cannot run code for aarch64"));

  if (!can_emulate_aarch64()) return;
  REQUIRE(cardinal_tool(directory, std::string("compile ") + kDigits + " --target x86-64 -o here.so") == 0);
  const Result<EmulatedNetwork> foreign = EmulatedNetwork::load(directory.file("here.so"), 1);
  REQUIRE(!foreign);
  CHECK_THAT(foreign.error().list()[0].message,
             Catch::Contains("here.so: holds code for x86-64, but this program runs on AArch64"));
}
