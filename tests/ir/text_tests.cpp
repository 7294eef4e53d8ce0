#include "ir/text.h"

#include <catch2/catch.hpp>

#include "tests/ir/fixtures.h"
#include "tests/runtime/scratch_directory.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

// Parses, or the rendered errors.
std::string errors_of(const std::string& body) {
  SourceMap sources;
  Result<Graph> parsed = parse_ir(sources, "t.ir", "network t {\n" + body + "\n}\n");
  return parsed ? "accepted" : parsed.error().render(sources);
}

// The first line of the first error, without what follows.
std::string first_error(const std::string& body) {
  std::string text = errors_of(body);
  return text.substr(0, text.find('\n'));
}

const std::string kInput = "%x = input {dtype=f32, shape=[1, 96, 8, 8]}\n";

}  // namespace

TEST_CASE("a graph prints one line per node", "[text]") {
  SourceMap sources;
  uint32_t file = sources.add("net.nn", "input x\nx |> conv\n");
  Graph graph;
  graph.name = "net";
  graph.source = "net.nn";
  NodeId x = graph.add(Input{DType::f32, {1, 3, 224, 224}}, {}, "x", {file, 1, 7, 1});
  NodeId w = graph.add(Weight{{64, 3, 7, 7}, Role::kernel}, {}, "conv1.weight");
  Conv conv;
  conv.channels = 64;
  conv.kernel = {7, 7};
  conv.stride = {2, 2};
  NodeId y = graph.add(Relu{}, {graph.add(conv, {x, w}, "conv1", {file, 2, 6, 4})});
  graph.add(Output{}, {y}, "y");
  CHECK(print(graph, &sources) ==
        R"(network net source "net.nn" {
  %x = input {dtype=f32, shape=[1, 3, 224, 224]} : f32[1, 3, 224, 224] loc("net.nn":1:7)
  @conv1.weight = weight {shape=[64, 3, 7, 7], role=kernel} : f32[64, 3, 7, 7]
  %conv1 = conv(%x, @conv1.weight) {channels=64, kernel=7, stride=2} : f32[1, 64, 112, 112] loc("net.nn":2:6)  # 236 MFLOP, 3.85 MB
  %3 = relu(%conv1) : f32[1, 64, 112, 112]  # 803 kFLOP, 6.42 MB
  %y = output(%3) : f32[1, 64, 112, 112]
}
)");
}

TEST_CASE("names of every kind survive", "[text]") {
  Graph graph;
  graph.name = "a net";
  graph.source = "dir/\"odd\" \\ name.nn";
  NodeId x = graph.add(Input{DType::f32, {1, 4}}, {}, "0.stem");
  NodeId a = graph.add(Relu{}, {x}, "block.act");
  NodeId b = graph.add(Gelu{}, {a}, "block.act");
  NodeId c = graph.add(Silu{}, {b}, "true");
  NodeId d = graph.add(Tanh{}, {c}, "3");
  NodeId e = graph.add(Relu6{}, {d}, "line\nbreak # and \"quotes\"");
  graph.add(Output{}, {e}, "block.act");
  graph.add(Output{}, {e}, "0.stem out");
  std::string text = print(graph);
  INFO(text);
  SourceMap sources;
  Result<Graph> parsed = parse_ir(sources, "t.ir", text);
  REQUIRE(parsed);
  CHECK(print(*parsed) == text);
  CHECK(parsed->name == graph.name);
  CHECK(parsed->source == graph.source);
  for (NodeId id : graph.ids()) CHECK((*parsed)[id].name == graph[id].name);
}

TEST_CASE("locations come back with their files", "[text]") {
  SourceMap sources;
  std::string text =
      "network t {\n  %x = input {dtype=f32, shape=[1, 4]} : f32[1, 4] loc(\"no such file.nn\":3:14)\n"
      "  %a = relu(%x) : f32[1, 4] loc(\"no such file.nn\":4:2)  # 4 FLOP, 32 B\n  %y = output(%a) : f32[1, "
      "4]\n}\n";
  Result<Graph> parsed = parse_ir(sources, "t.ir", text);
  REQUIRE(parsed);
  CHECK(sources.describe((*parsed)[NodeId(0)].where) == "no such file.nn:3:14");
  CHECK((*parsed)[NodeId(0)].where.file == (*parsed)[NodeId(1)].where.file);
  CHECK_FALSE((*parsed)[NodeId(2)].where);
  CHECK(print(*parsed, &sources) == text);
}

TEST_CASE("a location's file is read if it can be", "[text]") {
  const ScratchDirectory directory;
  write_text(directory.file("t.nn"), "the first line\n");
  SourceMap sources;
  std::string text = "network t {\n%x = input {dtype=f32, shape=[1, 4]} loc(\"" + directory.file("t.nn") +
                     "\":1:1)\n%y = output(%x)\n}\n";
  Result<Graph> parsed = parse_ir(sources, "t.ir", text);
  REQUIRE(parsed);
  CHECK(sources.line((*parsed)[NodeId(0)].where.file, 1) == "the first line");
}

TEST_CASE("types, locations and comments may be left out", "[text]") {
  CHECK(errors_of("# a comment\n" + kInput + "%a = relu(%x) # and another\n%y = output(%a)") == "accepted");
  CHECK(errors_of(kInput + "%y = output(%x) : f32[1, 96, 8, 8]") == "accepted");
}

TEST_CASE("the shape rule's errors point at the attribute or the operand", "[text]") {
  std::string weight = "@w = weight {shape=[72, 2, 3, 3], role=kernel}\n";
  CHECK(
      errors_of(kInput + weight + "%c = conv(%x, @w) {channels=72, kernel=3, groups=36}\n%y = output(%c)") ==
      "t.ir:4:50: error: c: 96 input channels are not divisible by groups=36\n"
      "  %c = conv(%x, @w) {channels=72, kernel=3, groups=36}\n"
      "                                                   ^~\n");
  CHECK(errors_of(kInput + weight + "%c = conv(%x, @w) {channels=72, kernel=3}\n%y = output(%c)") ==
        "t.ir:4:15: error: c: the kernel must be [72, 96, 3, 3], got f32[72, 2, 3, 3]\n"
        "  %c = conv(%x, @w) {channels=72, kernel=3}\n"
        "                ^~\n");
  CHECK(first_error(kInput + "%c = relu(%x, %x)") == "t.ir:3:6: error: c: relu takes 1 operand, got 2");
}

TEST_CASE("a type that disagrees names both", "[text]") {
  CHECK(errors_of(kInput + "%a = relu(%x) : f32[1, 96, 8, 9]\n%y = output(%a)") ==
        "t.ir:3:17: error: the type is written as f32[1, 96, 8, 9] but relu makes it f32[1, 96, 8, 8]\n"
        "  %a = relu(%x) : f32[1, 96, 8, 9]\n"
        "                  ^~~~~~~~~~~~~~~~\n");
}

TEST_CASE("names must be defined once and before their users", "[text]") {
  CHECK(first_error(kInput + "%a = relu(%b)\n%b = relu(%x)\n%y = output(%a)") ==
        "t.ir:3:11: error: %b is not defined above; operands precede their users");
  CHECK(first_error(kInput + "%a = relu(%7)") ==
        "t.ir:3:11: error: %7 is not defined above; operands precede their users");
  CHECK(first_error(kInput + "%a = relu(@x)") ==
        "t.ir:3:11: error: @x is not defined above; operands precede their users");
  CHECK(errors_of(kInput + "%a = relu(%x)\n%a = gelu(%x)\n%y = output(%a)") ==
        "t.ir:4:1: error: %a is defined twice\n"
        "  %a = gelu(%x)\n"
        "  ^~\n"
        "t.ir:3:1: note: first here\n"
        "  %a = relu(%x)\n"
        "  ^~\n");
  CHECK(first_error(kInput + "%x:x = input {dtype=f32, shape=[1, 4]}") ==
        "t.ir:3:3: error: expected '=', got ':'");
  CHECK(first_error(kInput + "%5:x = input {dtype=f32, shape=[1, 4]}") ==
        "t.ir:3:8: error: x: there is already an input named 'x'");
}

TEST_CASE("an error is reported once, not for every user", "[text]") {
  std::string text = errors_of(
      kInput + "%a = cnov(%x)\n%b = relu(%a)\n%c = relu(%b)\n%d = gelu(%x) {alpha=1}\n%y = output(%c)");
  CHECK(text ==
        "t.ir:3:6: error: there is no op 'cnov'\n"
        "  %a = cnov(%x)\n"
        "       ^~~~\n"
        "t.ir:6:16: error: gelu has no attribute 'alpha'; it has approximate\n"
        "  %d = gelu(%x) {alpha=1}\n"
        "                 ^~~~~\n");
}

TEST_CASE("attributes", "[text]") {
  CHECK(first_error("%x = input {shape=[1, 4]}") == "t.ir:2:6: error: input needs the attribute 'dtype'");
  CHECK(first_error("%x = input {dtype=f32, shape=[1, 4], dtype=f32}") ==
        "t.ir:2:38: error: attribute 'dtype' is given twice");
  CHECK(first_error("%x = input {dtype=f64, shape=[1, 4]}") ==
        "t.ir:2:19: error: dtype: expected f32, f16 or bf16, got f64");
  CHECK(first_error("%x = input {dtype=f16, shape=[1, 4]}") ==
        "t.ir:2:19: error: x: inputs must be f32, got f16");
  CHECK(first_error("%x = input {dtype=f32, shape=[[[[[[1]]]]]]}") ==
        "t.ir:2:34: error: lists are nested too deeply");
  CHECK(first_error("%x = input {dtype=f32, shape=[1, 99999999999999999999]}") ==
        "t.ir:2:34: error: number 99999999999999999999 is out of range");
  CHECK(first_error("%x = input {dtype=f32, shape=[1, 4x]}") == "t.ir:2:34: error: number 4x is malformed");
  CHECK(first_error("@x = relu") == "t.ir:2:1: error: only weights are named with @; call this %x");
  CHECK(first_error("%w = weight {shape=[1], role=bias}") ==
        "t.ir:2:1: error: weights are named with @; call this @w");
}

TEST_CASE("the frame around the nodes", "[text]") {
  auto error = [](const std::string& text) {
    SourceMap sources;
    Result<Graph> parsed = parse_ir(sources, "t.ir", text);
    std::string rendered = parsed ? "accepted" : parsed.error().render(sources);
    return rendered.substr(0, rendered.find('\n'));
  };
  CHECK(error("") == "t.ir:1:1: error: expected 'network', got the end of the file");
  CHECK(error("net t {}") == "t.ir:1:1: error: expected 'network', got 'net'");
  CHECK(error("network {}") == "t.ir:1:9: error: expected the network's name, got '{'");
  CHECK(error("network t source x {}") ==
        "t.ir:1:18: error: expected the source file's path as a string, got 'x'");
  CHECK(error("network t {}") == "t.ir:1:12: error: the network has no output");
  CHECK(error("network t {") == "t.ir:1:12: error: expected '}', got the end of the file");
  std::string body = "{\n%x = input {dtype=f32, shape=[1, 4]}\n%y = output(%x)\n}";
  CHECK(error("network t " + body) == "accepted");
  CHECK(error("network t " + body + " more") ==
        "t.ir:4:3: error: expected the end of the file after the network, got 'more'");
  CHECK(error("network t {\n%x = input {dtype=f32, shape=[1, 4]} %y = output(%x)\n}") ==
        "t.ir:2:38: error: expected the end of the line, got '%'");
  CHECK(error("network t {\n%x = input {dtype=f32, shape=[1, 4]} loc(3)\n}") ==
        "t.ir:2:42: error: expected a file's path as a string, got '3'");
  CHECK(error("network t {\n%x = input {dtype=f32, shape=[1, 4]} loc(\"f\":-1:2)\n}") ==
        "t.ir:2:46: error: expected a line or column number, got '-1'");
  CHECK(error("network t {\n$\n}") == "t.ir:2:1: error: unexpected character '$'");
  CHECK(error(std::string("network t {\n\0\n}", 15)) == "t.ir:2:1: error: unexpected byte 0x00");
  CHECK(error("network \"t {\n}") == "t.ir:1:9: error: this string has no closing quote");
}
