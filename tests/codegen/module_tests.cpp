// What emit_code and link_shared make of a network: symbols, sections, dependencies, and code that runs.
#include <fmt/format.h>

#include <array>
#include <catch2/catch.hpp>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>

#include "codegen/weights_section.h"
#include "passes/floor.h"
#include "passes/planner.h"
#include "tests/codegen/loaded_network.h"
#include "tests/codegen/small_network.h"
#include "tests/support/compile_and_run.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// What a program prints; fails the test if it does not succeed.
std::string output_of(const std::string& command) {
  std::string text;
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe);
  std::array<char, 4096> buffer;
  while (const size_t count = std::fread(buffer.data(), 1, buffer.size(), pipe))
    text.append(buffer.data(), count);
  INFO(command << "\n" << text);
  REQUIRE(pclose(pipe) == 0);
  return text;
}

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines_with(const std::string& text, const std::string& part) {
  std::vector<std::string> found;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line = text.substr(begin, end - begin);
    if (line.find(part) != std::string::npos) found.push_back(line);
    begin = end + 1;
  }
  return found;
}

LoadedNetwork load(const SmallNetwork& network, const std::string& path) {
  Result<LoadedNetwork> loaded = link_and_load(network.object(), network.image.symbol, path);
  if (!loaded) FAIL(loaded.error().render(SourceMap()));
  return *loaded;
}

bool close(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::abs(a[i] - b[i]) < 1e-5f)) return false;
  return true;
}

std::set<std::string> files_in(const std::string& directory) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory))
    names.insert(entry.path().filename());
  return names;
}

}  // namespace

TEST_CASE("a network computes what the interpreter computes") {
  const ScratchDirectory directory;
  const SmallNetwork network("small");
  const LoadedNetwork loaded = load(network, directory.file("small.so"));
  const std::vector<float> output = run(*loaded.model, network.input);
  REQUIRE(output.size() == 10);
  REQUIRE(close(output, network.expected_output()));
}

TEST_CASE("the model table describes the network") {
  const ScratchDirectory directory;
  const SmallNetwork network("small");
  const LoadedNetwork loaded = load(network, directory.file("small.so"));
  const cardinal_model& m = *loaded.model;
  REQUIRE(m.abi_version == CARDINAL_ABI_VERSION);
  REQUIRE(m.struct_bytes == sizeof(cardinal_model));
  REQUIRE(std::string(m.name) == "small");
  REQUIRE(std::string(m.target) == network.plans[0].target.cpu);
  REQUIRE(std::string(m.compiler).find("LLVM 22.1") != std::string::npos);
  REQUIRE(m.required_features == network.plans[0].target.required_features);
  REQUIRE(m.input_count == 1);
  REQUIRE(std::string(m.inputs[0].name) == "x");
  REQUIRE(m.inputs[0].rank == 4);
  REQUIRE(m.inputs[0].dims[1] == 3);
  REQUIRE(m.inputs[0].bytes == 3 * 12 * 12 * 4);
  REQUIRE(m.output_count == 1);
  REQUIRE(std::string(m.outputs[0].name) == "y");
  REQUIRE(m.outputs[0].rank == 2);
  REQUIRE(m.outputs[0].bytes == 40);
  REQUIRE(m.step_count == network.plans[0].steps.size());
  REQUIRE(m.steps[0].units == network.plans[0].steps[0].units);
  REQUIRE(std::string(m.steps[0].name) == network.plans[0].steps[0].name);
  for (uint32_t i = 0; i < m.step_count; ++i) {
    const Step& step = network.plans[0].steps[i];
    REQUIRE(m.steps[i].predicted_us == step.predicted_us);
    REQUIRE(m.steps[i].weight_bytes == static_cast<uint64_t>(step.weight_bytes));
    REQUIRE(m.steps[i].arithmetic == static_cast<uint64_t>(work_of(step).flops));
  }
  REQUIRE(m.steps[0].arithmetic > 0);
  REQUIRE(m.steps[0].weight_bytes > 0);
  REQUIRE(m.weights_bytes == network.image.weights.size() * sizeof(float));
  REQUIRE(m.weights_file == nullptr);
  // stem, its batch norm, three 3x3 convolutions, fc with its bias.
  REQUIRE(m.parameter_count == 3 * 32 * 9 + 4 * 32 + 3 * 32 * 32 * 9 + 32 * 10 + 10);
  REQUIRE(m.flops > 2 * 144 * (3 * 32 * 9 + 3 * 32 * 32 * 9));
}

TEST_CASE("the model hash depends on the weights and on the plan, not on the symbol") {
  const ScratchDirectory directory;
  SmallNetwork network("small");
  const auto hash = [&] { return load(network, directory.file("x.so")).model->model_hash; };
  const uint64_t original = hash();
  network.image.symbol = "other";
  REQUIRE(hash() == original);
  network.image.weights[5] += 1;
  REQUIRE(hash() != original);
  network.image.weights[5] -= 1;
  network.plans[0].steps[0].units += 1;
  REQUIRE(hash() != original);
}

TEST_CASE("a shared object depends on nothing and exports three symbols") {
  const ScratchDirectory directory;
  const std::string path = directory.file("small.so");
  load(SmallNetwork("small"), path);
  const std::string dynamic = output_of("readelf -dW " + path);
  REQUIRE(lines_with(dynamic, "(NEEDED)").empty());
  REQUIRE(lines_with(dynamic, "(TEXTREL)").empty());
  REQUIRE(lines_with(dynamic, "(SONAME)").size() == 1);
  REQUIRE(lines_with(dynamic, "soname: [small.so]").size() == 1);
  const std::string symbols = output_of("readelf --dyn-syms -W " + path);
  REQUIRE(lines_with(symbols, "GLOBAL").size() == 3);
  REQUIRE(lines_with(symbols, " small_run").size() == 1);
  REQUIRE(lines_with(symbols, " small_variant").size() == 1);
  REQUIRE(lines_with(symbols, " small_cardinal_model").size() == 1);
  const std::string sections = output_of("readelf -SW " + path);
  for (const char* writable : {" .data ", " .bss ", ".tdata", ".tbss"})
    REQUIRE(lines_with(sections, writable).empty());
}

TEST_CASE("weights are page-aligned, read-only and the packed ones") {
  const ScratchDirectory directory;
  const SmallNetwork network("small");
  const LoadedNetwork loaded = load(network, directory.file("small.so"));
  const auto address = reinterpret_cast<uintptr_t>(loaded.model->weights);
  REQUIRE(address % 4096 == 0);
  REQUIRE(std::memcmp(loaded.model->weights, network.image.weights.data(), loaded.model->weights_bytes) == 0);
  std::ifstream maps("/proc/self/maps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    unsigned long begin = 0, end = 0;
    char permissions[5] = "";
    REQUIRE(std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, permissions) == 3);
    if (address < begin || address >= end) continue;
    found = true;
    REQUIRE(std::string(permissions) == "r--p");
  }
  REQUIRE(found);
}

TEST_CASE("text forms declare the weights and leave their bytes out") {
  const SmallNetwork network("small");
  const auto text = [&](CodeKind kind) {
    Result<std::string> code = emit_code(network.graph, network.plans, network.image, kind);
    if (!code) FAIL(code.error().render(SourceMap()));
    return *code;
  };
  const std::string ir = text(CodeKind::llvm_ir);
  REQUIRE(lines_with(ir, "@small_weights = external hidden constant").size() == 1);
  REQUIRE(lines_with(ir, "void @small_run(").size() == 1);
  const std::string assembly = text(CodeKind::assembly);
  REQUIRE(lines_with(assembly, "\t.quad\tsmall_weights").size() == 1);
  REQUIRE(lines_with(assembly, "\t.hidden\tsmall_weights").size() == 1);
  REQUIRE(lines_with(assembly, "small_weights:").empty());
  REQUIRE(lines_with(assembly, "small_run:").size() == 1);
}

TEST_CASE("weights are put behind objects that have a section for them only") {
  std::string text = "not an object";
  CHECK_FALSE(put_weights_behind(text));
  CHECK(text == "not an object");
  SmallNetwork network("small");
  network.image.weights_file = "small.weights";
  std::string without = network.object();
  CHECK_FALSE(put_weights_behind(without));
}

TEST_CASE("weights kept in a file are not in the object") {
  const ScratchDirectory directory;
  SmallNetwork network("small");
  const size_t with_weights = network.object().size();
  network.image.weights_file = "small.weights";
  REQUIRE(network.object().size() + network.image.weights.size() * sizeof(float) <= with_weights);
  const LoadedNetwork loaded = load(network, directory.file("small.so"));
  REQUIRE(loaded.model->weights == nullptr);
  REQUIRE(std::string(loaded.model->weights_file) == "small.weights");
  REQUIRE(loaded.model->weights_bytes == network.image.weights.size() * sizeof(float));
  cardinal_model model = *loaded.model;
  std::vector<float> storage(network.image.weights.size() + CARDINAL_ALIGNMENT / sizeof(float));
  void* aligned = storage.data();
  size_t space = storage.size() * sizeof(float);
  REQUIRE(std::align(CARDINAL_ALIGNMENT, model.weights_bytes, aligned, space));
  std::memcpy(aligned, network.image.weights.data(), model.weights_bytes);
  model.weights = aligned;
  REQUIRE(close(run(model, network.input), network.expected_output()));
}

TEST_CASE("equal steps share a kernel") {
  SmallNetwork network("small");
  const Result<Plan> one_step_each =
      make_plan(network.graph, network.plans[0].target, {.overrides = {}, .winograd = false});
  REQUIRE(one_step_each);
  network.plans = {*one_step_each};
  const Result<std::string> text = emit_code(network.graph, network.plans, network.image, CodeKind::llvm_ir);
  REQUIRE(text);
  std::set<std::string> called;
  for (size_t i = 0; i < network.plans[0].steps.size(); ++i) {
    const size_t task = text->find(fmt::format("define internal void @step_{}(", i));
    REQUIRE(task != std::string::npos);
    const size_t call = text->find("call void @", task);
    called.insert(text->substr(call, text->find('(', call) - call));
  }
  // first and second are alike.
  REQUIRE(called.size() == network.plans[0].steps.size() - 1);
}

TEST_CASE("output is the same for the same input") {
  const ScratchDirectory directory;
  const std::string first = SmallNetwork("small").object(), second = SmallNetwork("small").object();
  REQUIRE(first == second);
  std::filesystem::create_directory(directory.file("a"));
  std::filesystem::create_directory(directory.file("b"));
  REQUIRE(link_shared({first}, "small", directory.file("a/small.so")));
  REQUIRE(link_shared({second}, "small", directory.file("b/small.so")));
  REQUIRE(contents(directory.file("a/small.so")) == contents(directory.file("b/small.so")));
}

TEST_CASE("an executor is given every unit of every larger step, and changes no bit") {
  const ScratchDirectory directory;
  SmallNetwork network("small");
  int64_t grain = 1;
  for (Step& step : network.plans[0].steps) step.predicted_us = 100, step.grain = grain++;
  network.plans[0].steps[1].predicted_us = 0.1;
  const LoadedNetwork loaded = load(network, directory.file("small.so"));

  // Ranges of three units, the last first, and some of none.
  using Calls = std::vector<std::pair<int64_t, int64_t>>;  // units and grain
  Calls seen;
  cardinal_executor executor{&seen, [](void* context, int64_t units, int64_t grain, cardinal_task task,
                                       const cardinal_frame* frame) {
                               static_cast<Calls*>(context)->push_back({units, grain});
                               for (int64_t end = units; end > 0; end -= 3) {
                                 task(frame, end, end);
                                 task(frame, std::max<int64_t>(0, end - 3), end);
                               }
                               task(frame, 0, 0);
                             }};
  const std::vector<float> alone = run(*loaded.model, network.input);
  REQUIRE(seen.empty());
  const std::vector<float> shared = run(*loaded.model, network.input, &executor);
  REQUIRE(std::memcmp(alone.data(), shared.data(), alone.size() * sizeof(float)) == 0);

  Calls expected;
  for (size_t i = 0; i < network.plans[0].steps.size(); ++i) {
    const Step& step = network.plans[0].steps[i];
    CHECK(loaded.model->steps[i].grain == step.grain);
    if (i != 1 && step.units > 1) expected.push_back({step.units, step.grain});
  }
  REQUIRE(expected.size() > 2);
  REQUIRE(seen == expected);
}

TEST_CASE("variants share the weights and the workspace, and give the same bits") {
  const ScratchDirectory directory;
  const SmallNetwork network("small", {"x86-64-v3", "x86-64-v4"}), alone("small", {"x86-64-v4"});
  const LoadedNetwork loaded = load(network, directory.file("small.so"));
  const cardinal_model& first = *loaded.model;
  REQUIRE(first.better);
  const cardinal_model& second = *first.better;
  REQUIRE_FALSE(second.better);
  CHECK(std::string(first.target) == "x86-64-v3");
  CHECK(std::string(second.target) == "x86-64-v4");
  CHECK(first.required_features == CARDINAL_FEATURE_AVX2_FMA);
  CHECK(second.required_features == (CARDINAL_FEATURE_AVX2_FMA | CARDINAL_FEATURE_AVX512));
  for (const cardinal_model* variant : {&first, &second}) {
    CHECK(variant->weights == first.weights);
    CHECK(variant->weights_read == alone.image.weights.size() * sizeof(float));
    CHECK(variant->weights_bytes == variant->weights_read);
    CHECK(variant->workspace_bytes == first.workspace_bytes);
    CHECK(variant->model_hash == first.model_hash);
    CHECK(variant->code_bytes > 1000);
    CHECK(variant->code_bytes < 1 << 20);
  }
  CHECK(first.run != second.run);
  if (runnable_targets().size() < 2) return;
  const std::vector<float> a = run(first, network.input), b = run(second, network.input);
  REQUIRE(close(a, network.expected_output()));
  REQUIRE(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

TEST_CASE("a C program finds the variant for its CPU") {
  const ScratchDirectory directory;
  const bool several = GENERATE(false, true);
  const SmallNetwork network =
      several ? SmallNetwork("small", {"x86-64-v3", "x86-64-v4"}) : SmallNetwork("small");
  write_text(directory.file("small.o"), network.object());
  write_text(directory.file("main.c"), R"(
    #include <cardinal/abi.h>
    #include <stdio.h>
    #include <stdlib.h>
    extern const struct cardinal_model small_cardinal_model;
    const struct cardinal_model* small_variant(void);
    void small_run(const struct cardinal_frame*, const struct cardinal_executor*);
    static float in[3 * 12 * 12], expected[10], out[10];
    int main(void) {
      const struct cardinal_model* variant = small_variant();
      const void* inputs[] = {in};
      void *outputs[] = {expected}, *workspace = aligned_alloc(64, (variant->workspace_bytes + 63) / 64 * 64);
      struct cardinal_frame frame = {inputs, outputs, variant->weights, workspace};
      for (int i = 0; i < 3 * 12 * 12; ++i) in[i] = (float)(i % 7);
      variant->run(&frame, 0);
      outputs[0] = out;
      small_run(&frame, 0);
      for (int i = 0; i < 10; ++i) if (out[i] != expected[i]) return 1;
      if (small_variant() != variant) return 2;
      puts(variant->target);
      return 0;
    })");
  const std::string printed =
      output_of(fmt::format("cd {} && {} -I{} -Wall -Werror main.c small.o -o main 2>&1 && ./main",
                            directory.file("."), C_COMPILER, RUNTIME_INCLUDE));
  CHECK(printed == runnable_targets().back() + "\n");
}

TEST_CASE("two networks live in one process") {
  const ScratchDirectory directory;
  const SmallNetwork a("alpha"), b("beta");
  const LoadedNetwork first = load(a, directory.file("a.so")), second = load(b, directory.file("b.so"));
  REQUIRE(first.model->run != second.model->run);
  REQUIRE(close(run(*first.model, a.input), a.expected_output()));
  REQUIRE(close(run(*second.model, b.input), b.expected_output()));
}

TEST_CASE("two networks link into one program") {
  const ScratchDirectory directory;
  for (const char* symbol : {"alpha", "beta"}) {
    const std::string object = SmallNetwork(symbol).object();
    write_text(directory.file(symbol) + ".o", object);
  }
  write_text(directory.file("main.c"), R"(
    #include <cardinal/abi.h>
    extern const struct cardinal_model alpha_cardinal_model, beta_cardinal_model;
    void alpha_run(const struct cardinal_frame*, const struct cardinal_executor*);
    int main(void) {
      if (alpha_cardinal_model.run != alpha_run) return 1;
      if (alpha_cardinal_model.weights == beta_cardinal_model.weights) return 2;
      return alpha_cardinal_model.model_hash == beta_cardinal_model.model_hash ? 0 : 3;
    })");
  output_of(fmt::format("cd {} && {} -I{} -Wall -Werror main.c alpha.o beta.o -o main 2>&1 && ./main",
                        directory.file("."), C_COMPILER, RUNTIME_INCLUDE));
}

TEST_CASE("a shared object is written whole or not at all") {
  const ScratchDirectory directory;
  const std::string object = SmallNetwork("small").object();
  const std::string path = directory.file("small.so");

  SECTION("what is there already is replaced") {
    write_text(path, "old");
    REQUIRE(link_shared({object}, "small", path));
    REQUIRE(contents(path).substr(0, 4) == "\177ELF");
    REQUIRE(files_in(directory.file(".")) == std::set<std::string>{"small.so"});
  }
  SECTION("a failing link leaves it alone") {
    write_text(path, "old");
    const Status status = link_shared({"not an object"}, "small", path);
    REQUIRE(!status);
    REQUIRE(contents(path) == "old");
    REQUIRE(files_in(directory.file(".")) == std::set<std::string>{"small.so"});
  }
  SECTION("code that needs a library is refused") {
    write_text(directory.file("needs.c"), "double cos(double); double f(double x) { return cos(x); }");
    output_of(fmt::format("cd {} && {} -fPIC -c needs.c", directory.file("."), C_COMPILER));
    const Status status = link_shared({contents(directory.file("needs.o"))}, "small", path);
    REQUIRE(!status);
    REQUIRE(status.error().list()[0].message.find("undefined symbol: cos") != std::string::npos);
    REQUIRE(files_in(directory.file(".")) == std::set<std::string>{"needs.c", "needs.o"});
  }
  SECTION("no such directory") {
    const Status status = link_shared({object}, "small", directory.file("missing/small.so"));
    REQUIRE(!status);
    REQUIRE(status.error().list()[0].message.find("there is no directory") != std::string::npos);
    REQUIRE(files_in(directory.file(".")).empty());
  }
  SECTION("a directory stands in the way") {
    std::filesystem::create_directory(path);
    const Status status = link_shared({object}, "small", path);
    REQUIRE(!status);
    REQUIRE(status.error().list()[0].message.find("not a regular file") != std::string::npos);
    REQUIRE(files_in(directory.file(".")) == std::set<std::string>{"small.so"});
  }
  SECTION("a place where nobody can write") {
    const Status status = link_shared({object}, "small", "/proc/self/small.so");
    REQUIRE(!status);
    REQUIRE(status.error().list()[0].message.find("/proc/self/small.so") != std::string::npos);
  }
}
