#include "tests/fake_cuda/state.h"

#include <algorithm>

namespace fake_cuda {

State& state() {
  static State the_state;
  return the_state;
}

std::string register_code(std::string_view image, std::string_view llvm_ir) {
  auto kernels = cardinal::simt::Module::load(llvm_ir);
  if (!kernels) return kernels.error().list().front().message;
  const std::scoped_lock lock(state().mutex);
  state().registered[std::string(image)] = std::make_shared<Code>(Code{*std::move(kernels)});
  return "";
}

Settings& settings() { return state().settings; }

std::vector<std::string> calls() {
  const std::scoped_lock lock(state().mutex);
  return state().calls;
}

void fail_call(size_t n, int result) {
  const std::scoped_lock lock(state().mutex);
  state().failure = {n, result};
}

void reset() {
  const std::scoped_lock lock(state().mutex);
  state().settings = {};
  state().calls.clear();
  state().kernels.clear();
  state().failure.reset();
  state().sticky = kSuccess;
  state().kernel_error.clear();
}

std::string leaks() {
  const std::scoped_lock lock(state().mutex);
  const State& s = state();
  std::string text;
  const auto count = [&](size_t n, const char* what) {
    if (n) text += (text.empty() ? "" : ", ") + std::to_string(n) + " " + what;
  };
  count(static_cast<size_t>(s.contexts), "contexts");
  count(s.memory.size(), "allocations");
  count(s.modules.size(), "modules");
  count(s.streams.size(), "streams");
  count(s.events.size(), "events");
  count(s.graphs.size(), "graphs");
  count(s.executables.size(), "executable graphs");
  return text;
}

std::string kernel_error() {
  const std::scoped_lock lock(state().mutex);
  return state().kernel_error;
}

std::vector<std::string> kernels_run() {
  const std::scoped_lock lock(state().mutex);
  return state().kernels;
}

size_t bytes_behind(uint64_t address) {
  auto next = state().sizes.upper_bound(address);
  if (next == state().sizes.begin()) return 0;
  const auto& [begin, bytes] = *std::prev(next);
  return address < begin + bytes ? begin + bytes - address : 0;
}

Result run_kernel(const Launch& launch) {
  State& s = state();
  std::vector<cardinal::simt::Argument> arguments;
  for (uint64_t address : launch.parameters)
    arguments.push_back({reinterpret_cast<void*>(address), bytes_behind(address)});
  s.kernels.push_back(launch.function->name);
  const auto schedule = cardinal::simt::kSchedules.at(static_cast<size_t>(s.settings.schedule));
  const auto done = launch.function->code->kernels.run({.kernel = launch.function->name,
                                                        .grid = launch.grid,
                                                        .block = launch.block,
                                                        .shared_bytes = launch.shared_bytes,
                                                        .arguments = arguments,
                                                        .schedule = schedule});
  if (done) return kSuccess;
  s.kernel_error = done.error().list().front().message;
  return s.sticky = kIllegalAddress;
}

Result finish(Stream& stream) {
  const auto work = std::move(stream.work);
  stream.work.clear();
  for (const auto& item : work)
    if (state().sticky == kSuccess) item();
  return state().sticky;
}

Result finish_all() {
  finish(state().default_stream);
  for (const auto& stream : state().streams) finish(*stream);
  return state().sticky;
}

}  // namespace fake_cuda
