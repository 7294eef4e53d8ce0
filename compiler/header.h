// The C and C++ header that goes with a compiled network.
#pragma once

#include <cardinal/abi.h>

#include <string>

namespace cardinal {

// The text of NAME.h: constexpr shapes, sizes and hashes, and the declarations of NAME_cardinal_model and
// NAME_run, for C11 and C++17; docs/embedding.md shows one. Everything but `steps`, `run` and `weights` of
// the model must be filled in; weights_file tells whether a run is given the weights by the caller. The name
// must be a C identifier. Names that C++ cannot spell (keywords, foreign characters, repetitions) get
// underscores.
std::string generate_header(const cardinal_model& model);

}  // namespace cardinal
