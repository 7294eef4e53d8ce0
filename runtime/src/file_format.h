// Checking the two file formats of abi.h before anything in them is used.
#pragma once

#include <cardinal/abi.h>

#include <string>

#include "runtime/src/mapped_file.h"

namespace cardinal::runtime {

// Checks the trailer of a shared object, and its hash if asked; returns the symbol of its cardinal_model.
Expected<std::string> check_trailer(const MappedFile& file, const std::string& path, bool verify_hash);

// Whether the code of a shared object is for the machine that this program was compiled for.
Expected<void> check_machine(const MappedFile& file, const std::string& path);

// The packed weights: mapped, or formed in memory of this process from a compact file.
struct LoadedWeights {
  MappedFile file;
  Arena formed;
  const void* data = nullptr;
};

// Opens the weight file of `model` and checks that it belongs to it.
Expected<LoadedWeights> open_weights(const cardinal_model& model, const std::string& path, bool verify_hash);

}  // namespace cardinal::runtime
