// One line on a terminal while a step takes long.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace cardinal::driver {

// Shows the step and its seconds on stderr from the first second on, if stderr is a terminal; clears the line
// when it goes out of scope.
class Progress {
 public:
  explicit Progress(std::string step);
  ~Progress();
  void say(std::string step);  // from now on
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  void show();
  std::string step_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
  std::thread thread_;
};

}  // namespace cardinal::driver
