#include <catch2/catch.hpp>
#include <filesystem>

#include "tests/language/support.h"

using namespace cardinal;

namespace {

std::string formatted(const std::string& text) {
  test::ScratchDirectory directory;
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

TEST_CASE("a file that does not parse is not formatted") {
  CHECK(formatted("block B(x { return x }\n").find("expected ',' or ')'") != std::string::npos);
}
