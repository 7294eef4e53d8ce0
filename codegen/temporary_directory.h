#pragma once

#include <string>

#include "ir/result.h"

namespace cardinal {

// A directory of its own in the system's place for them, removed with all that it holds.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  Status made() const;  // to be asked before anything else
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace cardinal
