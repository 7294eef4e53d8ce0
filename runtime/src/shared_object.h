// A compiled network's shared object in this process.
#pragma once

#include <cardinal/abi.h>

#include <string>

#include "runtime/src/mapped_file.h"

namespace cardinal::runtime {

class SharedObject {
 public:
  SharedObject() = default;
  // `checked` is the mapping of the same file that has been verified.
  static Expected<SharedObject> open(const std::string& path, const MappedFile& checked);
  SharedObject(SharedObject&& other) noexcept { *this = std::move(other); }
  SharedObject& operator=(SharedObject&& other) noexcept;
  ~SharedObject();

  // The data object `symbol`, which must be large enough for a cardinal_model; nothing in it is checked.
  Expected<const cardinal_model*> find_model(const std::string& symbol) const;

 private:
  std::string path_;
  void* handle_ = nullptr;
};

}  // namespace cardinal::runtime
