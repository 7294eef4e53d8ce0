// Sources written in a test, checked and elaborated.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/language.h"
#include "tests/runtime/scratch_directory.h"

namespace cardinal::test {

// Sources in a directory of their own.
class SourceDirectory {
 public:
  std::string write(const std::string& name, const std::string& text) const;  // returns the path
  std::string path(const std::string& name) const;

 private:
  ::ScratchDirectory files_;
};

std::string source_root();
using ::read_text;

// All messages of `cardinal check` on the text, one per line: "line:column: message".
std::vector<std::string> errors_of(const std::string& text, const ElaborateOptions& options = {});
// The text's graph in IR form without locations, or its rendered errors.
std::string graph_of(const std::string& text, const ElaborateOptions& options = {});
// The value of an expression as an int attribute, by way of a convolution's channels.
std::string channels_of(const std::string& expression, const std::string& statements = "");
bool contains(const std::vector<std::string>& messages, const std::string& part);

}  // namespace cardinal::test
