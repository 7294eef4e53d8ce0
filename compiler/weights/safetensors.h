// safetensors: eight bytes of header length, a JSON header, then the tensors' bytes without gaps.
// https://huggingface.co/docs/safetensors
#pragma once

#include <memory>
#include <string>

#include "compiler/weights/mapped_file.h"
#include "compiler/weights/wanted.h"
#include "ir/weights.h"

namespace cardinal {

// The file stays mapped; F32, F16 and BF16 tensors are views into it, tensors of other dtypes are listed as
// unusable.
Result<std::unique_ptr<WeightStore>> read_safetensors(const std::string& path, MappedFile file,
                                                      const Wanted& wanted);

}  // namespace cardinal
