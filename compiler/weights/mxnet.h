// MXNet's .params: a list of NDArrays and their names, as mx.nd.save, Block.save_parameters and
// HybridBlock.export write it.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "compiler/weights/mapped_file.h"
#include "compiler/weights/wanted.h"
#include "ir/weights.h"

namespace cardinal {

bool is_mxnet(std::span<const std::byte> file);

// The file stays mapped and tensors are views of it. The prefixes `arg:` and `aux:` of exported models are
// dropped.
Result<std::unique_ptr<WeightStore>> read_mxnet(const std::string& path, MappedFile file,
                                                const Wanted& wanted);

}  // namespace cardinal
