#include "codegen/temporary_directory.h"

#include <stdlib.h>

#include <filesystem>

namespace cardinal {

TemporaryDirectory::TemporaryDirectory() {
  std::error_code ignored;
  std::string pattern = (std::filesystem::temp_directory_path(ignored) / "cardinal-XXXXXX").string();
  if (mkdtemp(pattern.data())) path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

Status TemporaryDirectory::made() const {
  if (!path_.empty()) return ok();
  return Diagnostics("cannot make a temporary directory; is TMPDIR writable?");
}

}  // namespace cardinal
