#include "compiler/weights/mapped_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace cardinal {

namespace {

Diagnostics failure(const std::string& name, std::string_view why) {
  return Diagnostics(fmt::format("cannot read {}: {}", name, why));
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failure(path, std::strerror(errno));
  Result<MappedFile> mapped = map(fd, path);
  ::close(fd);
  return mapped;
}

Result<MappedFile> MappedFile::map(int fd, const std::string& name) {
  struct stat info{};
  bool is_file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  if (!is_file)
    return failure(name, S_ISDIR(info.st_mode) ? "it is a directory" : "it is not a regular file");
  auto size = static_cast<size_t>(info.st_size);
  void* data = size ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  if (data == MAP_FAILED) return failure(name, std::strerror(errno));
  return MappedFile(static_cast<const std::byte*>(data), size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace cardinal
