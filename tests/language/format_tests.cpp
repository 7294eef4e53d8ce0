#include <catch2/catch.hpp>
#include <filesystem>
#include <random>

#include "tests/language/support.h"

using namespace cardinal;

namespace {

std::string formatted(const std::string& text) {
  test::SourceDirectory directory;
  SourceMap sources;
  Result<std::string> result = format_source(sources, directory.write("f.nn", text));
  return result ? *result : result.error().render(sources);
}

}  // namespace

TEST_CASE("the standard format") {
  std::string text = R"(let   a=1 # one
# the block


block B( x,n:int=2 ){ # opens
  # first
  let k=[1,2,
    3]   # list


  y=x|>c:conv( n,kernel=3 )|>relu
  # last
}
network n{input x:f32[1,3,8,8] layout=nhwc
  y=x|>reuse  b[0].2:B
  return out=x|>b[0].1:B(n=4),other=-x[0]**2 layout=nchw}
)";
  std::string wanted = R"(let a = 1  # one

# the block

block B(x, n: int = 2) {  # opens
  # first
  let k = [1, 2, 3]  # list

  y = x |> c: conv(n, kernel=3) |> relu
  # last
}

network n {
  input x: f32[1, 3, 8, 8] layout=nhwc
  y = x |> reuse b[0].2: B
  return out = x |> b[0].1: B(n=4), other = -x[0] ** 2 layout=nchw
}
)";
  CHECK(formatted(text) == wanted);
}

TEST_CASE("the author's lines of a pipe stay, long ones are broken at each stage") {
  std::string text = R"(block B(x) {
  y = x |> a: conv(8, kernel=1) |> relu  # one
      # between
      |> b: conv(8, kernel=1) |> relu  # two
  return y |> a_rather_long_name: conv(8, kernel=3, stride=2, dilation=2) |> another_long_name: batch_norm |> relu
}
)";
  std::string wanted = R"(block B(x) {
  y = x |> a: conv(8, kernel=1) |> relu  # one
      # between
      |> b: conv(8, kernel=1) |> relu  # two
  return y
      |> a_rather_long_name: conv(8, kernel=3, stride=2, dilation=2)
      |> another_long_name: batch_norm
      |> relu
}
)";
  CHECK(formatted(text) == wanted);
}

TEST_CASE("no comment is lost, wherever it stands") {
  std::string text = R"(# 1
block B(  # 2
  x,  # 3
  # 4
  n: int = 3  # 5
) {  # 6
  # 7
  if n > 2 {  # 8
    # 9
    y = conv(  # 10
      # 11
      x,  # 12
      kernel=3 +  # 13
        4  # 14
    )  # 15
  } else {  # 16
    y = x  # 17
  }  # 18
  let z = if n > 1 {  # 19
    1  # 20
  } else { 2 }  # 21
  let s = n +  # 22
    # 23
    n  # 24
  return y  # 25
  # 26
}  # 27
# 28
)";
  std::string once = formatted(text);
  INFO(once);
  for (int i = 1; i <= 28; ++i) CHECK(once.find("# " + std::to_string(i) + "\n") != std::string::npos);
  CHECK(formatted(once) == once);
}

TEST_CASE("formatting twice changes nothing, and formatting does not change a network") {
  for (const char* folder : {"/examples/networks", "/tests/language/bad"}) {
    for (const auto& entry : std::filesystem::directory_iterator(test::source_root() + folder)) {
      std::string text = test::read_text(entry.path().string());
      std::string once = formatted(text);
      if (once.find(": error: ") != std::string::npos) continue;
      INFO(entry.path());
      CHECK(formatted(once) == once);
      if (std::string(folder) == "/examples/networks") CHECK(once == text);
    }
  }
  std::string crowded =
      "block B(x){y=x|>a:conv(4,kernel=[3,1])\nfor i in 0..2{y=y|>c[i]:conv(4,kernel=1)}\nreturn y+x}\n"
      "network n{input x:f32[1,4,8,8]\nreturn x|>\nb:B}\n";
  std::string graph = test::graph_of(crowded);
  CHECK(graph.find("b.c.1.weight") != std::string::npos);
  CHECK(test::graph_of(formatted(crowded)) == graph);
}

namespace {

// Expressions of all kinds, short and long, broken into lines at random where the language allows it.
class RandomSource {
 public:
  explicit RandomSource(uint32_t seed) : random_(seed) {}

  std::string file() {
    std::string text =
        "let top = " + expression(3) + "\nblock B(x" + space() + ", n: int = " + atom() + ") {";
    for (int i = pick(1, 4); i > 0; --i) text += "\n" + statement(2);
    return text + "\nreturn " + expression(4) + "\n}\n";
  }

 private:
  int pick(int least, int most) { return std::uniform_int_distribution<int>(least, most)(random_); }
  bool chance(int percent) { return pick(1, 100) <= percent; }
  std::string name() {
    return "n" + std::string(static_cast<size_t>(chance(15) ? pick(20, 60) : pick(1, 9)), 'a');
  }
  // Where a line may end; now and then it does, with or without a comment.
  std::string space() { return chance(10) ? (chance(30) ? " # why\n" : "\n") : " "; }
  std::string atom() {
    return chance(40) ? std::to_string(pick(0, 999)) : chance(10) ? "\"text{" + name() + "}\"" : name();
  }

  std::string elements(int depth) {
    std::string text = space();
    for (int i = pick(0, 4); i > 0; --i) text += expression(depth) + space() + (i > 1 ? "," + space() : "");
    return text;
  }
  std::string stage(int depth) {
    std::string label = chance(50) ? (chance(30) ? name() + "[" + name() + "].0: " : name() + ": ") : "";
    return label + name() + (chance(70) ? "(" + elements(depth) + ")" : "");
  }
  std::string operand(int depth) {
    switch (depth <= 0 ? 0 : pick(0, 7)) {
      case 1:
        return "(" + expression(depth - 1) + ")";
      case 2:
        return "[" + elements(depth - 1) + "]";
      case 3:
        return name() + "(" + elements(depth - 1) + ")";
      case 4:
        return "-" + operand(depth - 1);
      case 5:
        return name() + "[" + atom() + "]";
      case 6:
        return "if " + atom() + " { " + expression(depth - 1) + " } else { " + expression(depth - 1) + " }";
      default:
        return atom();
    }
  }
  std::string expression(int depth) {
    static const char* const operators[] = {"+", "*", "/", "**", "and", ".."};
    std::string text = operand(depth);
    if (depth > 0 && chance(40))
      for (int i = pick(1, 5); i > 0; --i) text += space() + "|> " + stage(depth - 1);
    else
      for (int i = depth > 0 && chance(50) ? pick(1, 4) : 0; i > 0; --i)
        text += " " + std::string(operators[pick(0, 5)]) + space() + operand(depth - 1);
    return text;
  }
  std::string statement(int depth) {
    std::string own_line = chance(20) ? "# before\n" : chance(20) ? "\n" : "";
    if (depth == 0 || chance(60))
      return own_line + name() + " = " + expression(3) + (chance(20) ? "  # behind" : "");
    std::string inner =
        " {" + std::string(chance(20) ? " # opens" : "") + "\n" + statement(depth - 1) + "\n}";
    if (chance(50)) return own_line + "for i in " + expression(1) + inner;
    return own_line + "if " + expression(1) + inner + (chance(50) ? " else" + inner : "");
  }

  std::mt19937 random_;
};

}  // namespace

TEST_CASE("formatting twice changes nothing, whatever the source") {
  int formatted_files = 0;
  for (uint32_t seed = 0; seed < 400; ++seed) {
    const std::string text = RandomSource(seed).file();
    const std::string once = formatted(text);
    if (once.find(": error: ") != std::string::npos) continue;
    ++formatted_files;
    INFO("seed " << seed << "\n" << text << "\nonce:\n" << once);
    REQUIRE(formatted(once) == once);
  }
  CHECK(formatted_files > 200);
}

TEST_CASE("a right side that must be broken stays on the operator's line") {
  const std::string text =
      "block B(x, y, channels: int, stride: int) {\n"
      "  y = y + (y |> a: conv(channels, kernel=3, stride=stride) |> b: batch_norm |> c: conv(channels, "
      "kernel=1) |> relu)\n"
      "  return x * (x |> global_avg_pool |> fc1: conv(channels, kernel=1) |> relu |> fc2: conv(channels, "
      "kernel=1) |> sigmoid)\n"
      "}\n";
  const std::string once = formatted(text);
  INFO(once);
  CHECK(once.find("y = y + (y\n") != std::string::npos);
  CHECK(formatted(once) == once);
}

TEST_CASE("a file that does not parse is not formatted") {
  CHECK(formatted("block B(x { return x }\n").find("expected ',' or ')'") != std::string::npos);
}
