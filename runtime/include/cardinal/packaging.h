// Writing what the runtime reads: the compiler's side of the file formats in abi.h.
//
// Nothing half-written is left behind: files appear under their name complete or not at all.
#pragma once

#include <cardinal/abi.h>
#include <cardinal/expected.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cardinal {

// Writes the pieces one after the other under a temporary name in the same directory, then renames. What is
// no regular file (a device, a pipe) is written to directly.
Expected<void> write_file(const std::string& path, std::span<const std::string_view> pieces);

// Appends the trailer that Model::load checks to a freshly linked shared object; `symbol` names its
// cardinal_model. The file grows in place (weights make it too large to copy), so link under a temporary name
// and rename when this is done. On failure the file is as it was.
Expected<void> append_trailer(const std::string& path, std::string_view symbol);

// What a compact weight file holds.
struct CompactWeights {
  std::vector<float> stored;
  std::vector<cardinal_weight_form> forms;  // which write every packed weight that is not 0
};

// Writes a weight file for the model with this model_hash: the packed weights, or what they are formed from.
Expected<void> write_weights_file(const std::string& path, std::span<const std::byte> packed,
                                  uint64_t model_hash, const CompactWeights* compact = nullptr);

}  // namespace cardinal
