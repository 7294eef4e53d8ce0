// .npz: a zip archive of .npy members, as numpy.savez and numpy.savez_compressed write it.
#pragma once

#include <memory>
#include <string>

#include "compiler/weights/mapped_file.h"
#include "compiler/weights/wanted.h"
#include "ir/weights.h"

namespace cardinal {

// Members that `wanted` reads are unpacked; of all others only the type is read. float64 is rounded to
// float32.
Result<std::unique_ptr<WeightStore>> read_npz(const std::string& path, MappedFile file, const Wanted& wanted);

}  // namespace cardinal
