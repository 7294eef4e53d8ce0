#include "codegen/nvptx/assembler.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "codegen/codegen.h"
#include "codegen/nvptx/nvjitlink.h"
#include "codegen/temporary_directory.h"

extern char** environ;

namespace cardinal {

namespace {

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// 0 if the program could be run and exited with success; what it printed goes to `log`.
int run(const std::vector<std::string>& words, const std::string& log) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
  pid_t process = 0;
  const int failed = posix_spawn(&process, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed) {
    std::ofstream(log) << std::strerror(failed);
    return failed;
  }
  int status = 0;
  while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

std::string find_assembler() {
  const char* path = std::getenv("PATH");
  for (std::string_view rest = path ? path : ""; !rest.empty();) {
    const size_t end = std::min(rest.find(':'), rest.size());
    const std::filesystem::path file = std::filesystem::path(rest.substr(0, end)) / "ptxas";
    if (access(file.c_str(), X_OK) == 0) return file.string();
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return find_nvjitlink();
}

Result<std::string> assemble_ptx(const std::string& assembler, const std::string& arch,
                                 const std::string& ptx) {
  if (is_nvjitlink(assembler)) return assemble_by_nvjitlink(assembler, arch, ptx);
  const TemporaryDirectory directory;
  if (Status made = directory.made(); !made) return made.take_error();
  const std::string source = directory.file("kernels.ptx"), cubin = directory.file("kernels.cubin");
  std::ofstream file(source, std::ios::binary);
  file << ptx;
  file.close();
  if (!file) return Diagnostics(fmt::format("cannot write {}", source));
  const std::string log = directory.file("log");
  if (run({assembler, "-arch=" + arch, "-O3", "-o", cubin, source}, log) != 0)
    return Diagnostics(
        fmt::format("{} cannot assemble the kernels for {}: {}", assembler, arch, read_file(log)));
  return read_file(cubin);
}

}  // namespace cardinal
