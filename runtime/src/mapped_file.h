// A file mapped read-only, and anonymous memory with large pages.
#pragma once

#include <cardinal/expected.h>
#include <sys/stat.h>

#include <cstddef>
#include <string>

namespace cardinal::runtime {

class MappedFile {
 public:
  MappedFile() = default;
  // Only regular files that are not empty. `what` names the kind of file in messages, e.g. "a weight file".
  static Expected<MappedFile> open(const std::string& path, const std::string& what);
  MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const unsigned char* data() const { return data_; }
  size_t size() const { return size_; }
  // Whether `path` still names the file that was mapped, unchanged.
  bool is_still(const std::string& path) const;
  // Starts reading ahead.
  void will_need() const;

 private:
  const unsigned char* data_ = nullptr;
  size_t size_ = 0;
  struct stat identity_ = {};
};

// Zeroed memory aligned to a page, or to 2 MiB and in 2 MiB pages where the kernel has them when it is that
// large.
class Arena {
 public:
  Arena() = default;
  static Expected<Arena> allocate(size_t bytes, const std::string& what);
  Arena(Arena&& other) noexcept { *this = std::move(other); }
  Arena& operator=(Arena&& other) noexcept;
  ~Arena();

  void* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void* mapping_ = nullptr;
  size_t mapping_bytes_ = 0;
  void* data_ = nullptr;
  size_t size_ = 0;
};

// "cannot open: no such file", from errno's number.
std::string system_message(int error_number);

}  // namespace cardinal::runtime
