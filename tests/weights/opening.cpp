#include "tests/weights/opening.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <numeric>
#include <random>

#include "compiler/weights/open_weights.h"
#include "tests/runtime/scratch_directory.h"

namespace cardinal::testing {

std::string open_error(const std::string& content, const Graph& graph) {
  ScratchDirectory directory;
  write_text(directory.file("w.bin"), content);
  auto store = open_weights(directory.file("w.bin"), graph);
  if (store) return {};
  std::string text = store.error().render(SourceMap());
  INFO(text);
  CHECK(text.find(directory.file("w.bin")) != std::string::npos);
  CHECK(text.size() < 20000);
  return text;
}

void check_refused(const std::string& content, const std::string& part, const Graph& graph) {
  std::string error = open_error(content, graph);
  INFO("expected: " << part << "\n got: " << error);
  CHECK(error.find(part) != std::string::npos);
}

MemoryFile::MemoryFile() : fd_(memfd_create("weights", MFD_CLOEXEC)) {}
MemoryFile::~MemoryFile() { close(fd_); }
std::string MemoryFile::path() const { return fmt::format("/proc/self/fd/{}", fd_); }
void MemoryFile::write(const std::string& bytes) {
  bool written = ftruncate(fd_, 0) == 0 &&
                 pwrite(fd_, bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size());
  REQUIRE(written);
}

void fuzz(const std::string& content, const Graph& graph, int rounds) {
  std::mt19937_64 random(42);
  MemoryFile file;
  auto try_open = [&](const std::string& bytes) {
    file.write(bytes);
    return static_cast<bool>(open_weights(file.path(), graph));
  };
  REQUIRE(try_open(content));
  size_t accepted = 0;
  for (size_t size = 0; size < content.size(); size += 1 + content.size() / static_cast<size_t>(rounds))
    accepted += try_open(content.substr(0, size));
  CHECK(accepted == 0);
  for (int round = 0; round < rounds; ++round) {
    std::string bytes = content;
    for (uint64_t flips = 1 + random() % 3; flips > 0; --flips)
      bytes[random() % bytes.size()] ^= static_cast<char>(1 << random() % 8);
    try_open(bytes);
  }
  for (int round = 0; round < rounds / 3; ++round) {
    std::string bytes = content;
    size_t at = random() % bytes.size();
    bytes.replace(at, random() % 16, std::string(random() % 16, static_cast<char>(random())));
    try_open(bytes);
  }
}

std::string fixture(const std::string& name) { return std::string(FIXTURES) + "/" + name; }

void check_counts(const std::string& path, const Weights& weights) {
  INFO(path);
  auto store = open_weights(path, weights_only(weights));
  if (!store) FAIL(store.error().render(SourceMap()));
  float next = 1;
  for (const auto& [name, weight] : weights) {
    INFO(name);
    std::vector<float> expected(static_cast<size_t>(weight.shape.elements()));
    std::iota(expected.begin(), expected.end(), next);
    next += static_cast<float>(expected.size());
    const StoredTensor* tensor = (*store)->find(name);
    REQUIRE(tensor);
    CHECK(tensor->type.shape == weight.shape);
    CHECK(to_floats(*tensor) == expected);
  }
}

}  // namespace cardinal::testing
