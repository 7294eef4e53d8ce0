// Values, scopes and control flow, seen through the channels of a convolution.
#include <catch2/catch.hpp>

#include "tests/language/support.h"

using namespace cardinal;
using test::channels_of;
using test::contains;
using test::errors_of;

TEST_CASE("arithmetic") {
  CHECK(channels_of("2 + 3 * 4") == "14");
  CHECK(channels_of("(2 + 3) * 4") == "20");
  CHECK(channels_of("96 / 32") == "3");
  CHECK(channels_of("7 // 2") == "3");
  CHECK(channels_of("10 + -7 // 2") == "6");
  CHECK(channels_of("-7 % 3") == "2");
  CHECK(channels_of("10 + 7 % -3") == "8");
  CHECK(channels_of("2 ** 3 ** 2") == "512");
  CHECK(channels_of("10 + -2 ** 2") == "6");
  CHECK(channels_of("int(2 ** -1 * 8)") == "4");
  CHECK(channels_of("round(2.5)") == "2");
  CHECK(channels_of("round(3.5)") == "4");
  CHECK(channels_of("9 + round(-2.5)") == "7");
  CHECK(channels_of("floor(3.9) + ceil(3.1)") == "7");
  CHECK(channels_of("9 + floor(-0.5)") == "8");
  CHECK(channels_of("int(9.99)") == "9");
  CHECK(channels_of("round(log2(1024) + exp(0) + sqrt(16) + log(1))") == "15");
  CHECK(channels_of("min(3, 2, 5) + max([3, 7])") == "9");
  CHECK(channels_of("abs(-3) + sum([1, 2, 3]) + len([1, 1]) + len(range(10, 0, -3))") == "15");
}

TEST_CASE("lists and strings") {
  CHECK(channels_of("([1, 2] + [3] * 2)[3]") == "3");
  CHECK(channels_of("[1, 2, 3][-1] + [1, 2, 3][0]") == "4");
  CHECK(channels_of("len(0..5) + len(5..0)") == "5");
  CHECK(channels_of("if [1, [2.0]] == [1.0, [2]] { 3 } else { 4 }") == "3");
  CHECK(channels_of("if \"a{1 + 1}\" == \"a2\" { 3 } else { 4 }") == "3");
  CHECK(channels_of("if \"\\{\" + \"}\" == \"\" { 3 } else { 4 }").find("has no '{'") != std::string::npos);
}

TEST_CASE("logic looks at the right side only if it must") {
  CHECK(channels_of("if false and 1 / 0 == 1 { 3 } else { 4 }") == "4");
  CHECK(channels_of("if true or 1 / 0 == 1 { 3 } else { 4 }") == "3");
  CHECK(channels_of("if not 1 == 2 { 3 } else { 4 }") == "3");
}

TEST_CASE("arithmetic that cannot be done is an error") {
  auto error = [](const std::string& expression) { return channels_of(expression); };
  CHECK(error("1 // 0").find("division by zero") != std::string::npos);
  CHECK(error("1.5 % 0").find("division by zero") != std::string::npos);
  CHECK(error("9223372036854775807 + 1").find("does not fit an int") != std::string::npos);
  CHECK(error("2 ** 63").find("does not fit an int") != std::string::npos);
  CHECK(error("(-9223372036854775807 - 1) // -1").find("does not fit an int") != std::string::npos);
  CHECK(error("9223372036854775808").find("does not fit an int") != std::string::npos);
  CHECK(error("round(1e300)").find("does not fit an int") != std::string::npos);
  CHECK(error("1e999").find("does not fit a float") != std::string::npos);
  CHECK(error("int(1e308 * 10)").find("no finite result") != std::string::npos);
  CHECK(error("int(log(0))").find("no finite result") != std::string::npos);
  CHECK(error("[1, 2][2]").find("index 2 is out of range: the list has 2 elements") != std::string::npos);
  CHECK(error("[1, 2][-3]").find("index -3 is out of range") != std::string::npos);
  CHECK(error("1 < 2 < 3").find("comparisons cannot be chained") != std::string::npos);
  CHECK(error("1 + \"a\"").find("'+' does not work on int and string") != std::string::npos);
  CHECK(error("7 / 2").find("(7 / 2 does not come out even)") != std::string::npos);
}

TEST_CASE("functions") {
  std::string text = R"(
fn halves(n: int) {
  if n <= 1 {
    return []
  }
  return [n] + halves(n // 2)
}
fn pair(a: int) {
  return a, a + 1
}
network n {
  input x: f32[1, 4, 4, 4]
  let widths = halves(16)
  let p = pair(len(widths))
  return x |> c: conv(p[1] * 10 + widths[3], kernel=1)
}
)";
  CHECK(test::graph_of(text).find("channels=52,") != std::string::npos);
  // A constant that no network uses is checked too.
  CHECK(contains(errors_of("fn f(n: int) {\n  return f(n)\n}\nlet a = f(1)\n"),
                 "calls are nested more than 64 deep"));
  CHECK(contains(
      errors_of("fn f(n: int) {\n  return f(n)\n}\nnetwork n {\n  input x: f32[1, 1, 1, 1]\n  let a = f(1)\n"
                "  return x\n}\n"),
      "calls are nested more than 64 deep"));
}

TEST_CASE("RegNet's widths can be computed in the language") {
  // RegNetX-400MF (Radosavovic et al. 2020): w_0 = 24, w_a = 24.48, w_m = 2.54, 22 blocks, groups of 16. Its
  // stages have 1, 2, 7 and 12 blocks of 32, 64, 160 and 400 channels.
  std::string text = R"(
fn fitting(width: int, group: int) {
  return max(group, int(width + group / 2) // group * group)
}
fn widths(w_0: int, w_a: float, w_m: float, depth: int, group: int) {
  let result = []
  for i in 0..depth {
    let exponent = round(log((w_0 + w_a * i) / w_0) / log(w_m))
    result = result + [fitting(round(w_0 * w_m ** exponent / 8) * 8, group)]
  }
  return result
}
network n {
  input x: f32[1, 4, 4, 4]
  let w = widths(24, 24.48, 2.54, 22, 16)
  let right = w == [32] + [64] * 2 + [160] * 7 + [400] * 12
  return x |> c: conv(if right { 7 } else { w[2] }, kernel=1)
}
)";
  CHECK(test::graph_of(text).find("channels=7,") != std::string::npos);
}

TEST_CASE("strings in layer names may hold dashes and keywords") {
  std::string graph = test::graph_of(
      "network n {\n  input x: f32[1, 4, 8, 8]\n  for i in 0..2 {\n"
      "    x = x |> \"block{i + 1}-0\".\"in\": conv(4, kernel=3)\n  }\n  return x\n}\n");
  CHECK(graph.find("@\"block2-0.in.weight\" = weight") != std::string::npos);
}

TEST_CASE("settings replace a network's defaults") {
  std::string text =
      "network n(width: int = 4, scale: float = 1.0, on: bool = false, where: string = nchw, ks: [int] = "
      "[1]) {\n"
      "  input x: f32[1, 4, 8, 8] layout=where\n"
      "  return x |> c: conv(if on { round(width * scale) } else { 1 }, kernel=ks[0])\n}\n";
  std::string graph = test::graph_of(
      text, {"", {{"width", "6"}, {"scale", "2"}, {"on", "true"}, {"where", "nhwc"}, {"ks", "[3]"}}});
  CHECK(graph.find("channels=12, kernel=3") != std::string::npos);
  CHECK(graph.find("nhwc") != std::string::npos);
  auto refused = [&](const char* key, const char* value) {
    return test::graph_of(text, {"", {{key, value}}});
  };
  CHECK(refused("width", "2.5").find("--set width=2.5: expected int") != std::string::npos);
  CHECK(refused("width", "").find("expected int") != std::string::npos);
  CHECK(refused("on", "1").find("expected bool") != std::string::npos);
  CHECK(refused("ks", "[3").find("expected [int]") != std::string::npos);
  CHECK(refused("widht", "3").find("did you mean 'width'?") != std::string::npos);
}
