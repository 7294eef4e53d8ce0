#pragma once

#include <string>

#include "ir/result.h"

namespace cardinal {

// "libnvJitLink.so.13", if the dynamic loader finds it; else "".
std::string find_nvjitlink();
bool is_nvjitlink(const std::string& path);
// The cubin that this library makes of PTX for `arch`.
Result<std::string> assemble_by_nvjitlink(const std::string& path, const std::string& arch,
                                          const std::string& ptx);

}  // namespace cardinal
