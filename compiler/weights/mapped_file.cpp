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

Result<MappedFile> MappedFile::open(const std::string& path) {
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("cannot read {}: {}", path, why));
  };
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failure(std::strerror(errno));
  struct stat info{};
  bool is_file = fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
  auto size = static_cast<size_t>(is_file ? info.st_size : 0);
  void* data = size ? mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : nullptr;
  int map_error = errno;
  ::close(fd);
  if (!is_file) return failure(S_ISDIR(info.st_mode) ? "it is a directory" : "it is not a regular file");
  if (data == MAP_FAILED) return failure(std::strerror(map_error));
  return MappedFile(static_cast<const std::byte*>(data), size);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace cardinal
