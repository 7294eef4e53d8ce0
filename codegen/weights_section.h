// The weights' section of an object file, .cardinal.weights. LLVM would copy hundreds of megabytes several
// times on their way through it, so it writes a section without bytes, and its header is made one of bytes
// that come after the file.
#pragma once

#include <string>

#include "ir/result.h"

namespace cardinal {

// What LLVM is to call it: by the beginning of the name it knows that there are no bytes.
inline constexpr const char* kEmptyWeightsSection = ".bss.cardinal.weights";

// Makes that section of an ELF object one of read-only bytes that come right after `object`, which is filled
// up to a cache line.
Status put_weights_behind(std::string& object);

}  // namespace cardinal
