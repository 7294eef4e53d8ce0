// What elaboration makes of blocks, layers, inputs and outputs.
#include <catch2/catch.hpp>

#include "ir/text.h"
#include "tests/language/support.h"

using namespace cardinal;
using test::contains;
using test::errors_of;

TEST_CASE("inputs and outputs") {
  std::string graph = test::graph_of(R"(network n {
  input a: f32[1, 4, 8, 8] layout=nhwc
  input b: f32[1, 4]
  return first = a |> relu layout=nhwc, second = relu(b)
}
)");
  CHECK(graph.find("%a = input") != std::string::npos);
  CHECK(graph.find("layout=nhwc") != std::string::npos);
  CHECK(graph.find("%second = output") != std::string::npos);
  CHECK(contains(errors_of("network n {\n  input a: f32[1, 4, 8]\n  return a\n}\n"), "this one has 3"));
  CHECK(contains(errors_of("network n {\n  input a: f32[1, 0, 8, 8]\n  return a\n}\n"),
                 "2:19: a dimension is an int from 1"));
  CHECK(contains(errors_of("network n {\n  input a: f33[1, 1, 8, 8]\n  return a\n}\n"),
                 "'f33' is not an element type"));
  CHECK(contains(errors_of("network n {\n  input a: f32[1, 1, 8, 8] layout=nhcw\n  return a\n}\n"),
                 "there is nothing called 'nhcw'; did you mean 'nchw'?"));
  CHECK(
      contains(errors_of("network n {\n  input a: f32[1, 1]\n  input a: f32[1, 1]\n  return a\n}\n"), "'a'"));
  CHECK(contains(errors_of("network n {\n  input a: f32[1, 1]\n  return a, a\n}\n"), "must name them"));
  CHECK(contains(errors_of("network n {\n  input a: f32[1, 1]\n  return y = a, y = a\n}\n"),
                 "the output name 'y' is used twice"));
  CHECK(contains(errors_of("network n {\n  input a: f32[1, 1]\n  return 3\n}\n"),
                 "a network returns tensors, not an int"));
  CHECK(contains(errors_of("network n {\n  input a: f32[1, 1]\n}\n"), "ends without 'return'"));
  CHECK(contains(errors_of("network n(w: int) {\n  input a: f32[1, 1]\n  return a\n}\n"), "has no default"));
  CHECK(contains(
      errors_of("network n {\n  input a: f32[16777216, 16777216, 16777216, 16777216]\n  return a\n}\n"),
      "2:9"));
}

TEST_CASE("numbers beside tensors scale and shift them") {
  const auto affine = [](const std::string& expression) {
    std::string graph =
        test::graph_of("network n {\n  input x: f32[1, 4]\n  return y = " + expression + "\n}\n");
    size_t begin = graph.find("affine(%x)"), end = graph.find(" : ", begin);
    return begin == std::string::npos ? graph : graph.substr(begin, end - begin);
  };
  CHECK(affine("x + 2") == "affine(%x) {shift=2.0}");
  CHECK(affine("2 + x") == "affine(%x) {shift=2.0}");
  CHECK(affine("x - 2") == "affine(%x) {shift=-2.0}");
  CHECK(affine("2 - x") == "affine(%x) {scale=-1.0, shift=2.0}");
  CHECK(affine("0.5 * x") == "affine(%x) {scale=0.5}");
  CHECK(affine("x / 4") == "affine(%x) {scale=0.25}");
  CHECK(affine("-x") == "affine(%x) {scale=-1.0}");
  CHECK(affine("relu(x) - x") == "affine(%x) {scale=-1.0}");
}

TEST_CASE("functions and operators that work on numbers and on tensors") {
  const auto graph = [](const std::string& expression) {
    return std::vector{test::graph_of(
        "network n {\n  input x: f32[1, 4]\n  input y: f32[1, 1]\n  let two = max(1, 2)\n  return z = " +
        expression + "\n}\n")};
  };
  CHECK(contains(graph("x / y"), "div(%x, %y)"));
  CHECK(contains(graph("max(x, y)"), "max(%x, %y)"));
  CHECK(contains(graph("x |> min(y)"), "min(%x, %y)"));
  CHECK(contains(graph("sqrt(x) * sqrt(4)"), "affine(%2) {scale=2.0}"));
  CHECK(contains(graph("abs(x)"), "abs(%x)"));
  CHECK(contains(graph("x ** 2"), "mul(%x, %x)"));
  CHECK(contains(graph("x ** 0.5"), "sqrt(%x)"));
  CHECK(contains(graph("two / (two + exp(x))"), "affine(%2) {shift=2.0}"));
  CHECK(contains(graph("two / (two + exp(x))"), "{scale=0.0, shift=2.0}"));
  CHECK(contains(graph("sum([x, y, x])"), "add(%2, %x)"));
  const auto errors = [](const std::string& expression) {
    return errors_of("network n {\n  input x: f32[1, 4]\n  return " + expression + "\n}\n");
  };
  CHECK(contains(errors("x ** 3"),
                 "'**' does not work on a tensor and an int; '+', '-', '*', '/', tensor ** 2"));
  CHECK(contains(errors("max(x, 1)"),
                 "max takes two tensors; with a number it is written clip(x, 1, highest)"));
  CHECK(contains(errors("log(x)"), "'log' computes with numbers; there is no op 'log' for tensors"));
}

TEST_CASE("a layer's only weight may have the layer's name") {
  std::string text =
      "network n {\n  input x: f32[1, 4]\n  return y = x |> cn.layer_scale: channel_scale\n}\n";
  CHECK(test::graph_of(text).find("channel_scale(%x, @cn.layer_scale)") != std::string::npos);
}

TEST_CASE("a parameter by itself is a tensor of the weight file, and may be a kernel") {
  const auto graph = [](const std::string& convention, const std::string& expression) {
    return test::graph_of("network n {\n" + convention +
                          "  input x: f32[1, 4, 8, 8]\n  return y = " + expression + "\n}\n");
  };
  CHECK(contains({graph("", "x * g.gamma: parameter([1, 4, 1, 1])")}, "mul(%x, @g.gamma)"));
  CHECK(contains({graph("  convention flax\n", "x * g.gamma: parameter([1, 4, 1, 1])")}, "@params.g.gamma"));
  CHECK(contains({graph("", "conv(x, c: parameter([8, 4, 3, 3], kernel=true), stride=2)")},
                 "conv(%x, @c.weight) {channels=8, kernel=3, stride=2}"));
  CHECK(contains({graph("  convention keras\n", "conv(x, c: parameter([8, 4, 1, 1], kernel=true))")},
                 "@c.kernel = weight {shape=[8, 4, 1, 1], role=kernel, stored=hwio}"));
  CHECK(contains({graph("", "b: conv(x, c: parameter([8, 4, 1, 1], kernel=true), bias=true)")}, "@b.bias"));
  CHECK(contains(
      {graph("", "conv(x, (c: parameter([8, 4, 3, 3])) |> group_norm(1, scale=false, shift=false))")},
      "group_norm(@c)"));
}

TEST_CASE("a network is chosen by name") {
  std::string text =
      "network a {\n  input x: f32[1, 1]\n  return x |> relu\n}\nnetwork b {\n  input x: f32[1, 1]\n  return "
      "x |> tanh\n}\n";
  CHECK(test::graph_of(text, {"b", {}}).find("tanh") != std::string::npos);
  CHECK(test::graph_of(text).find("choose one with --network: a, b") != std::string::npos);
  CHECK(test::graph_of(text, {"c", {}}).find("has no network 'c'") != std::string::npos);
  CHECK(test::graph_of("let a = 1\n").find("declares no network") != std::string::npos);
}

TEST_CASE("one mistake in a block that is used often is reported once, with the way there") {
  std::string text = R"(block Inner(x) {
  return x |> c: conv(8, kernel=3, groups=3)
}
block Outer(x) {
  return x |> inner: Inner
}
network n {
  input x: f32[1, 4, 8, 8]
  for i in 0..5 {
    y = x |> outer[i]: Outer
  }
  return x
}
)";
  test::SourceDirectory directory;
  SourceMap sources;
  Diagnostics found = check_program(sources, directory.write("t.nn", text));
  REQUIRE(found.list().size() == 1);
  const Diagnostic& d = found.list()[0];
  CHECK(d.message == "c: 4 input channels are not divisible by groups=3");
  CHECK(d.where.line == 2);
  CHECK(d.where.column == 43);
  REQUIRE(d.notes.size() == 3);
  CHECK(d.notes[0].message == "the input is f32[1, 4, 8, 8]: input 'x' made it");
  CHECK(d.notes[1].message == "in block Inner, called here as 'inner'");
  CHECK(d.notes[2].message == "in block Outer, called here as 'outer.0'");
}

TEST_CASE("a shape is explained by the op that made it") {
  std::string text = R"(network n {
  input x: f32[1, 4, 8, 8]
  y = x |> down: conv(4, kernel=3, stride=2) |> bn: batch_norm |> relu
  return y + x
}
)";
  test::SourceDirectory directory;
  SourceMap sources;
  Diagnostics found = check_program(sources, directory.write("t.nn", text));
  REQUIRE(found.list().size() == 1);
  REQUIRE(found.list()[0].notes.size() == 2);
  CHECK(found.list()[0].notes[0].message ==
        "the first operand is f32[1, 4, 4, 4]: conv 'down' made it from f32[1, 4, 8, 8]");
  CHECK(found.list()[0].notes[0].where.line == 3);
}

TEST_CASE("what follows from an error is silent") {
  std::vector<std::string> errors = errors_of(R"(network n {
  input x: f32[1, 4, 8, 8]
  let w = 1 // 0
  y = x |> a: conv(w, kernel=3) |> b: batch_norm
  z = y + x |> c[w]: conv(8, kernel=1)
  if w > 2 {
    z = relu(z)
  }
  for i in 0..w {
    z = z |> d[i]: conv(4, kernel=1)
  }
  return concat(z, y)
}
)");
  REQUIRE(errors.size() == 1);
  CHECK(errors[0] == "3:13: division by zero");
}

TEST_CASE("what elaboration makes can be printed, parsed and printed again") {
  for (const auto& [file, network] :
       {std::pair{"resnet.nn", "resnet18"}, {"resnet.nn", "resnext50_32x4d"}, {"vgg.nn", "vgg11_bn"}}) {
    SourceMap sources;
    Result<Program> program = parse_program(sources, test::source_root() + "/examples/networks/" + file);
    REQUIRE(program);
    Result<Graph> graph = elaborate(*program, {network, {}});
    REQUIRE(graph);
    std::string text = print(*graph, &sources);
    Result<Graph> again = parse_ir(sources, "again.ir", text);
    REQUIRE(again);
    CHECK(print(*again, &sources) == text);
  }
}

TEST_CASE("reuse takes the weights of an earlier layer or block") {
  const auto network = [](const std::string& body) {
    return "block Two(x) {\n  return x |> a: conv(4, kernel=3) |> b: batch_norm\n}\nnetwork n {\n  input x: "
           "f32[1, 4, 8, 8]\n" +
           body + "}\n";
  };
  const std::string graph =
      test::graph_of(network("  y = x |> t: Two |> c: conv(4, kernel=1)\n  return y |> reuse t: Two |> reuse "
                             "t.a: conv(4, kernel=3)\n"));
  const auto count = [&](const std::string& text) {
    int found = 0;
    for (size_t at = graph.find(text); at != std::string::npos; at = graph.find(text, at + 1)) ++found;
    return found;
  };
  CHECK(count("= weight {") == 6);
  CHECK(count("@t.a.weight = weight") == 1);
  CHECK(count("conv(") == 4);
  CHECK(contains(errors_of(network("  return x |> reuse t: Two\n")),
                 "there is no layer 't' before this one whose weights could be used again"));
  CHECK(contains(errors_of(network("  y = x |> c: relu\n  return y |> reuse c: conv(4, kernel=1)\n")),
                 "the layer 'c' has no weight 'c.weight' that could be used again"));
  CHECK(contains(
      errors_of(network("  y = x |> c: conv(4, kernel=1)\n  return y |> reuse c: conv(8, kernel=1)\n")),
      "c.weight"));
  CHECK(contains(errors_of(network("  y = x |> c: conv(4, kernel=1)\n  return y |> c: conv(4, kernel=1)\n")),
                 "the layer name 'c' is used twice; to use its weights again, write reuse before the name"));
}
