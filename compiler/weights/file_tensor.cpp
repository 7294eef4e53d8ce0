#include "compiler/weights/file_tensor.h"

#include <cstring>
#include <optional>

namespace cardinal {

namespace {

// What the store keeps a dtype as.
std::optional<DType> kept_dtype(std::string_view dtype) {
  if (dtype == "float32" || dtype == "float64") return DType::f32;
  if (dtype == "float16") return DType::f16;
  if (dtype == "bfloat16") return DType::bf16;
  return std::nullopt;
}

std::vector<std::byte> joined(const std::vector<std::span<const std::byte>>& pieces) {
  std::vector<std::byte> out;
  for (std::span<const std::byte> piece : pieces) out.insert(out.end(), piece.begin(), piece.end());
  return out;
}

Status add_tensor(FileWeights& store, const Wanted& wanted, const FileTensor& tensor,
                  const std::string& name) {
  std::optional<DType> dtype = kept_dtype(tensor.dtype);
  StoredShape stored = stored_shape(tensor.dims);
  std::string unusable = stored.problem;
  if (!dtype)
    unusable = fmt::format("its dtype is {}, expected float32, float16, bfloat16 or float64", tensor.dtype);
  bool is_new = true;
  if (!unusable.empty()) {
    is_new = store.add_unusable(name, unusable);
  } else {
    uint64_t needed = static_cast<uint64_t>(stored.shape.elements()) * element_bytes(tensor.dtype), size = 0;
    for (std::span<const std::byte> piece : tensor.pieces) size += piece.size();
    if (size != needed)
      return Diagnostics(fmt::format("tensor {}: {}{} needs {} bytes, the file has {}", tensor.name,
                                     tensor.dtype, to_string(stored.shape), needed, size));
    StoredTensor out{{*dtype, stored.shape}, {}};
    if (wanted.reads(name, stored.shape.elements())) {
      if (tensor.dtype == "float64") {
        out.bytes = store.keep(narrow_doubles(joined(tensor.pieces)));
      } else {
        out.bytes = tensor.pieces.size() == 1 ? tensor.pieces.front() : store.keep(joined(tensor.pieces));
      }
    }
    is_new = store.add(name, out);
  }
  if (!is_new) return Diagnostics(fmt::format("tensor {} appears twice", tensor.name));
  return ok();
}

}  // namespace

size_t element_bytes(std::string_view dtype) {
  if (dtype == "float64" || dtype == "int64" || dtype == "uint64") return 8;
  if (dtype == "float32" || dtype == "int32" || dtype == "uint32") return 4;
  if (dtype == "float16" || dtype == "bfloat16" || dtype == "int16" || dtype == "uint16") return 2;
  if (dtype == "int8" || dtype == "uint8" || dtype == "bool") return 1;
  return 0;
}

std::vector<std::byte> narrow_doubles(std::span<const std::byte> bytes) {
  std::vector<std::byte> out(bytes.size() / 2);
  for (size_t i = 0; i < bytes.size() / 8; ++i) {
    double wide;
    std::memcpy(&wide, &bytes[8 * i], 8);
    auto narrow = static_cast<float>(wide);
    std::memcpy(&out[4 * i], &narrow, 4);
  }
  return out;
}

Status add_tensors(FileWeights& store, const Wanted& wanted, const std::vector<FileTensor>& tensors) {
  std::vector<std::string> stored;
  for (const FileTensor& tensor : tensors) stored.push_back(tensor.name);
  std::vector<std::string> names = wanted.names_of(stored);
  for (size_t i = 0; i < tensors.size(); ++i)
    if (Status added = add_tensor(store, wanted, tensors[i], names[i]); !added) return added;
  return ok();
}

}  // namespace cardinal
