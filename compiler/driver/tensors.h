// Tensors of compiled networks as the tool reads, writes and names them.
#pragma once

#include <cardinal/model.h>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "ir/result.h"
#include "ir/type.h"

namespace cardinal::driver {

// The buffer's dimensions in memory order: what a .npy file of it has. n h w c for nhwc, n c/16 h w 16 for
// nchw16c. `images` is how many there are where the batch is open.
Shape buffer_shape(const TensorInfo& tensor, int64_t images = 1);
std::string buffer_axes(const TensorInfo& tensor);  // "n, h, w, c"
DType buffer_dtype(const TensorInfo& tensor);

// Values in [-1, 1), the same for the same seed and index.
std::vector<std::byte> random_buffer(const TensorInfo& tensor, uint64_t seed);
std::vector<std::vector<std::byte>> random_inputs(const Model& model,
                                                  uint64_t seed = 0);  // seed + i for each

// FILE or NAME=FILE arguments matched to the tensors: one path each, in the tensors' order. `flag` and `kind`
// are what messages call them ("--input", "input").
Result<std::vector<std::string>> match_files(std::span<const TensorInfo> tensors,
                                             const std::vector<std::string>& args, const std::string& flag,
                                             const std::string& kind);

}  // namespace cardinal::driver
