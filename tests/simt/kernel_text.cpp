#include "tests/simt/kernel_text.h"

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

namespace cardinal::simt {

std::string kernel_text(std::string_view file) {
  std::ifstream in(std::string(SIMT_KERNELS "/").append(file));
  REQUIRE(in.good());
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string with_line(std::string text, std::string_view tag, std::string_view replacement) {
  const std::string mark = std::string("; <").append(tag).append(">\n");
  size_t found = text.find(mark), count = 0;
  for (; found != std::string::npos; found = text.find(mark, found + replacement.size()), ++count) {
    const size_t begin = text.rfind('\n', found) + 1;
    text.replace(begin, found + mark.size() - begin, std::string(replacement) + "\n");
    found = begin;
  }
  INFO("the line tagged " << tag);
  REQUIRE(count > 0);
  return text;
}

std::string without_line(std::string text, std::string_view tag) {
  return with_line(std::move(text), tag, "");
}

}  // namespace cardinal::simt
