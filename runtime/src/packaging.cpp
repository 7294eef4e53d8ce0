#include <cardinal/abi.h>
#include <cardinal/hash.h>
#include <cardinal/packaging.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "runtime/src/mapped_file.h"

namespace cardinal {

namespace {

// Whether every byte was written; errno says why not.
bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

Error cannot_write(const std::string& path, int error_number) {
  return Error(path + ": cannot write: " + runtime::system_message(error_number));
}

// Writes and closes; 0 or the error number.
int write_and_close(int fd, std::span<const std::string_view> pieces) {
  const bool written =
      std::all_of(pieces.begin(), pieces.end(), [&](auto piece) { return write_all(fd, piece); });
  const int write_error = written ? 0 : errno;
  const int close_error = ::close(fd) == 0 ? 0 : errno;
  return write_error ? write_error : close_error;
}

// The file that a symbolic link stands for, so that replacing it leaves the link in place.
std::string resolve(const std::string& path) {
  char* resolved = realpath(path.c_str(), nullptr);
  std::string result = resolved ? resolved : path;
  std::free(resolved);
  return result;
}

template <class T>
std::string_view bytes_of(const T& object) {
  return {reinterpret_cast<const char*>(&object), sizeof object};
}

}  // namespace

Expected<void> write_file(const std::string& path, std::span<const std::string_view> pieces) {
  static std::atomic<unsigned> calls{0};
  struct stat existing = {};
  const bool exists = stat(path.c_str(), &existing) == 0;
  if (exists && S_ISDIR(existing.st_mode)) return Error(path + ": cannot write: is a directory");
  if (exists && !S_ISREG(existing.st_mode)) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    const int error_number = fd < 0 ? errno : write_and_close(fd, pieces);
    return error_number ? cannot_write(path, error_number) : Expected<void>();
  }
  const std::string target = resolve(path);
  const std::string temporary = target + ".tmp" + std::to_string(getpid()) + "." + std::to_string(calls++);
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return cannot_write(path, errno);
  int error_number = write_and_close(fd, pieces);
  if (!error_number && std::rename(temporary.c_str(), target.c_str()) != 0) error_number = errno;
  if (!error_number) return {};
  unlink(temporary.c_str());
  return cannot_write(path, error_number);
}

Expected<void> append_trailer(const std::string& path, std::string_view symbol) {
  cardinal_trailer trailer = {};
  if (symbol.empty() || symbol.size() >= sizeof trailer.symbol) {
    return Error(path + ": a model symbol has 1 to " + std::to_string(sizeof trailer.symbol - 1) +
                 " characters, this one " + std::to_string(symbol.size()) +
                 "; choose a shorter network name");
  }
  auto image = runtime::MappedFile::open(path, "a linked shared object");
  if (!image) return image.error();
  std::memcpy(trailer.magic, CARDINAL_TRAILER_MAGIC, sizeof trailer.magic);
  trailer.abi_version = CARDINAL_ABI_VERSION;
  trailer.trailer_bytes = sizeof trailer;
  trailer.file_bytes = image->size() + sizeof trailer;
  trailer.image_hash = hash_bytes(image->data(), image->size());
  symbol.copy(trailer.symbol, symbol.size());

  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (fd < 0) return cannot_write(path, errno);
  const std::string_view pieces[] = {bytes_of(trailer)};
  const int error_number = write_and_close(fd, pieces);
  if (!error_number) return {};
  if (truncate(path.c_str(), static_cast<off_t>(image->size())) != 0) unlink(path.c_str());
  return cannot_write(path, error_number);
}

Expected<void> write_weights_file(const std::string& path, std::span<const std::byte> packed,
                                  uint64_t model_hash, const CompactWeights* compact) {
  const auto bytes = [](auto span) {
    return std::string_view(reinterpret_cast<const char*>(span.data()), span.size_bytes());
  };
  const std::string_view stored = compact ? bytes(std::span(compact->stored)) : bytes(packed);
  const std::string_view forms = compact ? bytes(std::span(compact->forms)) : std::string_view();
  cardinal_weights_header header = {};
  std::memcpy(header.magic, CARDINAL_WEIGHTS_MAGIC, sizeof header.magic);
  header.abi_version = CARDINAL_ABI_VERSION;
  header.header_bytes = CARDINAL_WEIGHTS_OFFSET;
  header.weights_bytes = packed.size_bytes();
  header.weights_hash = hash_bytes(packed.data(), packed.size_bytes());
  header.model_hash = model_hash;
  header.stored_bytes = stored.size();
  header.stored_hash = hash_bytes(forms.data(), forms.size(), hash_bytes(stored.data(), stored.size()));
  header.form_count = compact ? compact->forms.size() : 0;
  const std::string padding(CARDINAL_WEIGHTS_OFFSET - sizeof header, '\0');
  const std::string_view pieces[] = {bytes_of(header), padding, stored, forms};
  return write_file(path, pieces);
}

}  // namespace cardinal
