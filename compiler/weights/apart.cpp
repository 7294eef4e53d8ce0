#include "compiler/weights/apart.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <span>
#include <utility>

namespace cardinal {

namespace {

constexpr int kRefused = 3;  // the exit status with a message; sanitizers and crashes leave others
// A message longer than a pipe's buffer would block its writer.
constexpr size_t kMaxMessage = 4096;

Diagnostics system_failure(std::string_view what) {
  return Diagnostics(fmt::format("{} failed: {}", what, std::strerror(errno)));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close_now(); }
  int fd() const { return fd_; }
  void close_now() {
    if (fd_ >= 0) close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

bool write_all(int fd, std::span<const std::byte> content) {
  while (!content.empty()) {
    ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    content = content.subspan(static_cast<size_t>(written));
  }
  return true;
}

// Limits growth from here on: what the parent has mapped already, such as a sanitizer's shadow, is no part of
// it.
void apply(const ApartLimits& limits) {
  std::ifstream statm("/proc/self/statm");
  uint64_t total = 0, resident = 0, shared = 0, text = 0, library = 0, data = 0;
  statm >> total >> resident >> shared >> text >> library >> data;
  auto set = [](auto resource, uint64_t value) {
    rlimit limit{value, value};
    setrlimit(resource, &limit);
  };
  set(RLIMIT_CORE, 0);
  set(RLIMIT_CPU, static_cast<uint64_t>(limits.seconds));
  set(RLIMIT_DATA, data * static_cast<uint64_t>(getpagesize()) + static_cast<uint64_t>(limits.bytes));
}

[[noreturn]] void run_child(const ApartLimits& limits, const std::function<std::string(int)>& work, int out,
                            int messages) {
  // The parent's handlers would speak for the parent.
  for (int signal_number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGXCPU})
    signal(signal_number, SIG_DFL);
  // What a dying library or sanitizer prints would mean nothing to the user.
  int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  if (null >= 0) dup2(null, STDERR_FILENO);
  apply(limits);
  std::string problem = work(out);
  problem.resize(std::min(problem.size(), kMaxMessage));
  write_all(messages, std::as_bytes(std::span(problem)));
  _exit(problem.empty() ? 0 : kRefused);
}

std::string read_message(int fd) {
  std::array<char, kMaxMessage> buffer;
  std::string out;
  while (out.size() < kMaxMessage) {
    ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    out.append(buffer.data(), static_cast<size_t>(got));
  }
  return out;
}

// "" or why the process did not finish its work.
std::string ending(int status, const std::string& message) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFEXITED(status) && WEXITSTATUS(status) == kRefused && !message.empty()) return message;
  std::string how = WIFSIGNALED(status) ? fmt::format("signal {}", WTERMSIG(status))
                                        : fmt::format("exit status {}", WEXITSTATUS(status));
  return fmt::format("the process that read it died ({}); the file is damaged", how);
}

}  // namespace

Result<MappedFile> run_apart(const ApartLimits& limits, const std::function<std::string(int fd)>& work) {
  Descriptor out(memfd_create("cardinal", MFD_CLOEXEC));
  if (out.fd() < 0) return system_failure("memfd_create");
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) != 0) return system_failure("pipe");
  Descriptor messages(pipe_ends[0]), to_messages(pipe_ends[1]);
  pid_t child = fork();
  if (child < 0) return system_failure("fork");
  if (child == 0) run_child(limits, work, out.fd(), to_messages.fd());
  to_messages.close_now();
  std::string message = read_message(messages.fd());
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) return system_failure("waitpid");
  if (std::string problem = ending(status, message); !problem.empty()) return Diagnostics(problem);
  return MappedFile::map(out.fd(), "memory");
}

}  // namespace cardinal
