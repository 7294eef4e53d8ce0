// Flax's msgpack: nested maps of arrays, as flax.serialization.to_bytes writes them.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "compiler/weights/mapped_file.h"
#include "compiler/weights/wanted.h"
#include "ir/weights.h"

namespace cardinal {

bool is_flax(std::span<const std::byte> file);

// The file stays mapped and arrays are views of it; they are called by the keys of the maps that hold them,
// joined by
// `.`. Numbers beside the arrays, and the optimizer's state in a TrainState, are left out.
Result<std::unique_ptr<WeightStore>> read_flax(const std::string& path, MappedFile file,
                                               const Wanted& wanted);

}  // namespace cardinal
