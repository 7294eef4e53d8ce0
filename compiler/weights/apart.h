// Work on hostile input with a library that may crash on it: in a process of its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "compiler/weights/mapped_file.h"

namespace cardinal {

struct ApartLimits {
  int64_t bytes = 0;    // that it may allocate
  int64_t seconds = 0;  // of processor time
};

// Runs `work` in a forked process and returns what that wrote into the file whose descriptor it is given.
// `work` says
// "" or what is wrong, which becomes the error; so does the process's end by a signal or by a limit. It
// leaves no core.
Result<MappedFile> run_apart(const ApartLimits& limits, const std::function<std::string(int fd)>& work);

}  // namespace cardinal
