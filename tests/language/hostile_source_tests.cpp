// Sources that no one writes on purpose end in an error, soon.
#include <catch2/catch.hpp>

#include "tests/language/support.h"

using namespace cardinal;
using test::contains;
using test::errors_of;

namespace {

std::string repeated(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string in_network(const std::string& statements) {
  return "network n {\n  input x: f32[1, 4, 4, 4]\n" + statements + "\n  return x\n}\n";
}

}  // namespace

TEST_CASE("deep nesting") {
  for (const char* opener : {"(", "[", "-", "not ", "1 + (", "if true { ", "f(", "\"{", "x |> f(", "2 ** "}) {
    INFO(opener);
    CHECK(!errors_of("let a = " + repeated(opener, 100000) + "\n").empty());
  }
  CHECK(contains(errors_of("let a = 1" + repeated(" + 1", 100000) + "\n"), "levels deep"));
  CHECK(contains(errors_of("let a = x" + repeated("[0]", 100000) + "\n"), "levels deep"));
  CHECK(!errors_of("block B(x) " + repeated("{ if true ", 100000)).empty());
  CHECK(!errors_of("block B(x) {\n" + repeated("for i in 0..1 {\n", 100000)).empty());
  CHECK(!errors_of("block B(x: " + repeated("[", 100000)).empty());
  CHECK(!errors_of(repeated("}", 100000)).empty());
  CHECK(!errors_of(repeated("block B(", 20000)).empty());
}

TEST_CASE("long chains are fine") {
  CHECK(errors_of(in_network("  x = x" + repeated(" |> relu", 5000))).empty());
  CHECK(errors_of(in_network("  if false { x = x } " + repeated("else if false { x = relu(x) } ", 2000)))
            .empty());
}

TEST_CASE("work without end") {
  CHECK(contains(errors_of(in_network("  for i in 0..1000000000000 { x = relu(x) }")),
                 "more than 1048576 elements"));
  CHECK(contains(errors_of(in_network("  for i in 0..1000000 { for j in 0..1000000 { let a = 1 } }")),
                 "too long"));
  CHECK(contains(errors_of(in_network("  let l = [1]\n  for i in 0..100 { l = l + l }")), "too long"));
  CHECK(contains(errors_of(in_network("  let l = [1]\n  for i in 0..100 { l = [l, l] }")),
                 "nested more than 8"));
  CHECK(contains(errors_of(in_network("  let s = \"ab\"\n  for i in 0..100 { s = s + s }")),
                 "longer than 65536"));
  CHECK(contains(errors_of(in_network("  let l = [1] * 1000000 * 1000000")), "too long"));
  CHECK(contains(
      errors_of(in_network("  for i in 0..500000 { x = x |> r[i]: leaky_relu(negative_slope=1.0 * i) }")),
      "more than"));
  CHECK(contains(errors_of("block B(x) {\n  return B(x)\n}\n" + in_network("  x = B(x)")),
                 "more than 64 deep"));
  CHECK(contains(errors_of("block B(x) {\n  return x |> b: B |> c: B\n}\n" + in_network("  x = B(x)")),
                 "more than 64 deep"));
  CHECK(contains(errors_of("let a = b\nlet b = a\n" + in_network("  let c = a")), "defined by itself"));
}

TEST_CASE("bytes that are not text") {
  using namespace std::string_literals;
  CHECK(contains(errors_of("let a = 1\0\n"s), "byte 0x00 is a control character"));
  CHECK(contains(errors_of("let a = 1 # \xff\n"), "byte 0xff is not valid UTF-8"));
  CHECK(contains(errors_of("let a = \"\xed\xa0\x80\"\n"), "not valid UTF-8"));
  CHECK(contains(errors_of("let a = 1 \xc3\xa9\n"), "unexpected character"));
  CHECK(contains(errors_of("let a = 1\rlet b = 2\n"), "carriage return"));
  CHECK(contains(errors_of("let a = 'b'\n"), "strings are written with"));
  CHECK(contains(errors_of("let a = \"b\nlet c = 1\n"), "no closing"));
  CHECK(errors_of("\xef\xbb\xbflet a = 1\r\nlet b = 2\r\n").empty());
  CHECK(errors_of("").empty());
  CHECK(errors_of("# \xc3\xa9").empty());
  CHECK(contains(errors_of("let a = " + std::string(100000, '9') + "\n"), "does not fit an int"));
  CHECK(contains(errors_of("let a = 12ab\n"), "neither a number nor a name"));
  CHECK(!errors_of("let " + std::string(100000, 'a') + " = b\n").empty());
}

TEST_CASE("any prefix and any damaged line of a good file ends in errors or is good") {
  std::string text = test::read_text(test::source_root() + "/examples/networks/d2l_resnet18.nn") +
                     test::read_text(test::source_root() + "/examples/networks/densenet.nn");
  for (size_t i = 0; i < text.size(); i += 17) errors_of(text.substr(0, i));
  for (size_t i = 0; i < text.size(); i += 13) {
    std::string damaged = text;
    damaged[i] = "(){}[]\"|:.,=#x0"[i % 15];
    errors_of(damaged);
  }
  SUCCEED();
}

TEST_CASE("files that cannot be read") {
  test::SourceDirectory directory;
  auto errors = [&](const std::string& path) {
    SourceMap sources;
    return check_program(sources, path).render(sources);
  };
  CHECK(errors(directory.path("none.nn")).find("there is no such file") != std::string::npos);
  CHECK(errors(directory.path("")).find("it is a directory") != std::string::npos);
  CHECK(errors("/dev/zero").find("longer than 16 MiB") != std::string::npos);
  std::string a = directory.write("a.nn", "import \"b.nn\"\n");
  directory.write("b.nn", "import \"a.nn\"\n");
  CHECK(errors(a).find("imports go round in a circle: a.nn imports b.nn imports a.nn") != std::string::npos);
  CHECK(errors(directory.write("self.nn", "import \"./self.nn\"\n")).find("cannot import itself") !=
        std::string::npos);
  std::string missing = errors(directory.write("m.nn",
                                               "import \"gone.nn\"\nnetwork n {\n  input x: f32[1, 1, 1, 1]\n"
                                               "  return Gone(x)\n}\n"));
  CHECK(missing.find("gone.nn: there is no such file") != std::string::npos);
  CHECK(missing.find("'Gone'") == std::string::npos);
}
