// A tensor as its file describes it, and its way into the store.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "compiler/weights/file_weights.h"
#include "compiler/weights/wanted.h"

namespace cardinal {

struct FileTensor {
  std::string name;   // as stored
  std::string dtype;  // NumPy's name of it: "float32"
  std::vector<uint64_t> dims;
  std::vector<std::span<const std::byte>> pieces;  // of its elements, row-major; mostly one
};

// The bytes of an element, or 0 for a dtype that is not one of NumPy's plain numbers.
size_t element_bytes(std::string_view dtype);

// float64 elements rounded to float32.
std::vector<std::byte> narrow_doubles(std::span<const std::byte> bytes);

// Adds the tensors under the network's names for them. Elements that are f32, f16 or bf16 and in one piece
// are views of the pieces; float64 is rounded to float32; other dtypes are listed as unusable.
Status add_tensors(FileWeights& store, const Wanted& wanted, const std::vector<FileTensor>& tensors);

}  // namespace cardinal
