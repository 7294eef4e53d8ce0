// The IR parser against damaged text: it must refuse or accept, never crash, and what it accepts must print
// and parse again.
#include <catch2/catch.hpp>
#include <random>

#include "ir/text.h"
#include "ir/verifier.h"

using namespace cardinal;

namespace {

const std::string kSample = R"(network "a net" source "net.nn" {
  # every form of the grammar
  %x = input {dtype=f32, shape=[1, 8, 6, 6], layout=nhwc} : f32[1, 8, 6, 6] loc("net.nn":4:9)
  @conv1.weight = weight {shape=[16, 4, 3, 3], role=kernel} : f32[16, 4, 3, 3]
  @"0.gamma" = weight {shape=[16], role=scale} : f32[16]
  %4 = fold_scale(@"0.gamma", @"0.gamma", @conv1.weight) {eps=1e-05} : f32[16, 4, 3, 3]
  %r = input {dtype=f32, shape=[1, 16, 6, 6]} : f32[1, 16, 6, 6]
  %conv1 = conv(%x, %4, %r) {channels=16, kernel=[3, 3], padding=[1, 1, 1, 1], groups=2, epilogue=[add, [leaky_relu, 0.1]]} : f32[1, 16, 6, 6] loc("net.nn":5:2)  # 83 kFLOP
  %7:conv1 = max_pool(%conv1) {kernel=2, ceil_mode=true} : f32[1, 16, 3, 3]
  %cat = concat(%7, %7) : f32[1, 32, 3, 3]
  %flat = flatten(%cat) : f32[1, 288]
  %y = output(%flat) : f32[1, 288]
}
)";

// False if the text was refused.
bool try_text(const std::string& text) {
  SourceMap sources;
  Result<Graph> parsed = parse_ir(sources, "hostile.ir", text);
  if (!parsed) {
    CHECK_FALSE(parsed.error().render(sources).empty());
    CHECK(parsed.error().has_errors());
    return false;
  }
  CHECK(verify(*parsed).empty());
  std::string printed = print(*parsed, &sources);
  Result<Graph> again = parse_ir(sources, "again.ir", printed);
  INFO(printed);
  REQUIRE(again);
  CHECK(print(*again, &sources) == printed);
  return true;
}

std::string mutate(std::string text, std::mt19937& random) {
  const std::string alphabet = "%@:{}[](),=\"\\#-.0179eax \n\t\r\x7f\xff";
  auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (size_t edits = 1 + pick(3); edits-- > 0 && !text.empty();) {
    size_t at = pick(text.size());
    switch (pick(5)) {
      case 0:
        text[at] = alphabet[pick(alphabet.size())];
        break;
      case 1:
        text.insert(at, 1, alphabet[pick(alphabet.size())]);
        break;
      case 2:
        text.erase(at, 1 + pick(12));
        break;
      case 3:
        text.insert(pick(text.size()), text.substr(at, 1 + pick(60)));
        break;
      default:
        std::swap(text[at], text[pick(text.size())]);
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("the sample itself is accepted", "[hostile]") { REQUIRE(try_text(kSample)); }

TEST_CASE("every truncation is refused in good order", "[hostile]") {
  size_t last_brace = kSample.rfind('}');
  for (size_t length = 0; length < kSample.size(); ++length) {
    CAPTURE(length);
    CHECK(try_text(kSample.substr(0, length)) == (length > last_brace));
  }
}

TEST_CASE("random mutations do no harm", "[hostile]") {
  std::mt19937 random(20261123);
  int accepted = 0;
  constexpr int kRounds = 4000;
  for (int i = 0; i < kRounds; ++i) {
    std::string text = mutate(kSample, random);
    CAPTURE(text);
    accepted += try_text(text);
  }
  // Both outcomes must be exercised.
  CHECK(accepted > kRounds / 100);
  CHECK(accepted < kRounds);
}

TEST_CASE("deep nesting and long lists do not exhaust anything", "[hostile]") {
  CHECK_FALSE(try_text("network t {\n%x = input {shape=" + std::string(200000, '[')));
  std::string many = "network t {\n%x = input {dtype=f32, shape=[1";
  for (int i = 0; i < 100000; ++i) many += ", 1";
  CHECK_FALSE(try_text(many + "]}\n}"));
  std::string chain = "network t {\n%0 = relu(%0)\n";
  for (int i = 1; i < 20000; ++i) chain += "%q = relu(%z)\n";
  CHECK_FALSE(try_text(chain + "}"));
}
