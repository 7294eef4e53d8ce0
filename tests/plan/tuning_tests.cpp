#include "passes/tuning.h"

#include <catch2/catch.hpp>

#include "passes/explain.h"
#include "tests/plan/networks.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr const char* kHeader = "# cardinal tuning 1\n";

Result<Tuning> read(const std::string& text) {
  SourceMap sources;
  return read_tuning(sources, "net.tuning", text);
}

// The errors of a file of these lines, without the header.
std::vector<std::string> errors_of(const std::string& lines) {
  SourceMap sources;
  const Result<Tuning> tuning = read_tuning(sources, "net.tuning", kHeader + lines);
  REQUIRE_FALSE(tuning);
  std::vector<std::string> errors;
  for (const Diagnostic& d : tuning.error().list())
    errors.push_back(sources.describe(d.where) + ": " + d.message);
  return errors;
}
std::string error_of(const std::string& line) {
  const std::vector<std::string> errors = errors_of(line);
  CHECK(errors.size() == 1);
  return errors[0];
}

// What tune would write of a kernel.
void measure(Tuning& tuning, const std::string& key, const std::string& kernel, double us,
             const std::string& cpu = "znver4") {
  ConvChoice choice = parse_choice(kernel).value();
  choice.measured_us = us;
  choice.microseconds = 2 * us;
  tuning.set(key, cpu, {choice, {}});
}

// Two layers that are the same convolution.
Graph two_convs() {
  NetworkBuilder net("two");
  const NodeId x = net.conv(net.input({1, 64, 56, 56}), Conv{64, {3, 3}}, "conv");
  net.output(net.conv(x, Conv{64, {3, 3}}, "again"));
  return net.graph;
}

Result<Plan> plan_with(const Tuning& tuning, bool same_bits = true, bool winograd = true) {
  PlanOptions options;
  options.tuning = tuning;
  options.same_bits = same_bits;
  options.winograd = winograd;
  return make_plan(two_convs(), avx512_target(), options);
}

const Step& products(const Plan& plan) {
  for (const Step& step : plan.steps)
    if (!step.candidates.empty()) return step;
  FAIL("no step has candidates");
  std::abort();
}

}  // namespace

TEST_CASE("a tuning file reads back as it was written, sorted") {
  const std::string text =
      std::string(kHeader) +
      "conv ic=1024 oc=1000 weights=memory | skylake-avx512 | direct 1x4 unroll 8 | "
      "120.500 us | predicted 99.000 us\n"
      "conv ic=32 ih=9 iw=9 oc=32 oh=5 ow=5 kh=3 kw=3 stride_h=2 stride_w=2 pad_top=1 "
      "pad_left=1 groups=8 epilogue=bias+relu weights=l2 | x86-64-v3 | lanes 5 | "
      "0.512 us | predicted 0.487 us\n"
      "conv ic=64 ih=56 iw=56 oc=64 oh=56 ow=56 kh=3 kw=3 pad_top=-1 weights=l3 | znver3 | "
      "winograd_f4 6x1 unroll 8 | 1412.300 us | predicted 1433.000 us\n";
  const Result<Tuning> tuning = read(text);
  REQUIRE(tuning);
  CHECK(tuning->size() == 3);
  CHECK(tuning->print() == text);
  // In another order, with comments, blank lines and carriage returns.
  const size_t second = text.find("conv ic=32"), third = text.find("conv ic=64");
  std::string shuffled = std::string(kHeader) + "\n# of two machines\r\n" + text.substr(third) +
                         text.substr(second, third - second) +
                         text.substr(std::string(kHeader).size(), second - std::string(kHeader).size());
  const Result<Tuning> again = read(shuffled);
  REQUIRE(again);
  CHECK(again->print() == text);
}

TEST_CASE("an empty database is its header") {
  CHECK(Tuning().print() == kHeader);
  REQUIRE(read(kHeader));
  REQUIRE(read("# cardinal tuning 1"));
}

TEST_CASE("later measurements replace earlier ones") {
  Tuning first, second;
  measure(first, "conv weights=l2", "lanes 14", 2);
  measure(first, "conv weights=l2", "lanes 7", 4);
  measure(second, "conv weights=l2", "lanes 14", 3);
  first.add(second);
  CHECK(first.size() == 2);
  REQUIRE(first.find("conv weights=l2", "znver4"));
  CHECK(first.find("conv weights=l2", "znver4")->at("lanes 14").choice.measured_us == 3);
  CHECK(first.find("conv weights=l2", "znver4")->at("lanes 7").choice.measured_us == 4);
  CHECK_FALSE(first.find("conv weights=l2", "znver3"));
  CHECK_FALSE(first.find("conv weights=l3", "znver4"));
}

TEST_CASE("kernels read back as they are described") {
  for (const char* text : {"direct 14x2 unroll 4", "winograd_f2 6x1 unroll 8", "winograd_f4 1x1 unroll 1",
                           "lanes 14", "lanes 2x7", "direct 64x64 unroll 64"}) {
    INFO(text);
    const auto choice = parse_choice(text);
    REQUIRE(choice);
    CHECK(describe(*choice) == text);
  }
  for (const char* text : {"",
                           " ",
                           "direct",
                           "direct ",
                           "direct 14",
                           "direct 14x2",
                           "direct 14x2 unroll",
                           "direct 14x2 unroll 0",
                           "direct 14x2 unroll 65",
                           "direct 14x2 unroll 4 ",
                           "direct 014x2 unroll 4",
                           "direct +14x2 unroll 4",
                           "direct -1x2 unroll 4",
                           "lanes 7x1 unroll 1",
                           "lanes 0",
                           "lanes 1x7",
                           "lanes 2x",
                           "Lanes 7",
                           "strange 7",
                           "direct 99999999999999999999x1 unroll 1"}) {
    INFO(text);
    CHECK_FALSE(parse_choice(text));
  }
}

TEST_CASE("errors in a tuning file point at the part") {
  const std::string rest = " | znver4 | lanes 7 | 1.5 us | predicted 2 us";
  CHECK(error_of("conv weights=l2 | znver4 | lanes 7 | 1.5 us") ==
        "net.tuning:2:1: expected CONVOLUTION | CPU | KERNEL | TIME us | predicted TIME us, got 4 of these 5 "
        "parts");
  CHECK(error_of("|") ==
        "net.tuning:2:1: expected CONVOLUTION | CPU | KERNEL | TIME us | predicted TIME us, got 1 of these 5 "
        "parts");
  CHECK(error_of("pool weights=l2" + rest) == "net.tuning:2:1: expected 'conv', got 'pool'");
  CHECK(error_of("conv" + rest) == "net.tuning:2:1: expected weights=l2, l3 or memory");
  CHECK(error_of("conv ic weights=l2" + rest) == "net.tuning:2:6: expected KEY=VALUE, got 'ic'");
  CHECK(error_of("conv ci=4 weights=l2" + rest) == "net.tuning:2:6: a convolution has no 'ci'");
  CHECK(error_of("conv ic=4.5 weights=l2" + rest) == "net.tuning:2:6: ic must be a whole number, not '4.5'");
  CHECK(error_of("conv ic=99999999999999999999 weights=l2" + rest) ==
        "net.tuning:2:6: ic must be a whole number, not '99999999999999999999'");
  CHECK(error_of("conv epilogue= weights=l2" + rest) == "net.tuning:2:6: '' is no epilogue");
  CHECK(error_of("conv weights=l1" + rest) == "net.tuning:2:6: weights are in l2, l3 or memory, not 'l1'");
  CHECK(error_of("conv oc=8 ic=4 weights=l2" + rest) ==
        "net.tuning:2:1: this convolution is written 'conv ic=4 oc=8 weights=l2'");
  CHECK(error_of("conv n=1 weights=l2" + rest) ==
        "net.tuning:2:1: this convolution is written 'conv weights=l2'");
  CHECK(error_of("conv weights=l2 | zn ver | lanes 7 | 1.5 us | predicted 2 us") ==
        "net.tuning:2:19: 'zn ver' is no CPU's name");
  CHECK(error_of("conv weights=l2 | znver4 | lanes x | 1.5 us | predicted 2 us") ==
        "net.tuning:2:28: 'lanes x' is no kernel such as 'direct 6x2 unroll 4' or 'lanes 14'");
  for (const char* time :
       {"", "1.5", "1.5 ms", "0 us", "-1 us", "nan us", "inf us", "1e999 us", "x us", " 1 us"}) {
    INFO(time);
    CHECK(error_of("conv weights=l2 | znver4 | lanes 7 | " + std::string(time) + " | predicted 2 us") ==
          "net.tuning:2:38: expected 'TIME us', a time above 0, got '" + std::string(time) + "'");
  }
  CHECK(error_of("conv weights=l2 | znver4 | lanes 7 | 1.5 us | 2 us") ==
        "net.tuning:2:47: expected 'predicted TIME us', a time above 0, got '2 us'");
  CHECK(error_of("conv weights=l2" + rest + "\nconv weights=l2 | znver4 | lanes 7 | 3 us | predicted 2 us") ==
        "net.tuning:3:1: this kernel is there twice, on lines 2 and 3; delete one");
  // Every line is reported, and every part of a line.
  CHECK(errors_of("conv\nconv weights=l2 | ! | x | 1 | 2\n").size() == 5);
}

TEST_CASE("a file of another kind is not a tuning file") {
  for (const std::string text :
       {"", "\n", "network x {", "# cardinal tuning 2\n", "# cardinal tuning 10\n", "\xff\xfe"}) {
    SourceMap sources;
    const auto tuning = read_tuning(sources, "net.tuning", text);
    REQUIRE_FALSE(tuning);
    CHECK(sources.describe(tuning.error().list()[0].where) == "net.tuning:1:1");
    CHECK(tuning.error().list()[0].message ==
          "not a tuning file of this version: its first line is '# cardinal tuning 1'; write one with "
          "`cardinal tune`");
  }
}

TEST_CASE("a plan takes the kernel that was measured to be the fastest") {
  const Plan untuned = *plan_with({});
  const Step& before = products(untuned);
  REQUIRE(before.candidates[0].algorithm == ConvAlgorithm::winograd_f4);
  Tuning tuning;
  measure(tuning, before.tuning_key, before.candidates[0].text, 500);
  measure(tuning, before.tuning_key, "winograd_f4 7x2 unroll 2", 400);
  measure(tuning, before.tuning_key, "direct 12x2 unroll 4", 300);
  measure(tuning, before.tuning_key, "winograd_f4 4x1 unroll 4", 1, "znver3");

  const Plan tuned = *plan_with(tuning);
  const Step& after = products(tuned);
  CHECK(after.candidates[0].text == "winograd_f4 7x2 unroll 2");
  CHECK(after.candidates[0].measured_us == 400);
  CHECK(std::get<ConvKernel>(after.kernel).k_unroll == 2);
  CHECK(std::get<ConvKernel>(after.kernel).pixels == 7);
  const std::string text = explain(tuned, two_convs());
  CHECK(text.find("* winograd_f4 7x2 unroll 2") != std::string::npos);
  CHECK(text.find(", measured 500.0 us") != std::string::npos);
  CHECK(text.find(", measured 300.0 us") != std::string::npos);

  // Another algorithm would change bits.
  CHECK(products(*plan_with(tuning, false)).candidates[0].text == "direct 12x2 unroll 4");
  // Without Winograd's algorithm the weights are small enough for the L2, which is another key.
  const std::string direct_key = products(*plan_with({}, true, false)).tuning_key;
  measure(tuning, direct_key, "direct 12x2 unroll 4", 300);
  measure(tuning, direct_key, "winograd_f4 7x2 unroll 2", 200);
  CHECK(products(*plan_with(tuning, true, false)).candidates[0].text == "direct 12x2 unroll 4");
}

TEST_CASE("an override goes before what was measured") {
  const Plan untuned = *plan_with({});
  PlanOptions options;
  measure(options.tuning, products(untuned).tuning_key, "winograd_f4 7x2 unroll 2", 1);
  measure(options.tuning, products(untuned).tuning_key, "direct 7x2 unroll 2", 2);
  options.overrides["conv"].algorithm = ConvAlgorithm::direct;
  CHECK(products(*make_plan(two_convs(), avx512_target(), options)).candidates[0].text ==
        "direct 7x2 unroll 2");
  options.overrides["conv"].pixels = 14;
  CHECK(std::get<ConvKernel>(products(*make_plan(two_convs(), avx512_target(), options)).kernel).pixels ==
        14);
}

TEST_CASE("a measured kernel that cannot be is an error at its line") {
  const Plan untuned = *plan_with({});
  SourceMap sources;
  const std::string key = products(untuned).tuning_key;
  const auto tuning =
      read_tuning(sources, "net.tuning",
                  kHeader + key + " | znver4 | direct 20x2 unroll 4 | 1 us | predicted 2 us\n" + key +
                      " | znver3 | direct 20x2 unroll 4 | 1 us | predicted 2 us\n");
  REQUIRE(tuning);
  const Result<Plan> plan = plan_with(*tuning);
  REQUIRE_FALSE(plan);
  REQUIRE(plan.error().list().size() == 1);
  CHECK(sources.describe(plan.error().list()[0].where) == "net.tuning:2:1");
  CHECK(plan.error().list()[0].message ==
        "conv cannot be computed by this kernel on znver4; delete the line");
}

TEST_CASE("keys tell apart what makes a difference to a kernel's time") {
  const Target target = avx512_target();
  ConvProblem problem;
  problem.shape.ic = problem.shape.oc = 64;
  problem.network_weights = 1;
  const Epilogue relu = {{EpilogueStep::Kind::add, {}},
                         {EpilogueStep::Kind::activation, {Activation::Kind::relu}}};
  CHECK(tuning_key(problem, false, {}, target) == "conv ic=64 oc=64 weights=l2");
  CHECK(tuning_key(problem, true, relu, target) == "conv ic=64 oc=64 epilogue=bias+add+relu weights=l2");
  problem.network_weights = target.l2_bytes + 1;
  CHECK(tuning_key(problem, false, {}, target) == "conv ic=64 oc=64 weights=l3");
  problem.network_weights = target.l3_bytes + 1;
  CHECK(tuning_key(problem, false, {}, target) == "conv ic=64 oc=64 weights=memory");
  problem.shape.pad_top = -2;
  CHECK(tuning_key(problem, false, {}, target) == "conv ic=64 oc=64 pad_top=-2 weights=memory");
}
