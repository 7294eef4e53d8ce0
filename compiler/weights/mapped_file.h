// A file mapped read-only.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "ir/result.h"

namespace cardinal {

class MappedFile {
 public:
  // Fails for what cannot be opened or is not a regular file, naming it. An empty file is an empty span.
  static Result<MappedFile> open(const std::string& path);
  // The file behind an open descriptor, which remains the caller's.
  static Result<MappedFile> map(int fd, const std::string& name);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  MappedFile(const std::byte* data, size_t size) : data_(data), size_(size) {}
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace cardinal
