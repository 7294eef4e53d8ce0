#include "runtime/src/mapped_file.h"

#include <cardinal/abi.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>
#include <utility>

namespace cardinal::runtime {

namespace {
constexpr size_t kHugePage = size_t{2} << 20;

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}
}  // namespace

std::string system_message(int error_number) { return std::generic_category().message(error_number); }

Expected<MappedFile> MappedFile::open(const std::string& path, const std::string& what) {
  // O_NONBLOCK: opening a pipe without a writer would wait forever.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return Error(path + ": cannot open " + what + ": " + system_message(errno));
  MappedFile file;
  const bool known = fstat(fd, &file.identity_) == 0;
  const int stat_error = errno;
  std::string problem;
  if (!known) {
    problem = ": cannot examine the file: " + system_message(stat_error);
  } else if (!S_ISREG(file.identity_.st_mode)) {
    problem = S_ISDIR(file.identity_.st_mode) ? ": is a directory, not " + what
                                              : ": is not a regular file, let alone " + what;
  } else if (file.identity_.st_size == 0) {
    problem = ": is empty, not " + what;
  } else {
    file.size_ = static_cast<size_t>(file.identity_.st_size);
    void* data = mmap(nullptr, file.size_, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) {
      problem = ": cannot map " + std::to_string(file.size_) + " bytes: " + system_message(errno);
    } else {
      file.data_ = static_cast<const unsigned char*>(data);
    }
  }
  ::close(fd);
  if (!problem.empty()) return Error(path + problem);
  return file;
}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(identity_, other.identity_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_) munmap(const_cast<unsigned char*>(data_), size_);
}

bool MappedFile::is_still(const std::string& path) const {
  struct stat now = {};
  return stat(path.c_str(), &now) == 0 && same_file(now, identity_);
}

void MappedFile::will_need() const { madvise(const_cast<unsigned char*>(data_), size_, MADV_WILLNEED); }

Expected<Arena> Arena::allocate(size_t bytes, const std::string& what) {
  Arena arena;
  if (bytes == 0) return arena;
  const bool huge = bytes >= kHugePage;
  // The last page too is a whole one, or it would be many small ones.
  const size_t usable = huge ? (bytes + kHugePage - 1) / kHugePage * kHugePage : bytes;
  arena.mapping_bytes_ = usable + (huge ? kHugePage : 0);
  void* mapping =
      mmap(nullptr, arena.mapping_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED) {
    return Error("cannot allocate " + std::to_string(bytes) + " bytes for " + what + ": " +
                 system_message(errno));
  }
  const size_t alignment = huge ? kHugePage : CARDINAL_ALIGNMENT;
  const auto address = (reinterpret_cast<uintptr_t>(mapping) + alignment - 1) / alignment * alignment;
  arena.mapping_ = mapping;
  arena.data_ = reinterpret_cast<void*>(address);
  arena.size_ = bytes;
  if (huge) madvise(arena.data_, usable, MADV_HUGEPAGE);
  return arena;
}

Arena& Arena::operator=(Arena&& other) noexcept {
  std::swap(mapping_, other.mapping_);
  std::swap(mapping_bytes_, other.mapping_bytes_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Arena::~Arena() {
  if (mapping_) munmap(mapping_, mapping_bytes_);
}

}  // namespace cardinal::runtime
