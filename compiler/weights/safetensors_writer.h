// Writes .safetensors files.
#pragma once

#include <span>
#include <string>

#include "ir/type.h"

namespace cardinal {

struct TensorToWrite {
  std::string_view name;
  Shape shape;
  std::span<const float> values;
};

// The beginning of a .safetensors file that holds these tensors in F32; their values follow it in order.
// Names must differ.
std::string safetensors_header(std::span<const TensorToWrite> tensors);

}  // namespace cardinal
