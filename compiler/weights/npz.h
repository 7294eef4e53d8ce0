// .npz: a zip archive of .npy members, as numpy.savez and numpy.savez_compressed write it.
#pragma once

#include <memory>
#include <string>

#include "ir/weights.h"

namespace cardinal {

// Members that are weights of `graph` with the shape it wants are unpacked; of all others only the type is
// read, so a file cannot make the reader allocate more than the network needs. float64 is rounded to float32.
Result<std::unique_ptr<WeightStore>> read_npz(const std::string& path, const Graph& graph);

}  // namespace cardinal
