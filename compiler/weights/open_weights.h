// Where `--weights` points.
#pragma once

#include <memory>
#include <string>

#include "ir/weights.h"

namespace cardinal {

// random:SEED, or a file: safetensors, .npz, MXNet's .params, Flax's msgpack, Keras's .keras or HDF5, told
// apart by their content, so that the file's name does not matter. The weights are checked against the
// network: see check_weights for that and for `ignored`.
Result<std::unique_ptr<WeightStore>> open_weights(const std::string& spec, const Graph& graph,
                                                  std::span<const std::string> ignored = {});

}  // namespace cardinal
