// Where `--weights` points.
#pragma once

#include <memory>
#include <string>

#include "ir/weights.h"

namespace cardinal {

// FILE.safetensors, FILE.npz (told apart by their content, so that names do not matter) or random:SEED. The
// weights are checked against the network: see check_weights.
Result<std::unique_ptr<WeightStore>> open_weights(const std::string& spec, const Graph& graph);

}  // namespace cardinal
