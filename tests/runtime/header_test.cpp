#include "compiler/header.h"

#include <cstdlib>

#include <catch2/catch.hpp>
#include <vector>

#include "tests/runtime/fake_network.h"
#include "tests/runtime/scratch_directory.h"

using Catch::Matchers::Contains;

namespace {

const std::string kInclude = std::string(" -I") + SOURCE_ROOT + " -I" + SOURCE_ROOT + "/runtime/include ";
const std::string kWarnings = " -Wall -Wextra -pedantic -Werror ";

// What the command printed; the test fails unless it succeeds.
std::string run(const ScratchDirectory& directory, const std::string& command) {
  const std::string log = directory.file("log");
  const int status = std::system((command + " > " + log + " 2>&1").c_str());
  const std::string output = read_text(log);
  INFO(command << '\n' << output);
  REQUIRE(status == 0);
  return output;
}

// A model as the compiler describes it: no code, no weights.
cardinal_model describe(const char* name, const std::vector<cardinal_tensor>& inputs,
                        const std::vector<cardinal_tensor>& outputs) {
  cardinal_model model = {};
  model.abi_version = CARDINAL_ABI_VERSION;
  model.name = name;
  model.target = "x86-64-v3";
  model.compiler = "cardinal 0.1.0, LLVM 22.1.8";
  model.model_hash = 0x0123456789abcdefull;
  model.inputs = inputs.data();
  model.input_count = static_cast<uint32_t>(inputs.size());
  model.outputs = outputs.data();
  model.output_count = static_cast<uint32_t>(outputs.size());
  model.workspace_bytes = 4096;
  model.weights_bytes = 1 << 20;
  model.parameter_count = 250000;
  model.flops = 12345678;
  return model;
}

}  // namespace

TEST_CASE("the header documented for users is what the generator writes") {
  const std::vector<cardinal_tensor> inputs = {{"x", CARDINAL_F32, CARDINAL_NCHW, 4, 0, {1, 1, 8, 8}, 256}},
                                     outputs = {{"logits", CARDINAL_F32, CARDINAL_NCHW, 2, 0, {1, 10}, 40}};
  CHECK_THAT(read_text(std::string(SOURCE_ROOT) + "/docs/embedding.md"),
             Contains("```cpp\n" + cardinal::generate_header(describe("digits", inputs, outputs)) + "```\n"));
}

TEST_CASE("a generated header serves C11 and C++17 programs") {
  const ScratchDirectory directory;
  write_text(directory.file("fake.h"), cardinal::generate_header(fake_cardinal_model));
  write_text(directory.file("c_user.c"), R"(
#include "fake.h"
int run_from_c(const float* x, float* y, void* workspace) {
  const void* inputs[] = {x};
  void* outputs[] = {y};
  struct cardinal_frame frame = {inputs, outputs, fake_cardinal_model.weights, workspace, 0};
  fake_run(&frame, NULL);
  return FAKE_INPUT_X_ELEMENTS == 24 && FAKE_OUTPUT_Y_ELEMENTS == 24 && FAKE_WORKSPACE_BYTES == 96 &&
         FAKE_MODEL_HASH == fake_cardinal_model.model_hash;
}
)");
  write_text(directory.file("user.cpp"), R"(
#include <cstdio>
#include <cstring>
#include "fake.h"
#include "fake.h"
extern "C" int run_from_c(const float* x, float* y, void* workspace);
static_assert(fake::inputs::x::shape.size() == 4 && fake::inputs::x::shape[3] == 4);
static_assert(fake::inputs::x::layout == CARDINAL_NCHW && fake::outputs::y::dtype == CARDINAL_F32);
static_assert(fake::outputs::y::bytes == 96 && fake::abi_version == CARDINAL_ABI_VERSION && fake::parameter_count == 25);
static_assert(noexcept(fake::run(nullptr, nullptr, nullptr)));
int main() {
  float x[fake::inputs::x::elements], y[fake::outputs::y::elements], z[fake::outputs::y::elements];
  alignas(fake::workspace_alignment) unsigned char workspace[fake::workspace_bytes];
  for (int i = 0; i < 24; ++i) x[i] = static_cast<float>(i);
  fake::run(x, y, workspace);
  const bool from_c = run_from_c(x, z, workspace);
  std::printf("%d %d %d %g\n", fake::matches_linked_object(), from_c, std::memcmp(y, z, sizeof y) == 0, y[3]);
}
)");
  run(directory, C_COMPILER " -std=c11" + kWarnings + kInclude + "-c " + directory.file("c_user.c") + " -o " +
                     directory.file("c_user.o"));
  run(directory, CXX_COMPILER " -std=c++17" + kWarnings + kInclude + directory.file("user.cpp") + " " +
                     directory.file("c_user.o") + " " SOURCE_ROOT "/tests/runtime/fake_network.cpp -o " +
                     directory.file("user"));
  // y[3] = 3 * 4 + 20 * 21 + 100
  CHECK(run(directory, directory.file("user")) == "1 1 1 532\n");
}

TEST_CASE("a network whose weights are in a file is given them by the caller") {
  const std::vector<cardinal_tensor> tensors = {{"x", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16}};
  cardinal_model model = describe("outside", tensors, tensors);
  model.weights_file = "outside.weights";
  const std::string header = cardinal::generate_header(model);
  CHECK_THAT(header, Contains("run(const float* x, float* x_, const void* weights, void* workspace,"));
  CHECK_THAT(header, Contains("{inputs_, outputs_, weights, workspace, 0}"));
  CHECK_THAT(header, Contains("weights_file = \"outside.weights\"") && Contains("weights_bytes = 1048576"));
  const ScratchDirectory directory;
  write_text(directory.file("outside.h"), header);
  run(directory,
      CXX_COMPILER " -std=c++17 -fsyntax-only -x c++" + kWarnings + kInclude + directory.file("outside.h"));
}

TEST_CASE("with an open batch a header's run takes the number of images") {
  cardinal_model model = fake_cardinal_model;
  cardinal_tensor input = model.inputs[0], output = model.outputs[0];
  input.open_batch = output.open_batch = 1;
  model.inputs = &input;
  model.outputs = &output;
  const ScratchDirectory directory;
  write_text(directory.file("fake.h"), cardinal::generate_header(model));
  CHECK_THAT(read_text(directory.file("fake.h")), Contains("input   x: f32[N, 2, 3, 4] nchw"));
  write_text(directory.file("user.cpp"), R"(
#include <cstdio>
#include "fake.h"
int main() {
  float x[2 * fake::inputs::x::elements], y[2 * fake::outputs::y::elements];
  alignas(fake::workspace_alignment) unsigned char workspace[fake::workspace_bytes];
  for (int i = 0; i < 48; ++i) x[i] = static_cast<float>(i);
  fake::run(2, x, y, workspace);
  std::printf("%g %g\n", y[3], y[24 + 3]);
}
)");
  run(directory, CXX_COMPILER " -std=c++17" + kWarnings + kInclude + directory.file("user.cpp") +
                     " " SOURCE_ROOT "/tests/runtime/fake_network.cpp -o " + directory.file("user"));
  // 3 * 4 + 20 * 21 + 100, and with 24 more everywhere 27 * 4 + 44 * 21 + 100
  CHECK(run(directory, directory.file("user")) == "532 1132\n");
}

TEST_CASE("names that C++ cannot spell are changed") {
  const ScratchDirectory directory;
  const std::vector<cardinal_tensor> inputs =
                                         {{"float", CARDINAL_F16, CARDINAL_NHWC, 4, 0, {1, 3, 5, 7}, 210},
                                          {"workspace", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                          {"shape", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                          {"X", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                          {"x", CARDINAL_BF16, CARDINAL_NCHW, 1, 0, {4}, 8}},
                                     outputs = {{"x", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                                {"layer.0 \"*/", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16},
                                                {"0", CARDINAL_F32, CARDINAL_NCHW, 1, 0, {4}, 16}};
  const std::string header = cardinal::generate_header(describe("class", inputs, outputs));
  CHECK_THAT(header, Contains("namespace class_ {") && Contains("const std::uint16_t* float_") &&
                         Contains("struct layer_0____ {") && Contains("struct shape_ {"));
  write_text(directory.file("class.h"), header);
  run(directory,
      CXX_COMPILER " -std=c++17 -fsyntax-only -x c++" + kWarnings + kInclude + directory.file("class.h"));
  run(directory,
      C_COMPILER " -std=c11 -fsyntax-only -x c" + kWarnings + kInclude + directory.file("class.h"));
}
