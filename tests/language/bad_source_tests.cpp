// Each file of bad/ says on the offending line what must be reported there: `# error: part of the message`.
// Nothing else may be reported.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <sstream>

#include "tests/language/support.h"

using namespace cardinal;

namespace {

struct Expectation {
  uint32_t line;
  std::string message;
};

std::vector<Expectation> expectations(const std::string& text) {
  const std::string mark = "# error: ";
  std::vector<Expectation> list;
  std::istringstream stream(text);
  std::string line;
  for (uint32_t number = 1; std::getline(stream, line); ++number)
    for (size_t at = line.find(mark); at != std::string::npos; at = line.find(mark, at)) {
      at += mark.size();
      size_t end = line.find("  " + mark, at);
      list.push_back({number, line.substr(at, end - at)});
    }
  return list;
}

}  // namespace

TEST_CASE("mistakes are reported once each, where they are") {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::source_root() + "/tests/language/bad")) {
    std::string path = entry.path().string();
    if (entry.path().filename().string().starts_with("_")) continue;  // imported by others
    ++files;
    SourceMap sources;
    Diagnostics found = check_program(sources, path);
    std::vector<Expectation> wanted = expectations(test::read_text(path));
    REQUIRE(!wanted.empty());
    std::vector<bool> used(wanted.size());
    for (const Diagnostic& d : found.list()) {
      bool matched = false;
      for (size_t i = 0; i < wanted.size() && !matched; ++i) {
        if (used[i] || wanted[i].line != d.where.line ||
            d.message.find(wanted[i].message) == std::string::npos)
          continue;
        used[i] = matched = true;
      }
      if (!matched) FAIL_CHECK(fmt::format("{}:{}: unexpected: {}", path, d.where.line, d.message));
    }
    for (size_t i = 0; i < wanted.size(); ++i)
      if (!used[i]) FAIL_CHECK(fmt::format("{}:{}: missing: {}", path, wanted[i].line, wanted[i].message));
  }
  CHECK(files >= 5);
}
