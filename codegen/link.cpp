// Linking with lld in process: users need neither a compiler nor a linker.
#include <cardinal/packaging.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <lld/Common/Driver.h>
#include <llvm/Support/raw_ostream.h>

#include "codegen/codegen.h"

LLD_HAS_DRIVER(elf)

namespace cardinal {

namespace {

// A file without a name, which lld reads through /proc: it cannot be left behind.
class AnonymousFile {
 public:
  explicit AnonymousFile(const FilePieces& content) : fd_(memfd_create("cardinal-object", MFD_CLOEXEC)) {
    complete_ = fd_ >= 0 && std::all_of(content.begin(), content.end(),
                                        [this](std::string_view piece) { return append(piece); });
  }
  ~AnonymousFile() {
    if (fd_ >= 0) close(fd_);
  }
  AnonymousFile(const AnonymousFile&) = delete;
  AnonymousFile& operator=(const AnonymousFile&) = delete;

  bool complete() const { return complete_; }
  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  bool append(std::string_view piece) const {
    while (!piece.empty()) {
      const ssize_t written = write(fd_, piece.data(), piece.size());
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return false;
      piece.remove_prefix(static_cast<size_t>(written));
    }
    return true;
  }

  int fd_;
  bool complete_ = false;
};

// Removes the file unless it has been renamed away.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::string path) : path_(std::move(path)) {}
  ~TemporaryFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Whether a shared object of about `bytes` can appear at `path`; asked first, so that the linker's own words
// are only needed for bugs, and because on a full disk lld ends the process.
Status check_destination(const std::filesystem::path& path, size_t bytes) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    return Diagnostics(fmt::format("cannot write '{}': it exists and is not a regular file", path.string()));
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
  if (!std::filesystem::is_directory(directory, error))
    return Diagnostics(
        fmt::format("cannot write '{}': there is no directory '{}'", path.string(), directory.string()));
  if (access(directory.c_str(), W_OK | X_OK) != 0)
    return Diagnostics(fmt::format("cannot write '{}': {}", path.string(), std::strerror(errno)));
  constexpr uintmax_t kSlack = 64 << 10;  // headers, symbol tables and the alignment of segments
  const std::filesystem::space_info space = std::filesystem::space(directory, error);
  const size_t needed = bytes + kSlack;
  if (!error && space.available < needed)
    return Diagnostics(fmt::format("cannot write '{}': it takes {} bytes and the disk has {} left",
                                   path.string(), needed, space.available));
  return ok();
}

Status run_linker(const std::string& object, const std::string& soname, const std::string& path) {
  // -z defs: generated code calls no library. The linker's output does not depend on the number of its
  // threads, but one is enough, and leaves none behind in this process.
  const char* arguments[] = {"ld.lld",
                             "-shared",
                             "-z",
                             "defs",
                             "-z",
                             "relro",
                             "-z",
                             "now",
                             "--hash-style=gnu",
                             "--build-id=none",
                             "--threads=1",
                             "--no-mmap-output-file",
                             "-soname",
                             soname.c_str(),
                             "-o",
                             path.c_str(),
                             object.c_str()};
  std::string messages;
  llvm::raw_string_ostream stream(messages);
  const lld::Result result = lld::lldMain(arguments, stream, stream, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode == 0) return ok();
  while (!messages.empty() && messages.back() == '\n') messages.pop_back();
  return Diagnostics(fmt::format("cannot link '{}': {}", path, messages));
}

}  // namespace

Status link_shared(const FilePieces& object, const std::string& symbol, const std::string& path) {
  size_t bytes = 0;
  for (std::string_view piece : object) bytes += piece.size();
  if (Status status = check_destination(path, bytes); !status) return status;
  const AnonymousFile input(object);
  if (!input.complete()) return Diagnostics(fmt::format("cannot link '{}': {}", path, std::strerror(errno)));

  const std::string soname = std::filesystem::path(path).filename().string();
  const TemporaryFile output(fmt::format("{}.{}.tmp", path, getpid()));
  if (Status status = run_linker(input.path(), soname, output.path()); !status) return status;
  if (Expected<void> done = append_trailer(output.path(), symbol + "_cardinal_model"); !done)
    return Diagnostics(done.error().message());
  std::error_code error;
  std::filesystem::rename(output.path(), path, error);
  if (error) return Diagnostics(fmt::format("cannot write '{}': {}", path, error.message()));
  return ok();
}

}  // namespace cardinal
