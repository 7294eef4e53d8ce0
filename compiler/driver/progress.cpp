#include "compiler/driver/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace cardinal::driver {

Progress::Progress(std::string step) : step_(std::move(step)) {
  if (isatty(STDERR_FILENO)) thread_ = std::thread([this] { show(); });
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    done_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Progress::say(std::string step) {
  std::lock_guard lock(mutex_);
  step_ = std::move(step);
}

void Progress::show() {
  constexpr std::string_view kClearLine = "\r\x1b[K";
  std::unique_lock lock(mutex_);
  for (int seconds = 1; !changed_.wait_for(lock, std::chrono::seconds(1), [this] { return done_; });
       ++seconds)
    fmt::print(stderr, "{}{} ... {} s", kClearLine, step_, seconds);
  fmt::print(stderr, "{}", kClearLine);
}

}  // namespace cardinal::driver
