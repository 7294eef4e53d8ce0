// Opening weight files.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ir/graph.h"
#include "tests/weights/file_makers.h"

namespace cardinal::testing {

// A file in memory: thousands of files are written in no time.
class MemoryFile {
 public:
  MemoryFile();
  ~MemoryFile();
  std::string path() const;
  void write(const std::string& bytes);

 private:
  int fd_;
};

// "" or the diagnostics of opening a weight file with this content, which must name the file.
std::string open_error(const std::string& content, const Graph& graph);

// That the file is refused, with `part` in what is said.
void check_refused(const std::string& content, const std::string& part, const Graph& graph = small_network());

// Opens truncations, `rounds` files with bits flipped and a third as many with bytes replaced: each must be
// refused or accepted, never crash. The truncations are of every length, or about as many as `rounds`, and
// all must be refused.
void fuzz(const std::string& content, const Graph& graph = small_network(), int rounds = 3000);

using Weights = std::vector<std::pair<std::string, Weight>>;

// A file that a framework has written: see fixtures/make.py.
std::string fixture(const std::string& name);

// That the file holds these weights and no others, counting 1, 2, 3, ... from the first to the last.
void check_counts(const std::string& path, const Weights& weights);

}  // namespace cardinal::testing
