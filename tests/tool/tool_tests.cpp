// The built tool as its users meet it: messages, exit codes, and what is on disk afterwards.
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/tool/workshop.h"

using namespace cardinal::testing;

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
  check_refused(shop, "compile tiny.nn --weights random:0 --target sm_80 --matrix-unit wgmma",
                "--matrix-unit wgmma needs --target sm_90a; sm_80 has no wgmma");
  check_refused(shop,
                "compile tiny.nn --weights random:0 --target sm_90a --matrix-unit wgmma --precision tf32",
                "--matrix-unit wgmma needs --precision fp16 or bf16; it computes nothing in tf32");
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
  refused("--weights random:1 --compact-weights", "--compact-weights goes with --weights-file");
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

  shop.write("fast.nn",
             "network fast {\n  input x: f32[1, 64, 16, 16]\n"
             "  return x |> a: conv(64, kernel=3) |> b: conv(64, kernel=1)\n}\n");
  const std::string fast = "compile fast.nn --weights random:1 --emit so --weights-file -o ";
  REQUIRE(shop.cardinal(fast + "large.so").code == 0);
  REQUIRE(shop.cardinal(fast + "small.so --compact-weights").code == 0);
  CHECK(shop.read("small.weights").size() < shop.read("large.weights").size() / 2);
  shop.write_npy("wide.npy", {1, 64, 16, 16}, 0.25f);
  CHECK(shop.cardinal("run large.so --input wide.npy --output large.npy").code == 0);
  CHECK(shop.cardinal("run small.so --input wide.npy --output small.npy").code == 0);
  CHECK(shop.read("large.npy") == shop.read("small.npy"));

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
