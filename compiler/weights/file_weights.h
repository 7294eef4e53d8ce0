// Weights that came out of a file: views into its mapping, or buffers owned beside them.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "compiler/weights/mapped_file.h"
#include "ir/weights.h"

namespace cardinal {

class FileWeights final : public WeightStore {
 public:
  FileWeights(std::string path, MappedFile file) : path_(std::move(path)), file_(std::move(file)) {}

  std::span<const std::byte> file() const { return file_.bytes(); }
  // False if the name is taken.
  bool add(std::string name, StoredTensor tensor) {
    return entries_.emplace(std::move(name), Entry{tensor, {}}).second;
  }
  bool add_unusable(std::string name, std::string why) {
    return entries_.emplace(std::move(name), Entry{{}, std::move(why)}).second;
  }
  // Keeps a buffer for as long as the store lives.
  std::span<const std::byte> keep(std::vector<std::byte> bytes) {
    return buffers_.emplace_back(std::move(bytes));
  }

  const StoredTensor* find(std::string_view name) const override {
    auto it = entries_.find(name);
    return it == entries_.end() || !it->second.unusable.empty() ? nullptr : &it->second.tensor;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, entry] : entries_) out.push_back(name);
    return out;
  }
  std::string unusable(std::string_view name) const override {
    auto it = entries_.find(name);
    return it == entries_.end() ? std::string() : it->second.unusable;
  }
  std::string describe() const override { return path_; }

 private:
  struct Entry {
    StoredTensor tensor;
    std::string unusable;
  };
  std::string path_;
  MappedFile file_;
  std::vector<std::vector<std::byte>> buffers_;
  std::map<std::string, Entry, std::less<>> entries_;
};

// Names go into error messages as they are, so they must be short and printable.
inline constexpr size_t kMaxNameBytes = 512;
inline bool is_tensor_name(std::string_view name) {
  auto printable = [](unsigned char c) { return c >= 0x20 && c != 0x7f; };
  return name.size() <= kMaxNameBytes && std::all_of(name.begin(), name.end(), printable);
}

// The shape, or why it cannot be a weight's. `dims` come from a file and may be anything.
struct StoredShape {
  Shape shape;
  std::string problem;
};
inline StoredShape stored_shape(const std::vector<uint64_t>& dims) {
  if (dims.size() > Shape::kMaxRank)
    return {{}, fmt::format("it has rank {}, expected at most {}", dims.size(), int{Shape::kMaxRank})};
  std::vector<int64_t> signed_dims;
  uint64_t elements = 1;
  for (uint64_t dim : dims) {
    if (dim > static_cast<uint64_t>(kMaxDim))
      return {{}, fmt::format("it has a dimension of {}, expected at most {}", dim, kMaxDim)};
    elements *= dim;
    if (elements > static_cast<uint64_t>(kMaxElements))
      return {{}, fmt::format("it has {} elements or more, expected at most {}", elements, kMaxElements)};
    signed_dims.push_back(static_cast<int64_t>(dim));
  }
  return {Shape(signed_dims), {}};
}

}  // namespace cardinal
