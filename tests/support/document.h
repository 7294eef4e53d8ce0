// Documents whose code blocks tests check.
#pragma once

#include <sstream>
#include <string>
#include <vector>

namespace cardinal::testing {

// A code block of a Markdown document.
struct Example {
  std::string kind;     // what follows ``` : "nn", "nn error", "nn file=NAME", "console"
  std::string section;  // its heading of the second level
  int line;
  std::string text;
};

inline std::vector<Example> examples(const std::string& document) {
  std::vector<Example> list;
  std::istringstream stream(document);
  std::string line, section;
  bool inside = false;
  for (int number = 1; std::getline(stream, line); ++number) {
    if (line.starts_with("```")) {
      if (!inside) list.push_back({line.substr(3), section, number, ""});
      inside = !inside;
    } else if (inside) {
      list.back().text += line + "\n";
    } else if (line.starts_with("## ")) {
      section = line.substr(3);
    }
  }
  return list;
}

}  // namespace cardinal::testing
