// safetensors: eight bytes of header length, a JSON header, then the tensors' bytes without gaps.
// https://huggingface.co/docs/safetensors
#pragma once

#include <memory>
#include <string>

#include "ir/weights.h"

namespace cardinal {

// The file stays mapped; F32, F16 and BF16 tensors are views into it, tensors of other dtypes are listed as
// unusable.
Result<std::unique_ptr<WeightStore>> read_safetensors(const std::string& path);

}  // namespace cardinal
