// The built tool as its users meet it: messages, exit codes, and what is on disk afterwards.
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "compiler/weights/npy.h"
#include "tests/runtime/scratch_directory.h"

namespace {

constexpr const char* kNetwork = R"(# One convolution with everything around it.
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

bool has(const std::string& text, const std::string& part) {
  UNSCOPED_INFO(text);
  return text.find(part) != std::string::npos;
}

// The command fails by the user's fault, says so, and leaves nothing behind.
void check_refused(const Workshop& shop, const std::string& arguments, const std::string& message,
                   const std::vector<std::string>& known = {}) {
  INFO("cardinal " << arguments);
  Outcome outcome = shop.cardinal(arguments);
  CHECK(outcome.code == 1);
  CHECK(has(outcome.err, message));
  CHECK(outcome.out == "");
  CHECK(shop.others(known) == std::vector<std::string>{});
}

}  // namespace

TEST_CASE("usage") {
  Workshop shop;
  Outcome version = shop.cardinal("--version");
  CHECK(version.code == 0);
  CHECK(has(version.out, "cardinal "));
  Outcome help = shop.cardinal("--help");
  CHECK(help.code == 0);
  CHECK(has(help.out, "exit codes: 0 done, 1 your mistake"));
  for (const char* verb :
       {"compile", "plan", "tune", "check", "fmt", "ir", "info", "run", "bench", "profile", "verify"}) {
    CHECK(has(help.out, std::string("  ") + verb + " "));
    CHECK(shop.cardinal(std::string(verb) + " --help").code == 0);
    CHECK(shop.cardinal(verb).code == 1);
  }
  check_refused(shop, "", "a verb is needed");
  check_refused(shop, "chek net.nn", "there is no verb 'chek'; did you mean 'check'?");
  check_refused(shop, "frobnicate net.nn", "there is no verb 'frobnicate'; `cardinal --help` lists them");
  check_refused(shop, "compiel tiny.nn", "compiel");
  check_refused(shop, "compile tiny.nn --wieghts random:0", "--wieghts");
  check_refused(shop, "compile tiny.nn --weights random:0 --emit exe", "exe");
  check_refused(shop, "bench x.so --threads 0", "--threads");
}

TEST_CASE("check") {
  Workshop shop;
  Outcome right = shop.cardinal("check tiny.nn");
  CHECK(right.code == 0);
  CHECK(right.err == "");
  check_refused(shop, "check none.nn", "none.nn");
  check_refused(shop, "check tiny.nn --set channels", "--set channels is not KEY=VALUE");
  check_refused(shop, "check tiny.nn --set channels=0", "channels");
  CHECK(shop.cardinal("check tiny.nn --set channels=32").code == 0);
  shop.write("bad.nn",
             "network bad {\n  input x: f32[1, 3, 8, 8]\n  y = x |> conv(8, kernle=3)\n  return y\n}\n");
  check_refused(shop, "check bad.nn", "bad.nn:3:", {"bad.nn"});
}

TEST_CASE("fmt") {
  Workshop shop;
  std::string messy = "network a {\n input x: f32[1, 3, 8, 8]\n y = x|>relu\n return y\n}\n";
  shop.write("a.nn", messy);
  check_refused(shop, "fmt --check a.nn", "a.nn is not formatted", {"a.nn"});
  CHECK(shop.read("a.nn") == messy);
  CHECK(shop.cardinal("fmt a.nn").code == 0);
  CHECK(shop.read("a.nn") != messy);
  CHECK(shop.cardinal("fmt --check a.nn").code == 0);
  std::string broken = "network a {\n";
  shop.write("a.nn", broken);
  check_refused(shop, "fmt a.nn", "a.nn:", {"a.nn"});
  CHECK(shop.read("a.nn") == broken);
}

TEST_CASE("ir") {
  Workshop shop;
  Outcome source = shop.cardinal("ir tiny.nn");
  CHECK(source.code == 0);
  CHECK(has(source.out, "network tiny"));
  CHECK(has(source.out, "batch_norm("));
  Outcome folded = shop.cardinal("ir tiny.nn --after fold_batch_norm");
  CHECK(folded.code == 0);
  CHECK(folded.out.find("batch_norm(") == std::string::npos);
  check_refused(shop, "ir tiny.nn --after folding", "there is no pass folding; there are source, ");
}

TEST_CASE("compile writes a shared object and its header") {
  Workshop shop;
  Outcome compiled = shop.cardinal("compile tiny.nn --weights random:1");
  CHECK(compiled.code == 0);
  CHECK(compiled.out == "");
  CHECK(has(compiled.err, "tiny.so: network tiny for "));
  CHECK(shop.others({"tiny.so", "tiny.h"}) == std::vector<std::string>{});
  CHECK(has(shop.read("tiny.h"), "tiny_cardinal_model"));

  // The same inputs make the same bytes.
  std::string first = shop.read("tiny.so");
  CHECK(shop.cardinal("compile tiny.nn --weights random:1").code == 0);
  CHECK(shop.read("tiny.so") == first);

  Outcome info = shop.cardinal("info tiny.so --json");
  REQUIRE(info.code == 0);
  nlohmann::json json = nlohmann::json::parse(info.out);
  CHECK(json["network"] == "tiny");
  CHECK(json["inputs"][0]["shape"] == nlohmann::json({1, 3, 6, 6}));
  CHECK(json["parameters"] == 8 * 3 * 9 + 4 * 8 + 8 * 5 + 5);
  CHECK(json["steps"].size() > 1);
  Outcome text = shop.cardinal("info tiny.so --steps");
  CHECK(text.code == 0);
  CHECK(has(text.out, "image: f32[1, 3, 6, 6] nchw"));
  CHECK(has(text.out, "conv1 "));
}

TEST_CASE("a shared object for every x86-64 CPU holds variants, of which one can be chosen") {
  const Workshop shop;
  const Outcome compiled = shop.cardinal("compile tiny.nn --weights random:1 --target x86-64");
  CHECK(compiled.code == 0);
  CHECK(has(compiled.err, "for x86-64-v3 and x86-64-v4"));
  CHECK(has(shop.read("tiny.h"), "target = \"x86-64-v3, x86-64-v4\""));
  const Outcome info = shop.cardinal("info tiny.so");
  CHECK(has(info.out, "x86-64-v3: "));
  CHECK(has(info.out, "x86-64-v4: "));
  CHECK(has(info.out, "if they did not share them"));
  const auto variants = nlohmann::json::parse(shop.cardinal("info tiny.so --json").out)["variants"];
  REQUIRE(variants.size() == 2);
  for (const auto& variant : variants) CHECK(variant["code_bytes"] < 1 << 20);

  shop.write_npy("x.npy", {1, 3, 6, 6}, 0.5f);
  for (const char* variant : {"x86-64-v3", "x86-64-v4"}) {
    const std::string chosen = std::string(" --variant ") + variant;
    if (shop.cardinal("info tiny.so" + chosen).code != 0) {
      WARN("this CPU cannot run " << variant);
      continue;
    }
    CHECK(shop.cardinal("run tiny.so --input x.npy --output " + (variant + (".npy" + chosen))).code == 0);
    CHECK(has(shop.cardinal("bench tiny.so --seconds 0" + chosen).out, variant));
    CHECK(shop.read("x86-64-v3.npy") == shop.read(std::string(variant) + ".npy"));
  }
  for (const std::string verb : {"info tiny.so", "bench tiny.so", "run tiny.so --input x.npy"})
    check_refused(shop, verb + " --variant znver4", "has no variant 'znver4'; it has x86-64-v3, x86-64-v4",
                  {"tiny.so", "tiny.h", "x.npy", "x86-64-v3.npy", "x86-64-v4.npy"});
  CHECK(has(shop.cardinal("verify tiny.nn --weights random:1 --target x86-64").out, "tiny for x86-64-v3: "));
}

TEST_CASE("everything that can be emitted is") {
  Workshop shop;
  CHECK(shop.cardinal(
                "compile tiny.nn --weights random:1 --emit so,obj,asm,llvm-ir --emit header,ir,plan -o n.so")
            .code == 0);
  std::vector<std::string> names{"n.so", "n.o", "n.s", "n.ll", "n.h", "n.ir", "n.plan"};
  for (const std::string& name : names) CHECK(shop.read(name) != "");
  CHECK(shop.others(names) == std::vector<std::string>{});
  CHECK(has(shop.read("n.s"), "conv"));
  CHECK(has(shop.read("n.ll"), "define"));
  CHECK(has(shop.read("n.plan"), "conv1"));
  Outcome printed = shop.cardinal("compile tiny.nn --emit ir -o -");
  CHECK(printed.code == 0);
  CHECK(printed.out == shop.read("n.ir"));
}

namespace {

// Every dump of the compilation of `network` compiles to what computes the same.
void check_dumps(const Workshop& shop, const std::string& network, const cardinal::Shape& input) {
  REQUIRE(shop.cardinal("compile " + network + " --weights random:1 -o a.so --dump-dir dumps").code == 0);
  shop.write_npy("x.npy", input, 0.5f);
  REQUIRE(shop.cardinal("run a.so --input x.npy --output a.npy").code == 0);
  size_t dumps = 0;
  for (const auto& entry : std::filesystem::directory_iterator(shop.path("dumps"))) {
    if (entry.path().extension() != ".ir") continue;
    ++dumps;
    INFO(entry.path());
    CHECK(shop.cardinal("compile '" + entry.path().string() + "' --weights random:1 -o b.so").code == 0);
    CHECK(shop.cardinal("run b.so --input x.npy --output b.npy").code == 0);
    CHECK(shop.read("a.npy") == shop.read("b.npy"));
  }
  CHECK(dumps > 3);
  CHECK(shop.exists("dumps/00-source.ir"));
}

}  // namespace

TEST_CASE("a dump compiles to the same network") {
  Workshop shop;
  shop.write("ported.nn", R"(network ported {
  convention keras
  input image: f32[1, 3, 6, 6]
  y = image |> conv1: conv(8, kernel=3, stride=2) |> bn1: batch_norm |> gelu
  return y |> flatten |> fc: linear(5)
}
)");
  check_dumps(shop, "ported.nn", {1, 6, 6, 3});
  std::filesystem::remove_all(shop.path("dumps"));
  check_dumps(shop, "tiny.nn", {1, 3, 6, 6});
  Outcome set = shop.cardinal("check dumps/00-source.ir --set channels=4");
  CHECK(set.code == 1);
  CHECK(has(set.err, "whose parameters are settled"));
}

TEST_CASE("a network under another framework's convention") {
  Workshop shop;
  shop.write("ported.nn", R"(network ported {
  convention keras
  input image: f32[1, 3, 6, 6]
  y = image |> conv1: conv(8, kernel=3, stride=2) |> bn1: batch_norm |> relu
  return map = y, logits = y |> flatten |> fc: linear(5)
}
)");
  Outcome verified = shop.cardinal("verify ported.nn --weights random:1");
  CHECK(verified.code == 0);
  CHECK(has(verified.out, "agree with the reference"));
  REQUIRE(shop.cardinal("compile ported.nn --weights random:1").code == 0);
  Outcome info = shop.cardinal("info ported.so");
  CHECK(has(info.out, "image: f32[1, 3, 6, 6] nhwc"));
  CHECK(has(info.out, "map: f32[1, 8, 3, 3] nhwc"));
}

TEST_CASE("print-after prints what was asked for") {
  Workshop shop;
  Outcome one = shop.cardinal("compile tiny.nn --weights random:1 --print-after source");
  CHECK(one.code == 0);
  CHECK(has(one.out, "# after source\nnetwork tiny"));
  CHECK(one.out.find("# after fold_batch_norm") == std::string::npos);
  Outcome all = shop.cardinal("compile tiny.nn --weights random:1 --print-after all");
  CHECK(has(all.out, "# after fold_batch_norm"));
  CHECK(has(all.out, "# after plan"));
}

TEST_CASE("a compilation that is refused writes nothing") {
  Workshop shop;
  std::filesystem::create_directory(shop.path("directory"));
  std::vector<std::string> known{"directory", "mine.h", "bad.weights", "dir.so"};
  shop.write("bad.weights", "no weights");
  shop.write("mine.h", "int mine;\n");
  std::filesystem::create_directory(shop.path("dir.so"));
  auto refused = [&](const std::string& arguments, const std::string& message) {
    check_refused(shop, "compile tiny.nn --dump-dir dumps " + arguments, message, known);
  };
  refused("", "--emit so needs the weights: --weights FILE, or random:SEED");
  refused("--weights none.safetensors", "cannot read none.safetensors: No such file or directory");
  refused("--weights directory", "cannot read directory: it is a directory");
  refused("--weights bad.weights", "bad.weights is not a usable safetensors file");
  refused("--weights random:x", "random:x is not random:SEED");
  refused("--weights random:1 -o nowhere/x.so", "cannot write nowhere/x.so: there is no directory nowhere");
  refused("--weights random:1 -o directory", "cannot write directory: it is a directory");
  refused("--weights random:1 -o dir.so", "cannot write dir.so: it is a directory");
  refused("--weights random:1 -o tiny.nn", "tiny.nn is both read and written");
  refused("--weights random:1 -o mine.so", "mine.h exists and is not a header that cardinal wrote");
  refused("--weights random:1 -o x.h", "x.h would be both so and header");
  refused("--weights random:1 -o -", "it cannot be the shared object");
  refused("--weights random:1 -o /dev/null --emit so", "/dev/null");
  refused("--weights random:1 --target z80", "z80");
  refused("--weights random:1 --network other", "other");
  refused("--weights random:1 --set depth=3", "depth");
  refused("--weights random:1 --plan none.plan", "cannot read none.plan");
  refused("--weights random:1 --print-after nothing", "there is no pass nothing");
  refused("--emit ir --weights-file", "--weights-file goes with --emit so or obj");
  check_refused(shop, "compile tiny.nn --weights random:1 --dump-dir mine.h", "mine.h is not a directory",
                known);
  check_refused(shop, "compile tiny.nn --weights random:1 --dump-dir mine.h/dumps",
                "cannot make directory mine.h/dumps: mine.h is not a directory", known);
  check_refused(shop, "compile tiny.nn --weights bad.weights -o bad.so --weights-file",
                "bad.weights is both read and written", known);
  CHECK(shop.read("mine.h") == "int mine;\n");
  CHECK(std::filesystem::is_character_file("/dev/null"));
}

TEST_CASE("an imported file is not written over") {
  Workshop shop;
  std::string blocks = "block Half(x) {\n  return x |> max_pool(2)\n}\n";
  shop.write("blocks.nn", blocks);
  shop.write("net.nn",
             "import \"blocks.nn\"\nnetwork net {\n  input x: f32[1, 3, 8, 8]\n  return Half(x)\n}\n");
  check_refused(shop, "compile net.nn --weights random:1 -o blocks.nn", "blocks.nn is both read and written",
                {"blocks.nn", "net.nn"});
  CHECK(shop.read("blocks.nn") == blocks);
}

TEST_CASE("several outputs go to several files, or none") {
  Workshop shop;
  shop.write("two.nn", "network two {\n  input x: f32[1, 3, 8, 8]\n  return a = relu(x), b = tanh(x)\n}\n");
  REQUIRE(shop.cardinal("compile two.nn --weights random:1").code == 0);
  shop.write_npy("x.npy", {1, 3, 8, 8}, 0.5f);
  std::vector<std::string> known{"two.nn", "two.so", "two.h", "x.npy"};
  check_refused(shop, "run two.so --input x.npy --output a=y.npy --output b=y.npy",
                "two outputs would go to y.npy", known);
  check_refused(shop, "run two.so --input x.npy --output a=y.npy --output b=/dev/full", "/dev/full", known);
}

TEST_CASE("a network beyond this machine's memory") {
  Workshop shop;
  shop.write(
      "wide.nn",
      "network wide {\n  input x: f32[1, 1, 80000, 80000]\n  for i in 0..1000 {\n    x = relu(x)\n  }\n"
      "  return x\n}\n");
  check_refused(shop, "verify wide.nn --weights random:1", "GB of memory, this machine has", {"wide.nn"});
}

TEST_CASE("weights beside the shared object") {
  Workshop shop;
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:1 -o inside.so --emit so").code == 0);
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:1 -o beside.so --emit so --weights-file").code ==
          0);
  CHECK(shop.others({"inside.so", "beside.so", "beside.weights"}) == std::vector<std::string>{});
  shop.write_npy("x.npy", {1, 3, 6, 6}, 0.25f);
  CHECK(shop.cardinal("run inside.so --input x.npy --output a.npy").code == 0);
  CHECK(shop.cardinal("run beside.so --input x.npy --output b.npy").code == 0);
  CHECK(shop.read("a.npy") == shop.read("b.npy"));

  // Weights of another seed do not belong to this model.
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:2 -o other.so --emit so --weights-file").code == 0);
  shop.write("beside.weights", shop.read("other.weights"));
  Outcome wrong = shop.cardinal("info beside.so");
  CHECK(wrong.code == 1);
  CHECK(has(wrong.err, "beside.weights"));
}

TEST_CASE("run") {
  Workshop shop;
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:1").code == 0);
  shop.write_npy("x.npy", {1, 3, 6, 6}, 0.5f);
  shop.write_npy("wide.npy", {1, 3, 6, 7}, 0.5f);
  REQUIRE(shop.cardinal("run tiny.so --input x.npy --output y.npy").code == 0);
  cardinal::Result<cardinal::NpyArray> y = cardinal::read_npy(shop.path("y.npy"));
  REQUIRE(y);
  CHECK(y->type.shape == cardinal::Shape{1, 5});
  CHECK(shop.cardinal("run tiny.so --input image=x.npy --output z.npy --threads 2").code == 0);
  CHECK(shop.read("y.npy") == shop.read("z.npy"));

  std::vector<std::string> known{"tiny.so", "tiny.h", "x.npy", "wide.npy", "y.npy", "z.npy"};
  auto refused = [&](const std::string& arguments, const std::string& message) {
    check_refused(shop, "run tiny.so " + arguments, message, known);
  };
  refused("--input wide.npy --output w.npy",
          "wide.npy has f32[1, 3, 6, 7], input image takes f32[1, 3, 6, 6] (n, c, h, w)");
  refused("--output w.npy", "no --input for image: f32[1, 3, 6, 6] nchw");
  refused("--input x.npy", "no --output for ");
  refused("--input x.npy --input image=x.npy --output w.npy", "input image is given twice");
  refused("--input none.npy --output w.npy", "cannot read none.npy");
  refused("--input tiny.h --output w.npy", "it does not begin as a .npy file does");
  refused("--input x.npy --output none/w.npy", "there is no directory none");
  check_refused(shop, "run x.npy --input x.npy --output w.npy", "x.npy", known);
  check_refused(shop, "run none.so --input x.npy --output w.npy", "none.so", known);

  // Nothing that is read is lost.
  refused("--input x.npy --output x.npy", "x.npy is both read and written");
  refused("--input x.npy --output ./tiny.so", "tiny.so is both read and written");
}

TEST_CASE("an open batch takes any number of images") {
  Workshop shop;
  shop.write("open.nn", R"(network open {
  input image: f32[N, 3, 6, 6]
  input mean: f32[1, 3, 1, 1]
  return image - mean |> conv1: conv(8, kernel=3) |> bn1: batch_norm |> relu |> flatten |> fc: linear(5)
}
)");
  CHECK(shop.cardinal("verify open.nn --weights random:1").code == 0);
  REQUIRE(shop.cardinal("compile open.nn --weights random:1").code == 0);
  Outcome info = shop.cardinal("info open.so");
  CHECK(has(info.out, "image: f32[N, 3, 6, 6] nchw"));
  CHECK(has(info.out, "mean: f32[1, 3, 1, 1] nchw"));
  CHECK(has(info.out, "output: f32[N, 5]"));
  CHECK(has(shop.read("open.h"), "std::size_t images"));

  shop.write_npy("mean.npy", {1, 3, 1, 1}, 0.25f);
  shop.write_npy("one.npy", {1, 3, 6, 6}, 0.5f);
  shop.write_npy("three.npy", {3, 3, 6, 6}, 0.5f);
  const std::string run = "run open.so --input mean=mean.npy --input image=";
  REQUIRE(shop.cardinal(run + "one.npy --output y1.npy").code == 0);
  REQUIRE(shop.cardinal(run + "three.npy --output y3.npy").code == 0);
  cardinal::Result<cardinal::NpyArray> one = cardinal::read_npy(shop.path("y1.npy"));
  cardinal::Result<cardinal::NpyArray> three = cardinal::read_npy(shop.path("y3.npy"));
  REQUIRE(one);
  REQUIRE(three);
  CHECK(three->type.shape == cardinal::Shape{3, 5});
  for (size_t image = 0; image < 3; ++image) {
    auto begin = three->bytes.begin() + static_cast<ptrdiff_t>(image * one->bytes.size());
    CHECK(std::equal(one->bytes.begin(), one->bytes.end(), begin));
  }
  shop.write_npy("wide.npy", {3, 3, 6, 7}, 0.5f);
  Outcome wide = shop.cardinal(run + "wide.npy --output w.npy");
  CHECK(wide.code == 1);
  CHECK(has(wide.err,
            "wide.npy has f32[3, 3, 6, 7], input image takes f32[3, 3, 6, 6] (n, c, h, w, N of any number)"));
}

TEST_CASE("bench") {
  Workshop shop;
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:1").code == 0);
  Outcome bench = shop.cardinal("bench tiny.so --json --seconds 0.05 --threads 2");
  REQUIRE(bench.code == 0);
  nlohmann::json json = nlohmann::json::parse(bench.out);
  CHECK(json["threads"] == 2);
  CHECK(json["runs"] >= 5);
  CHECK(json["times_ms"].size() == json["runs"].get<size_t>());
  CHECK(json["median_ms"] >= json["min_ms"]);
  CHECK(json["min_ms"] > 0.0);
  CHECK(json["percent_of_peak"] > 0.0);
  double flops = json["flops"], median_ms = json["median_ms"];
  CHECK(json["gflops"].get<double>() == Approx(flops / median_ms * 1e-6));
  CHECK(json["percent_of_peak"].get<double>() ==
        Approx(100 * json["gflops"].get<double>() / json["peak_gflops"].get<double>()));
  Outcome text = shop.cardinal("bench tiny.so --seconds 0.05");
  CHECK(text.code == 0);
  for (const char* key : {"median_ms", "min_ms", "gflops", "percent_of_peak"}) CHECK(has(text.out, key));
}

TEST_CASE("plan explains itself, and its choices can be given back") {
  Workshop shop;
  Outcome plan = shop.cardinal("plan tiny.nn --target x86-64 --threads 2");
  REQUIRE(plan.code == 0);
  CHECK(plan.err == "");
  CHECK(has(plan.out, "plan tiny for x86-64-v3: "));
  CHECK(has(plan.out, "plan tiny for x86-64-v4: "));
  CHECK(has(plan.out, "        floor "));
  CHECK(has(plan.out, "        2 threads: "));
  CHECK(has(plan.out, "        * direct "));
  // What is emitted beside the code is the same text.
  Outcome emitted = shop.cardinal("compile tiny.nn --target x86-64-v3 --emit plan -o -");
  REQUIRE(emitted.code == 0);
  CHECK(emitted.out == shop.cardinal("plan tiny.nn --target x86-64-v3").out);

  Outcome choices = shop.cardinal("plan tiny.nn --target x86-64-v3 --choices");
  REQUIRE(choices.code == 0);
  CHECK(has(choices.out, "# tiny for x86-64-v3\nconv1 algorithm=direct pixels="));
  shop.write("choices.txt", choices.out + "# end\n");
  CHECK(shop.cardinal("plan tiny.nn --target x86-64-v3 --choices --plan choices.txt").out == choices.out);

  check_refused(shop, "plan none.nn", "none.nn", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --target pdp11", "unknown target 'pdp11'", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --set channels=0", "channels", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --threads 0", "--threads", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --plan lost.txt", "lost.txt", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --profile lost.json", "lost.json", {"choices.txt"});
  check_refused(shop, "plan tiny.nn --tuning lost.tuning", "lost.tuning", {"choices.txt"});
}

TEST_CASE("profile times each step, and a plan shows the times") {
  Workshop shop;
  REQUIRE(shop.cardinal("compile tiny.nn --weights random:1").code == 0);
  Outcome table = shop.cardinal("profile tiny.so --seconds 0.05 -o tiny.json");
  INFO(table.err);
  REQUIRE(table.code == 0);
  for (const char* word : {"median us", "predicted", "floor", "bound by", "conv1", "fc", "all steps"})
    CHECK(has(table.out, word));
  nlohmann::json json = nlohmann::json::parse(shop.read("tiny.json"));
  CHECK(json["network"] == "tiny");
  CHECK(json["threads"] == 1);
  CHECK(json["passes"] >= 5);
  nlohmann::json info = nlohmann::json::parse(shop.cardinal("info tiny.so --json").out);
  REQUIRE(json["steps"].size() == info["steps"].size());
  double sum = 0;
  for (size_t i = 0; i < json["steps"].size(); ++i) {
    const nlohmann::json& step = json["steps"][i];
    CHECK(step["name"] == info["steps"][i]["name"]);
    CHECK(step["kernel"] == info["steps"][i]["kernel"]);
    CHECK(step["median_us"] >= step["min_us"]);
    CHECK(step["min_us"] > 0.0);
    CHECK(step["predicted_us"] > 0.0);
    CHECK(step["floor_us"] > 0.0);
    sum += step["median_us"].get<double>();
  }
  CHECK(json["median_us"].get<double>() == Approx(sum));

  Outcome plan = shop.cardinal("plan tiny.nn --profile tiny.json");
  INFO(plan.err);
  REQUIRE(plan.code == 0);
  CHECK(has(plan.out, "% of the floor's rate"));
  const std::string steps = std::to_string(json["steps"].size());
  CHECK(has(plan.out, " us in " + steps + " of " + steps + " steps"));
  // Steps that a plan has no longer are not mistaken for others.
  shop.write("one.txt", "conv1 pixels=1\n");
  Outcome other = shop.cardinal("plan tiny.nn --profile tiny.json --plan one.txt");
  REQUIRE(other.code == 0);
  CHECK(has(other.out, " us in " + std::to_string(json["steps"].size() - 1) + " of " + steps + " steps"));

  for (const char* sort : {"order", "time", "lost"})
    CHECK(shop.cardinal(std::string("profile tiny.so --seconds 0.01 --sort ") + sort).code == 0);
  Outcome bare = shop.cardinal("profile tiny.so --seconds 0.01 --threads 2 -o -");
  REQUIRE(bare.code == 0);
  CHECK(nlohmann::json::parse(bare.out)["threads"] == 2);
}

TEST_CASE("profiles that say nothing about a plan are refused") {
  Workshop shop;
  const std::string rates =
      "\"threads\": 1, \"passes\": 5, \"peak_gflops\": 100, \"memory_gb_s\": 10, "
      "\"cache_gb_s\": 50, \"steps\": []}";
  const auto refused = [&](const std::string& text, const std::string& message) {
    shop.write("p.json", text);
    check_refused(shop, "plan tiny.nn --target x86-64-v3 --profile p.json", message, {"p.json"});
  };
  const std::string head = "{\"cardinal_profile\": 1, ";
  refused("", "p.json is not a profile: ");
  refused("[1, 2]",
          "p.json is not a profile: it has no 'cardinal_profile'; write one with `cardinal profile");
  refused("{\"cardinal_profile\": 9}", "it is of version 9, this is version 1");
  refused(head + "\"network\": 7}", "p.json is not a profile: ");
  refused(head + "\"network\": \"tiny\", \"target\": \"x86-64-v3\"}", "key 'threads' not found");
  refused(head + "\"network\": \"other\", \"target\": \"x86-64-v3\", " + rates,
          "p.json is a profile of network other, not tiny");
  refused(head + "\"network\": \"tiny\", \"target\": \"haswell\", " + rates,
          "p.json was measured on code for haswell, the plan is for x86-64-v3");
  std::string zero = rates, two = rates;
  zero.replace(zero.find("100"), 3, "0");
  two.replace(two.find("1,"), 2, "2,");
  refused(head + "\"network\": \"tiny\", \"target\": \"x86-64-v3\", " + zero, "peak_gflops is 0");
  refused(head + "\"network\": \"tiny\", \"target\": \"x86-64-v3\", " + two,
          "p.json was measured on 2 threads; a plan's times are those of one");
  check_refused(shop, "profile lost.so", "lost.so", {"p.json"});
  check_refused(shop, "profile tiny.nn", "tiny.nn", {"p.json"});
  check_refused(shop, "profile tiny.so --sort size", "--sort", {"p.json"});
}

TEST_CASE("tune measures, goes on where it stopped, and compile takes what was fastest") {
  Workshop shop;
  Outcome first = shop.cardinal("tune tiny.nn --candidates 2 --seconds 0.001");
  INFO(first.err);
  REQUIRE(first.code == 0);
  CHECK(has(first.out, "tiny.tuning: measured "));
  const std::string some = shop.read("tiny.tuning");
  CHECK(some.starts_with("# cardinal tuning 1\nconv "));
  Outcome second = shop.cardinal("tune tiny.nn --candidates 2");
  REQUIRE(second.code == 0);
  CHECK(has(second.out, ", 0 left\n"));
  CHECK(has(second.out, "convolutions: "));
  const std::string all = shop.read("tiny.tuning");
  CHECK(all.size() > some.size());
  // What was measured stays as it is.
  for (size_t at = 0; at < some.size();) {
    const size_t end = some.find('\n', at) + 1;
    CHECK(has(all, some.substr(at, end - at)));
    at = end;
  }
  CHECK(
      has(shop.cardinal("tune tiny.nn --candidates 2").out, "measured 0 kernels of 2 convolutions of tiny"));
  CHECK(shop.read("tiny.tuning") == all);

  Outcome plan = shop.cardinal("plan tiny.nn --tuning tiny.tuning");
  INFO(plan.err);
  REQUIRE(plan.code == 0);
  CHECK(has(plan.out, " us, measured "));
  CHECK(shop.cardinal("compile tiny.nn --weights random:1 --tuning tiny.tuning").code == 0);
  // Tuned or not, the same bits.
  CHECK(shop.cardinal("compile tiny.nn --weights random:1 -o plain.so --emit so").code == 0);
  shop.write_npy("x.npy", {1, 3, 6, 6}, 0.7f);
  CHECK(shop.cardinal("run tiny.so --input x.npy --output tuned.npy").code == 0);
  CHECK(shop.cardinal("run plain.so --input x.npy --output plain.npy").code == 0);
  CHECK(shop.read("tuned.npy") == shop.read("plain.npy"));
  CHECK(shop.cardinal("verify tiny.nn --weights random:1 --tuning tiny.tuning").code == 0);
  // Nothing was measured on this CPU.
  Outcome other = shop.cardinal("plan tiny.nn --tuning tiny.tuning --target haswell");
  REQUIRE(other.code == 0);
  CHECK(other.out == shop.cardinal("plan tiny.nn --target haswell").out);
  CHECK(shop.others({"tiny.tuning", "tiny.so", "tiny.h", "plain.so", "x.npy", "tuned.npy", "plain.npy"}) ==
        std::vector<std::string>{});
}

TEST_CASE("an interrupted tuning keeps what it measured") {
  Workshop shop;
  shop.write(
      "wide.nn",
      "network wide {\n  input x: f32[1, 16, 14, 14]\n  return y = x |> conv1: conv(16, kernel=3)\n}\n");
  // Once there is something to keep, but not all. The shell has background jobs ignore SIGINT, the tool does
  // not.
  Outcome stopped =
      shop.shell("'" CARDINAL_TOOL
                 "' tune wide.nn --candidates 64 --same-bits off &\n"
                 "until grep -q '^conv' wide.tuning 2>/dev/null; do kill -0 $! || exit 9; sleep 0.02; done\n"
                 "kill -INT $!; wait $!");
  INFO(stopped.err);
  CHECK(stopped.code == 130);
  CHECK(has(stopped.out, "wide.tuning: measured "));
  CHECK_FALSE(has(stopped.out, ", 0 left"));
  CHECK(has(shop.cardinal("plan wide.nn --tuning wide.tuning").out, ", measured "));
  CHECK(shop.others({"wide.nn", "wide.tuning"}) == std::vector<std::string>{});
}

TEST_CASE("tune and tuning files: mistakes") {
  Workshop shop;
  check_refused(shop, "tune none.nn", "none.nn");
  check_refused(shop, "tune tiny.nn --target x86-64",
                "--target x86-64 is several targets; tune one, such as x86-64-v3");
  check_refused(shop, "tune tiny.nn -o -", "tune adds to a file: give its name to -o");
  check_refused(shop, "tune tiny.nn -o lost/a.tuning", "there is no directory lost");
  check_refused(shop, "tune tiny.nn -o tiny.nn", "tiny.nn is both read and written");
  check_refused(shop, "tune tiny.nn --weights lost.npz", "lost.npz");
  check_refused(shop, "tune tiny.nn --candidates 0", "--candidates");
  shop.write("a.txt", "something else\n");
  check_refused(shop, "tune tiny.nn -o a.txt", "a.txt:1:1: error: not a tuning file of this version",
                {"a.txt"});
  CHECK(shop.read("a.txt") == "something else\n");
  check_refused(shop, "compile tiny.nn --weights random:1 --tuning a.txt",
                "a.txt:1:1: error: not a tuning file", {"a.txt"});
  shop.write("b.tuning",
             "# cardinal tuning 1\nconv ic=3 | haswell | direct 6x2 unroll 4 | 1 us | predicted 2 us\n");
  check_refused(shop, "plan tiny.nn --tuning b.tuning",
                "b.tuning:2:1: error: expected weights=l2, l3 or memory", {"a.txt", "b.tuning"});
  check_refused(shop, "compile tiny.nn --weights random:1 --tuning b.tuning -o b.tuning",
                "b.tuning is both read and written", {"a.txt", "b.tuning"});
}

TEST_CASE("verify") {
  Workshop shop;
  Outcome agrees = shop.cardinal("verify tiny.nn --weights random:1");
  CHECK(agrees.code == 0);
  CHECK(has(agrees.out, "agree with the reference within 1e-04"));
  CHECK(has(agrees.out, "conv1"));
  // A tolerance that rounding to float cannot meet: the first layer is named, at its place in the source.
  Outcome diverges = shop.cardinal("verify tiny.nn --weights random:1 --tolerance 1e-12");
  CHECK(diverges.code == 1);
  CHECK(has(diverges.err, "tiny.nn:4:"));
  CHECK(has(diverges.err, "conv1 ("));
  CHECK(has(diverges.err, "diverges: element ["));
  check_refused(shop, "verify tiny.nn", "--weights");
  check_refused(shop, "verify tiny.nn --weights random:1 --tolerance nan",
                "expected a number from 0 to 1, got nan");
  CHECK(shop.others({}) == std::vector<std::string>{});
}

TEST_CASE("an ONNX model becomes a network and its weights, or nothing") {
  Workshop shop;
  std::string models = SOURCE_ROOT "/tests/import/models/";
  Outcome imported = shop.cardinal("import " + models + "residual.onnx -o net.nn");
  INFO(imported.err);
  REQUIRE(imported.code == 0);
  CHECK(has(imported.err, "net.nn: network net; net.safetensors: 72 weights, 4553 parameters"));
  CHECK(shop.cardinal("fmt --check net.nn").code == 0);
  Outcome compiled = shop.cardinal("compile net.nn --weights net.safetensors -o net.so");
  INFO(compiled.err);
  CHECK(compiled.code == 0);

  Workshop empty;
  check_refused(empty, "import lost.onnx -o net.nn", "cannot read lost.onnx");
  check_refused(empty, "import tiny.nn -o net.nn", "tiny.nn is not an ONNX model");
  check_refused(empty, "import " + models + "residual.onnx -o net.txt", "a network's source is a file .nn");
  check_refused(empty, "import " + models + "residual.onnx -o lost/net.nn", "there is no directory lost");
  check_refused(empty, "import " + models + "residual.onnx --shape image=1,x -o net.nn",
                "is not INPUT=N,C,H,W");
  // The weights cannot be written: the source is not left alone.
  std::filesystem::create_directory(empty.path("net.safetensors"));
  check_refused(empty, "import " + models + "residual.onnx -o net.nn", "it is a directory",
                {"net.safetensors"});
}
