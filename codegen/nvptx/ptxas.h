// NVIDIA's assembler, where there is one.
#pragma once

#include <string>

#include "ir/result.h"

namespace cardinal {

// Runs the program at `ptxas` (a path) on PTX; the cubin for `arch`, e.g. sm_90a.
Result<std::string> assemble_ptx(const std::string& ptxas, const std::string& arch, const std::string& ptx);

}  // namespace cardinal
