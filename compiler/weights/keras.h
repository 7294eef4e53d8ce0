// Keras's weight files: HDF5 (.h5, .weights.h5), and .keras, a zip archive around it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compiler/weights/mapped_file.h"
#include "compiler/weights/wanted.h"
#include "compiler/weights/zip.h"
#include "ir/weights.h"

namespace cardinal {

bool is_hdf5(std::span<const std::byte> file);
bool is_keras(const std::vector<ZipMember>& archive);

// The tensors that `wanted` reads come as f32; see keras_names for what they are called. Any HDF5 file of
// floating-point datasets can be read; `/` between groups becomes `.`.
Result<std::unique_ptr<WeightStore>> read_hdf5(const std::string& path, std::span<const std::byte> file,
                                               const Wanted& wanted);
Result<std::unique_ptr<WeightStore>> read_keras(const std::string& path,
                                                const std::vector<ZipMember>& archive, const Wanted& wanted);

}  // namespace cardinal
