#include "tests/aarch64/emulated_network.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>

#include "tests/support/compile_and_run.h"

namespace cardinal::testing {

bool can_emulate_aarch64() {
  const bool can = std::string_view(NETWORK_RUNNER) != "";
  if (!can)
    WARN(
        "skipped: code for AArch64 is run where qemu-aarch64 and aarch64-linux-gnu-g++ are installed "
        "(./setup.sh --with-aarch64)");
  return can;
}

// The protocol is that of runner/network_runner.cpp: a line for each command, a line for each answer.
struct EmulatedNetwork::Process {
  ScratchDirectory directory;
  std::span<float> memory;
  pid_t id = -1;
  FILE *commands = nullptr, *answers = nullptr;

  ~Process() {
    if (commands) fclose(commands);
    if (answers) fclose(answers);
    if (id > 0) waitpid(id, nullptr, 0);
    if (!memory.empty()) munmap(memory.data(), memory.size_bytes());
  }

  // A file that both processes map.
  bool make_memory(size_t floats) {
    const int file = open(memory_path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const size_t bytes = floats * sizeof(float);
    if (file < 0 || ftruncate(file, static_cast<off_t>(bytes)) != 0) return false;
    void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) return false;
    memory = {static_cast<float*>(mapped), floats};
    return true;
  }
  std::string memory_path() const { return directory.file("memory"); }

  bool spawn(const std::string& shared_object) {
    std::array<int, 2> to{}, from{};
    if (pipe2(to.data(), O_CLOEXEC) != 0 || pipe2(from.data(), O_CLOEXEC) != 0) return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from[1], STDOUT_FILENO);
    std::string words[] = {QEMU_AARCH64, "-L", AARCH64_SYSROOT, NETWORK_RUNNER, shared_object, memory_path()};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    const int failed = posix_spawn(&id, QEMU_AARCH64, &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    commands = fdopen(to[1], "w");
    answers = fdopen(from[0], "r");
    if (failed) id = -1;
    return !failed;
  }

  // Waits for what the process says next, which is "done" or a problem.
  Status answer() {
    std::string text;
    int c;
    while ((c = std::fgetc(answers)) != EOF && c != '\n') text += static_cast<char>(c);
    if (text == "done") return ok();
    return Diagnostics(text.empty() ? "the emulated process has ended" : text);
  }

  Status command(const std::string& line) {
    std::fputs(line.c_str(), commands);
    std::fflush(commands);
    return answer();
  }
};

Result<EmulatedNetwork> EmulatedNetwork::load(const std::string& shared_object, size_t memory_floats) {
  auto process = std::make_shared<Process>();
  if (!process->make_memory(memory_floats)) return Diagnostics("no memory to share with an emulated process");
  if (!process->spawn(shared_object)) return Diagnostics("cannot start " QEMU_AARCH64);
  if (Status loaded = process->answer(); !loaded) return loaded.take_error();
  return EmulatedNetwork(std::move(process));
}

std::span<float> EmulatedNetwork::memory() const { return process_->memory; }

Status EmulatedNetwork::run_steps(size_t first, size_t last, int64_t grain) {
  return process_->command(fmt::format("steps {} {} {}\n", first, last, grain));
}

Status EmulatedNetwork::run(int threads) { return process_->command(fmt::format("run {}\n", threads)); }

}  // namespace cardinal::testing
