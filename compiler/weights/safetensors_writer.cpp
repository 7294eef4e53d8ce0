#include "compiler/weights/safetensors_writer.h"

#include <bit>
#include <nlohmann/json.hpp>

namespace cardinal {

std::string safetensors_header(std::span<const TensorToWrite> tensors) {
  static_assert(std::endian::native == std::endian::little);
  nlohmann::ordered_json header;
  uint64_t offset = 0;
  for (const TensorToWrite& tensor : tensors) {
    uint64_t end = offset + tensor.values.size_bytes();
    header[std::string(tensor.name)] = {
        {"dtype", "F32"},
        {"shape", std::vector<int64_t>(tensor.shape.dims().begin(), tensor.shape.dims().end())},
        {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text =
      header.is_null() ? "{}" : header.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  // Values begin at a multiple of 8, as in the files of the reference implementation.
  text.append((8 - text.size() % 8) % 8, ' ');
  uint64_t bytes = text.size();
  return std::string(reinterpret_cast<const char*>(&bytes), sizeof bytes) + text;
}

}  // namespace cardinal
