#include <cardinal/cardinal.h>
#include <cardinal/hash.h>
#include <cardinal/packaging.h>
#include <elf.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <set>
#include <vector>

#include "runtime/src/cpu.h"
#include "runtime/src/parallel_hash.h"
#include "tests/runtime/fake_network.h"
#include "tests/runtime/scratch_directory.h"

using cardinal::LoadOptions;
using cardinal::Model;
using Catch::Matchers::Contains;

namespace {

// The fake network as `cardinal compile` would leave it.
std::string package(const ScratchDirectory& directory, const char* linked = FAKE_NETWORK) {
  const std::string path = directory.file("fake.so");
  std::filesystem::copy_file(linked, path);
  cardinal::append_trailer(path, "fake_cardinal_model").value();
  return path;
}

std::span<const std::byte> weight_bytes() {
  static constexpr auto weights = fake_weights();
  return std::as_bytes(std::span(weights));
}

std::string failure(const std::string& path, const LoadOptions& options = {}) {
  const auto model = Model::load(path, options);
  REQUIRE_FALSE(model.ok());
  REQUIRE_THAT(model.error().message(), Contains(path));
  return model.error().message();
}

// After `edit` of the trailer of a good file.
template <class Edit>
std::string failure_with_trailer(Edit edit) {
  const ScratchDirectory directory;
  const std::string path = package(directory);
  std::string text = read_text(path);
  cardinal_trailer trailer;
  char* at = text.data() + text.size() - sizeof trailer;
  std::memcpy(&trailer, at, sizeof trailer);
  edit(trailer);
  std::memcpy(at, &trailer, sizeof trailer);
  write_text(path, text);
  return failure(path);
}

// How many damages to `file` Model::load(model) does not notice: a flipped bit in each byte, in place, then
// every truncation by a multiple of `stride`, which leaves the file short.
size_t count_unnoticed_damage(const std::string& file, const std::string& model, size_t stride) {
  const std::string good = read_text(file);
  size_t unnoticed = 0;
  {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    const auto put = [&](size_t at, char byte) {
      stream.seekp(static_cast<std::streamoff>(at)).put(byte).flush();
    };
    for (size_t at = 0; at < good.size(); ++at) {
      put(at, static_cast<char>(good[at] ^ (1 << at % 8)));
      unnoticed += Model::load(model).ok();
      put(at, good[at]);
    }
  }
  REQUIRE(Model::load(model).ok());
  for (size_t size = good.size() - 1; size > 0; size -= std::min(size, stride)) {
    std::filesystem::resize_file(file, size);
    unnoticed += Model::load(model).ok();
  }
  return unnoticed;
}

void check_runs(const Model& model) {
  std::vector<float> x(kFakeElements), y(kFakeElements);
  for (int i = 0; i < kFakeElements; ++i) x[i] = static_cast<float>(i * i % 7);
  auto session = cardinal::Session::create(model).value();
  session.run(x, y).value();
  CHECK(y == fake_result(x));
}

}  // namespace

TEST_CASE("a compiled network loads, describes itself and runs") {
  const ScratchDirectory directory;
  const Model model = Model::load(package(directory)).value();
  CHECK(model.name() == "fake");
  CHECK(model.target() == "x86-64");
  CHECK(model.compiler() == "by hand");
  CHECK(model.model_hash() == kFakeModelHash);
  CHECK(model.workspace_bytes() == 96);
  CHECK(model.weights_bytes() == 100);
  CHECK(model.parameter_count() == 25);
  CHECK(model.flops() == 72);
  REQUIRE(model.steps().size() == 2);
  CHECK(std::string(model.steps()[1].name) == "layer.mix");
  REQUIRE(model.inputs().size() == 1);
  CHECK(model.inputs()[0].elements == 24);
  CHECK(model.inputs()[0].bytes == 96);
  CHECK(cardinal::describe(model.inputs()[0]) == "x: f32[1, 2, 3, 4] nchw");
  CHECK(cardinal::describe(model.outputs()[0]) == "y: f32[1, 24]");
  check_runs(model);
}

TEST_CASE("a network loads by a path without a slash, and through a symbolic link") {
  const ScratchDirectory directory;
  const std::string path = package(directory);
  std::filesystem::create_symlink(path, directory.file("link.so"));
  check_runs(Model::load(directory.file("link.so")).value());
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(directory.path());
  check_runs(Model::load("fake.so").value());
  std::filesystem::current_path(before);
}

TEST_CASE("weights can be copied to large pages") {
  const ScratchDirectory directory;
  const Model model = Model::load(package(directory), {.weights_in_huge_pages = true}).value();
  CHECK(model.weights() != model.raw().weights);
  check_runs(model);
}

TEST_CASE("a model may be required to match its header") {
  const ScratchDirectory directory;
  const std::string path = package(directory);
  CHECK(Model::load(path, {.expected_model_hash = kFakeModelHash}).ok());
  CHECK_THAT(failure(path, {.expected_model_hash = 0xbeef}),
             Contains("has model hash 0123456789abcdef, expected 000000000000beef"));
}

TEST_CASE("a network recompiled in place loads anew while the old one is in use") {
  const ScratchDirectory directory;
  const std::string path = package(directory);
  const Model old = Model::load(path).value();
  std::filesystem::remove(path);
  std::filesystem::copy_file(FAKE_NETWORK_FILE_WEIGHTS, path);
  cardinal::append_trailer(path, "fake_cardinal_model").value();
  cardinal::write_weights_file(directory.file("fake.weights"), weight_bytes(), kFakeModelHash).value();
  const Model recompiled = Model::load(path).value();
  CHECK(old.raw().weights_file == nullptr);
  REQUIRE(recompiled.raw().weights_file != nullptr);
  check_runs(old);
  check_runs(recompiled);
}

TEST_CASE("what is not a compiled network is refused with a reason") {
  const ScratchDirectory directory;
  CHECK_THAT(failure(directory.file("absent.so")), Contains("cannot open") && Contains("No such file"));
  CHECK_THAT(failure(directory.path()), Contains("is a directory"));
  CHECK_THAT(failure("/dev/null"), Contains("is not a regular file"));
  mkfifo(directory.file("pipe").c_str(), 0600);
  CHECK_THAT(failure(directory.file("pipe")), Contains("is not a regular file"));
  write_text(directory.file("empty.so"), "");
  CHECK_THAT(failure(directory.file("empty.so")), Contains("is empty"));
  write_text(directory.file("text.so"), std::string(5000, 'x'));
  CHECK_THAT(failure(directory.file("text.so")), Contains("is not a compiled network; make one"));
  CHECK_THAT(failure("/bin/true"), Contains("an ELF file") && Contains("without the trailer"));
  CHECK_THAT(failure(FAKE_NETWORK), Contains("without the trailer"));
}

TEST_CASE("ELF files with a trailer of their own are refused after the dynamic loader has seen them") {
  const ScratchDirectory directory;
  std::filesystem::copy_file("/bin/true", directory.file("true"));
  cardinal::append_trailer(directory.file("true"), "main").value();
  CHECK_THAT(failure(directory.file("true")), Contains("the dynamic loader refuses it"));
  std::filesystem::copy_file(FAKE_NETWORK, directory.file("symbol.so"));
  cardinal::append_trailer(directory.file("symbol.so"), "other_cardinal_model").value();
  CHECK_THAT(failure(directory.file("symbol.so")), Contains("lacks the symbol 'other_cardinal_model'"));
  std::filesystem::copy_file(FAKE_NETWORK, directory.file("function.so"));
  cardinal::append_trailer(directory.file("function.so"), "fake_run").value();
  CHECK_THAT(failure(directory.file("function.so")), Contains("'fake_run' is not a model table"));
}

TEST_CASE("shared objects for other machines are refused by name, before the dynamic loader sees them") {
  const auto failure_for = [](uint16_t machine) {
    const ScratchDirectory directory;
    const std::string path = directory.file("foreign.so");
    std::string text = read_text(FAKE_NETWORK);
    std::memcpy(text.data() + offsetof(Elf64_Ehdr, e_machine), &machine, sizeof machine);
    write_text(path, text);
    cardinal::append_trailer(path, "fake_cardinal_model").value();
    return failure(path);
  };
  CHECK_THAT(failure_for(EM_AARCH64), Contains("holds code for AArch64, but this program runs on x86-64"));
  CHECK_THAT(failure_for(EM_RISCV), Contains("unknown machine (243 in its ELF header)"));
}

TEST_CASE("a trailer that disagrees with the file or the runtime is refused") {
  CHECK_THAT(failure_with_trailer([](auto& t) { t.abi_version = CARDINAL_ABI_VERSION + 1; }),
             Contains("version " + std::to_string(CARDINAL_ABI_VERSION + 1)) &&
                 Contains("has version " + std::to_string(CARDINAL_ABI_VERSION)) &&
                 Contains("update the runtime"));
  CHECK_THAT(failure_with_trailer([](auto& t) { t.abi_version = 0; }),
             Contains("recompile the network with the"));
  CHECK_THAT(failure_with_trailer([](auto& t) { ++t.file_bytes; }), Contains("but was written with"));
  CHECK_THAT(failure_with_trailer([](auto& t) { t.trailer_bytes = 8; }), Contains("trailer is garbled"));
  CHECK_THAT(failure_with_trailer([](auto& t) { t.symbol[0] = 0; }), Contains("trailer is garbled"));
  CHECK_THAT(failure_with_trailer([](auto& t) { std::memset(t.symbol, 'a', sizeof t.symbol); }),
             Contains("trailer is garbled"));
  CHECK_THAT(failure_with_trailer([](auto& t) { t.image_hash ^= 1; }), Contains("do not match their hash"));
}

TEST_CASE("every flipped byte and every truncation of a shared object is noticed") {
  const ScratchDirectory directory;
  const std::string path = package(directory);
  const std::string good = read_text(path);
  CHECK(count_unnoticed_damage(path, path, 7) == 0);
  write_text(path, good + "!");
  CHECK_FALSE(Model::load(path).ok());
}

TEST_CASE("threads hash what one does, and see every byte of every block") {
  std::vector<unsigned char> bytes(3 * cardinal::kHashBlock + 5);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<unsigned char>(i * 131 + i / 257);
  std::set<uint64_t> seen;
  for (const size_t size : {size_t{0}, size_t{1}, cardinal::kHashBlock - 1, cardinal::kHashBlock,
                            cardinal::kHashBlock + 1, 2 * cardinal::kHashBlock, bytes.size()}) {
    CAPTURE(size);
    for (const uint64_t seed : {0, 7}) {
      const uint64_t alone = cardinal::hash_bytes(bytes.data(), size, seed);
      CHECK(cardinal::runtime::parallel_hash_bytes(bytes.data(), size, seed) == alone);
      CHECK(seen.insert(alone).second);
    }
  }
  for (size_t at = 3; at < bytes.size(); at += cardinal::kHashBlock / 2 + 1) {
    bytes[at] ^= 1;
    CHECK(seen.insert(cardinal::runtime::parallel_hash_bytes(bytes.data(), bytes.size())).second);
    bytes[at] ^= 1;
  }
  std::swap_ranges(bytes.begin(), bytes.begin() + cardinal::kHashBlock, bytes.begin() + cardinal::kHashBlock);
  CHECK(seen.insert(cardinal::runtime::parallel_hash_bytes(bytes.data(), bytes.size())).second);
}

TEST_CASE("weights in a file are found beside the shared object or where the caller says") {
  const ScratchDirectory directory, elsewhere;
  const std::string path = package(directory, FAKE_NETWORK_FILE_WEIGHTS);
  const auto absent = Model::load(path);
  REQUIRE_FALSE(absent.ok());
  CHECK_THAT(absent.error().message(),
             Contains(directory.file("fake.weights") + ": cannot open the weight file of network 'fake'"));
  cardinal::write_weights_file(directory.file("fake.weights"), weight_bytes(), kFakeModelHash).value();
  CHECK(directory.count() == 2);
  check_runs(Model::load(path).value());
  check_runs(Model::load(path, {.weights_in_huge_pages = true}).value());
  std::filesystem::rename(directory.file("fake.weights"), elsewhere.file("w"));
  check_runs(Model::load(path, {.weights_path = elsewhere.file("w")}).value());

  cardinal_model linked = fake_cardinal_model;
  linked.weights = nullptr;
  linked.weights_file = "fake.weights";
  check_runs(Model::from(linked, {.weights_path = elsewhere.file("w")}).value());
  const auto unplaced = Model::from(linked);
  REQUIRE_FALSE(unplaced.ok());
  CHECK_THAT(unplaced.error().message(), Contains("say where it is in LoadOptions::weights_path"));
}

TEST_CASE("wrong and damaged weight files are refused with a reason") {
  const ScratchDirectory directory;
  const std::string path = package(directory, FAKE_NETWORK_FILE_WEIGHTS),
                    weights = directory.file("fake.weights");
  const auto why = [&] {
    const auto model = Model::load(path);
    REQUIRE_FALSE(model.ok());
    REQUIRE_THAT(model.error().message(), Contains(weights));
    return model.error().message();
  };
  write_text(weights, "short");
  CHECK_THAT(why(), Contains("is not a weight file"));
  std::filesystem::remove(weights);
  std::filesystem::create_directory(weights);
  CHECK_THAT(why(), Contains("is a directory"));
  std::filesystem::remove(weights);
  cardinal::write_weights_file(weights, weight_bytes(), kFakeModelHash + 1).value();
  CHECK_THAT(why(), Contains("packed for another network or another compilation than network 'fake'"));
  auto other = fake_weights();
  other[3] = -1;
  cardinal::write_weights_file(weights, std::as_bytes(std::span(other)), kFakeModelHash).value();
  CHECK_THAT(why(), Contains("does not match network 'fake'"));

  cardinal::write_weights_file(weights, weight_bytes(), kFakeModelHash).value();
  const std::string good = read_text(weights);
  CHECK(count_unnoticed_damage(weights, path, 13) == 0);
  write_text(weights, good + good);
  CHECK_THAT(why(), Contains("expected 4196"));
}

TEST_CASE("a compact weight file is formed when it is loaded, and its damages are found") {
  const ScratchDirectory directory;
  const std::string path = package(directory, FAKE_NETWORK_FILE_WEIGHTS),
                    weights = directory.file("fake.weights");
  static constexpr auto values = fake_weights();
  cardinal::CompactWeights compact{{values.rbegin(), values.rend()}, {}};
  for (size_t i = 0; i < values.size(); ++i)  // one by one, from back to front
    compact.forms.push_back({CARDINAL_FORM_COPY, 0, values.size() - 1 - i, 0, i, 1, 1});
  const auto write = [&] {
    cardinal::write_weights_file(weights, weight_bytes(), kFakeModelHash, &compact).value();
  };
  write();
  check_runs(Model::load(path).value());
  check_runs(Model::load(path, {.weights_in_huge_pages = true}).value());
  CHECK(count_unnoticed_damage(weights, path, 13) == 0);

  const auto why = [&](const LoadOptions& options = {}) {
    write();
    const auto model = Model::load(path, options);
    REQUIRE_FALSE(model.ok());
    REQUIRE_THAT(model.error().message(), Contains(weights));
    return model.error().message();
  };
  compact.forms[7].source = values.size();
  CHECK_THAT(why({.verify_hash = false}), Contains("form 7: it reads beyond the stored weights"));
  compact.forms[7] = {CARDINAL_FORM_COPY, 0, 0, 0, 7, 1, 1};
  CHECK_THAT(why(), Contains("forming its weights gave others than the compiler's"));
}

TEST_CASE("a malformed table is refused") {
  const auto refuses = [](auto edit, const std::string& reason) {
    cardinal_model model = fake_cardinal_model;
    cardinal_tensor input = model.inputs[0];
    cardinal_step steps[] = {model.steps[0], model.steps[1]};
    model.inputs = &input;
    model.steps = steps;
    edit(model, input, steps[1]);
    const auto loaded = Model::from(model);
    REQUIRE_FALSE(loaded.ok());
    CHECK_THAT(loaded.error().message(), Contains(reason));
  };
  refuses([](auto& m, auto&, auto&) { m.abi_version = 1000; }, "version 1000 of Cardinal's ABI");
  refuses([](auto& m, auto&, auto&) { m.struct_bytes = 8; }, "table has 8 bytes");
  refuses([](auto& m, auto&, auto&) { m.name = nullptr; }, "name, target or compiler is missing");
  refuses([](auto& m, auto&, auto&) { m.run = nullptr; }, "no run function");
  refuses([](auto& m, auto&, auto&) { m.inputs = nullptr; }, "1 inputs");
  refuses([](auto& m, auto&, auto&) { m.output_count = 0; }, "0 outputs");
  refuses([](auto& m, auto&, auto&) { m.input_count = 1u << 30; }, "1073741824 inputs");
  refuses([](auto& m, auto&, auto&) { m.steps = nullptr; }, "2 steps");
  refuses([](auto& m, auto&, auto&) { m.workspace_bytes = ~0ull; }, "bytes of workspace");
  refuses([](auto& m, auto&, auto&) { m.weights = nullptr; }, "neither inside nor in a file");
  refuses([](auto& m, auto&, auto&) { m.weights_file = "w"; }, "both inside and in a file");
  refuses([](auto& m, auto&, auto&) { m.weights = static_cast<const char*>(m.weights) + 4; },
          "misaligned weights");
  refuses([](auto&, auto& t, auto&) { t.name = nullptr; }, "input 0 has no name");
  refuses([](auto&, auto& t, auto&) { t.dtype = 9; }, "'x' has unknown dtype 9");
  refuses([](auto&, auto& t, auto&) { t.rank = 7; }, "'x' has rank 7");
  refuses([](auto&, auto& t, auto&) { t.rank = -1; }, "'x' has rank -1");
  refuses([](auto&, auto& t, auto&) { t.dims[2] = 0; }, "no valid shape");
  refuses([](auto&, auto& t, auto&) { t.dims[2] = int64_t{1} << 62; }, "no valid shape");
  refuses([](auto&, auto& t, auto&) { t.layout = 5; }, "no valid shape");
  refuses([](auto&, auto& t, auto&) { t.rank = 3, t.layout = CARDINAL_NHWC; }, "no valid shape");
  refuses([](auto&, auto& t, auto&) { t.layout = CARDINAL_NCHW16C; }, "has 96 bytes, its shape needs 768");
  refuses([](auto&, auto& t, auto&) { t.dtype = CARDINAL_BF16; }, "has 96 bytes, its shape needs 48");
  refuses([](auto&, auto&, auto& s) { s.task = nullptr; }, "step 1 is incomplete");
  refuses([](auto&, auto&, auto& s) { s.units = -1; }, "step 1 is incomplete");
  refuses([](auto&, auto&, auto& s) { s.grain = 0; }, "step 1 is incomplete");
  static constexpr cardinal_gpu_launch launch = {"kernel", {1, 1, 1}, {1, 1, 1}, 0, 0, nullptr};
  refuses([](auto&, auto&, auto& s) { s.launch = &launch; }, "step 1 is incomplete");
  refuses([](auto&, auto&, auto& s) { s.repeats = 0; }, "step 1 is repeated 0 times");
  refuses([](auto&, auto&, auto& s) { s.repeats = 2; }, "step 1 is repeated 2 times");  // step 0 is not
  refuses([](auto& m, auto&, auto&) { m.required_features = 1u << 20; },
          "an instruction set that this runtime does not know (bit 20)");
}

TEST_CASE("malformed tables for a GPU are refused with a reason") {
  static constexpr char ptx[] = ".version 7.0";
  struct Parts {
    cardinal_model model = fake_cardinal_model;
    cardinal_gpu_pointer pointers[3] = {
        {CARDINAL_GPU_OUTPUT, 0, 92}, {CARDINAL_GPU_WEIGHTS, 0, 0}, {CARDINAL_GPU_WORKSPACE, 0, 95}};
    cardinal_gpu_launch launch = {"kernel", {4, 1, 1}, {32, 4, 1}, 0, 3, pointers};
    cardinal_step step = {"layer", "kernel", nullptr, 4, 1, 1, 0, 0, 0, 0, 0.5, &launch};
    cardinal_gpu_code code = {CARDINAL_GPU_PTX, 80, 0, 0, sizeof ptx, ptx};
    cardinal_gpu gpu = {1, &code};
  };
  const auto reason = [](auto edit) {
    Parts p;
    p.model.run = nullptr;
    p.model.gpu = &p.gpu;
    p.model.steps = &p.step;
    p.model.step_count = 1;
    edit(p);
    const auto loaded = Model::from(p.model);
    return loaded.ok() ? std::string("none") : loaded.error().message();
  };
  CHECK(reason([](Parts&) {}) == "none");
  CHECK_THAT(reason([](Parts& p) { p.model.run = fake_run; }), Contains("has functions for a CPU"));
  CHECK_THAT(reason([](Parts& p) { p.gpu.code_count = 0; }), Contains("0 pieces of GPU code"));
  CHECK_THAT(reason([](Parts& p) { p.gpu.codes = nullptr; }), Contains("1 pieces of GPU code"));
  CHECK_THAT(reason([](Parts& p) { p.code.kind = 2; }), Contains("GPU code 0 is damaged"));
  CHECK_THAT(reason([](Parts& p) { p.code.data = nullptr; }), Contains("GPU code 0 is damaged"));
  CHECK_THAT(reason([](Parts& p) { p.code.bytes = 3; }), Contains("GPU code 0 is damaged"));
  CHECK_THAT(reason([](Parts& p) { p.step.repeats = 2; }), Contains("step 0 is repeated 2 times"));
  for (auto edit : std::initializer_list<void (*)(Parts&)>{
           [](Parts& p) { p.step.launch = nullptr; }, [](Parts& p) { p.launch.kernel = nullptr; },
           [](Parts& p) { p.launch.grid[0] = 0; }, [](Parts& p) { p.launch.grid[1] = 65536; },
           [](Parts& p) { p.launch.block[0] = 512; }, [](Parts& p) { p.launch.pointers = nullptr; },
           [](Parts& p) { p.pointers[0].offset = 96; }, [](Parts& p) { p.pointers[0].index = 1; },
           [](Parts& p) { p.pointers[0].index = -1; }, [](Parts& p) { p.pointers[0].space = 4; },
           [](Parts& p) { p.pointers[1].offset = 1 << 20; }, [](Parts& p) { p.pointers[2].offset = 96; }})
    CHECK_THAT(reason(edit), Contains("step 0 is incomplete"));
}

TEST_CASE("of several variants the best for this CPU is run, or the one asked for") {
  cardinal_model first = fake_cardinal_model, middle = first, best = first;
  first.target = "old", middle.target = "newer", best.target = "future";
  best.required_features = 1u << 20;
  first.better = &middle, middle.better = &best;
  const Model chosen = Model::from(first).value();
  CHECK(chosen.target() == "newer");
  CHECK(&chosen.raw() == &middle);
  REQUIRE(chosen.variants().size() == 3);
  CHECK(chosen.variants()[0] == &first);
  CHECK(chosen.variants()[2] == &best);
  CHECK(&Model::from(first, {.variant = "old"}).value().raw() == &first);
  const auto why = [&](const std::string& variant) {
    const auto loaded = Model::from(first, {.variant = variant});
    REQUIRE_FALSE(loaded.ok());
    return loaded.error().message();
  };
  CHECK_THAT(why("none"), Contains("has no variant 'none'; it has old, newer, future"));
  CHECK_THAT(why("future"), Contains("was compiled for future and needs an instruction set"));
  first.required_features = middle.required_features = 1u << 21;
  CHECK_THAT(why(""), Contains("was compiled for old, newer, future and needs"));
  middle.model_hash += 1;
  CHECK_THAT(why("old"), Contains("variant 1: it differs from the first"));
  middle.model_hash -= 1;
  best.run = nullptr;
  CHECK_THAT(why("old"), Contains("variant 2: it has no run function"));
  middle.better = &first;
  CHECK_THAT(why("old"), Contains("more than 16 variants"));
}

TEST_CASE("missing instruction sets are named") {
  using cardinal::runtime::missing_features;
  CHECK(missing_features(CARDINAL_FEATURE_AVX2_FMA, CARDINAL_FEATURE_AVX2_FMA) == "");
  CHECK(missing_features(0, 0) == "");
  CHECK(missing_features(CARDINAL_FEATURE_NEON, 3) == "NEON (AArch64)");
  CHECK(missing_features(3, CARDINAL_FEATURE_AVX2_FMA) == "AVX-512 F, CD, BW, DQ and VL (x86-64-v4)");
  CHECK_THAT(missing_features(3, 0), Contains("AVX2") && Contains(" and AVX-512"));
  std::string cpuinfo = read_text("/proc/cpuinfo");
  const auto flag = [&](const char* name) {
    return cpuinfo.find(std::string(" ") + name + " ") != std::string::npos;
  };
  CHECK(((cardinal::cpu_features() & CARDINAL_FEATURE_AVX2_FMA) != 0) == (flag("avx2") && flag("fma")));
  CHECK(((cardinal::cpu_features() & CARDINAL_FEATURE_AVX512) != 0) ==
        (flag("avx512vl") && flag("avx512bw")));
}

TEST_CASE("taking the value of a failed load throws its message") {
  CHECK_THROWS_WITH(Model::load("absent.so").value(), Contains("absent.so: cannot open"));
}
