// NumPy's .npy format, versions 1 to 3: a magic string, a Python dictionary literal, the elements.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ir/result.h"
#include "ir/type.h"

namespace cardinal {

struct NpyHeader {
  std::string descr;  // "<f4"; "structured" for what is not a plain dtype
  bool fortran_order = false;
  std::vector<uint64_t> shape;
  size_t bytes = 0;  // of the header: where the elements begin
};

// Longer headers are refused, as NumPy does; enough of a file for parse_npy_header.
inline constexpr size_t kMaxNpyHeader = 10000;

// `file` is the file's beginning.
Result<NpyHeader> parse_npy_header(std::span<const std::byte> file);

// "<f4" and "<f2" are element types of tensors.
std::optional<DType> npy_dtype(const std::string& descr);

// Elements in column-major order to row-major; `element_bytes` each.
std::vector<std::byte> to_row_major(std::span<const std::byte> elements, const Shape& shape,
                                    size_t element_bytes);

struct NpyArray {
  TensorType type;
  std::vector<std::byte> bytes;  // row-major
};
// Reads a file of f32 or f16 elements; any other dtype is an error that says what to do.
Result<NpyArray> read_npy(const std::string& path);

// The file's beginning for a row-major array of `descr` elements.
std::string npy_header(const std::string& descr, const Shape& shape);

}  // namespace cardinal
