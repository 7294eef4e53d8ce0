// NVIDIA's assemblers, where there is one: the program ptxas, and the library nvJitLink, which Python
// packages bring without a toolkit.
#pragma once

#include <string>

#include "ir/result.h"

namespace cardinal {

// The cubin of PTX for `arch`, e.g. sm_90a. `assembler`: the path of a program that is called as ptxas is, or
// what the dynamic loader takes for a library whose file's name begins with libnvJitLink.
Result<std::string> assemble_ptx(const std::string& assembler, const std::string& arch,
                                 const std::string& ptx);

}  // namespace cardinal
