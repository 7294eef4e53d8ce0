#include "compiler/weights/mxnet.h"

#include <fmt/format.h>

#include <array>

#include "compiler/weights/byte_cursor.h"
#include "compiler/weights/file_tensor.h"

namespace cardinal {

namespace {

// src/ndarray/ndarray.cc of MXNet 1.9.1, NDArray::Save. All numbers are little-endian.
constexpr uint64_t kListMagic = 0x112;
constexpr uint32_t kMagicV2 = 0xf993fac9, kMagicV3 = 0xf993faca;
constexpr int32_t kDense = 0;
constexpr uint32_t kMaxListed = 64;  // dimensions of an array; none in use comes near
constexpr size_t kLeastArrayBytes = 8, kNameLengthBytes = 8;

// By the type flag of mshadow/base.h.
constexpr std::array<std::string_view, 13> kDTypes = {"float32", "float64", "float16", "uint8", "int32",
                                                      "int8",    "int64",   "bool",    "int16", "uint16",
                                                      "uint32",  "uint64",  "bfloat16"};

// One NDArray; "" or the problem. One that MXNet calls none has no dtype and no bytes.
std::string read_array(ByteCursor& cursor, FileTensor& out) {
  const std::string_view truncated = "it ends early; is the file truncated?";
  uint32_t magic = 0, rank = 0;
  int32_t storage = 0, device_type = 0, device_id = 0, type_flag = 0;
  if (!cursor.read(magic)) return std::string(truncated);
  if (magic != kMagicV2 && magic != kMagicV3)
    return fmt::format(
        "it begins with {:#x}, expected {:#x} or {:#x}; a file from before MXNet 1.0 can be loaded and saved "
        "again",
        magic, kMagicV2, kMagicV3);
  if (!cursor.read(storage)) return std::string(truncated);
  if (storage != kDense)
    return fmt::format("its storage type is {}, expected {} (dense); convert it with .tostype('default')",
                       storage, kDense);
  if (!cursor.read(rank)) return std::string(truncated);
  const bool none = magic == kMagicV2 ? rank == 0 : rank == ~uint32_t{0};
  out.dtype = "none";
  if (none) return {};
  if (rank > kMaxListed) return fmt::format("it claims {} dimensions, expected at most {}", rank, kMaxListed);
  out.dims.resize(rank);
  for (uint64_t& dim : out.dims)
    if (!cursor.read(dim)) return std::string(truncated);
  if (!cursor.read(device_type) || !cursor.read(device_id) || !cursor.read(type_flag))
    return std::string(truncated);
  if (type_flag < 0 || static_cast<size_t>(type_flag) >= kDTypes.size())
    return fmt::format("its type flag is {}, expected 0 to {}", type_flag, kDTypes.size() - 1);
  out.dtype = kDTypes[static_cast<size_t>(type_flag)];

  uint64_t bytes = element_bytes(out.dtype);
  for (uint64_t dim : out.dims)
    if (__builtin_mul_overflow(bytes, dim, &bytes))
      return fmt::format("its shape [{}] overflows", fmt::join(out.dims, ", "));
  if (!cursor.take(bytes, out.pieces.emplace_back()))
    return fmt::format("{}[{}] needs {} bytes, the file has {} left; is it truncated?", out.dtype,
                       fmt::join(out.dims, ", "), bytes, cursor.left());
  return {};
}

std::string_view without_kind(std::string_view name) {
  for (std::string_view kind : {"arg:", "aux:"})
    if (name.starts_with(kind)) return name.substr(kind.size());
  return name;
}

// The names behind `arrays` arrays; "" or the problem.
std::string read_names(ByteCursor& cursor, std::vector<FileTensor>& tensors) {
  uint64_t count = 0;
  if (!cursor.read(count)) return "it ends before the arrays' names; is it truncated?";
  if (count == 0 && !tensors.empty())
    return fmt::format(
        "its {} arrays have no names; save a dictionary of arrays, or use Block.save_parameters",
        tensors.size());
  if (count != tensors.size())
    return fmt::format("it has {} arrays but claims {} names", tensors.size(), count);
  for (size_t i = 0; i < tensors.size(); ++i) {
    uint64_t bytes = 0;
    std::span<const std::byte> text;
    if (!cursor.read(bytes) || !cursor.take(bytes, text))
      return fmt::format("the name of array {} of {} ends early; is the file truncated?", i + 1,
                         tensors.size());
    std::string_view name(reinterpret_cast<const char*>(text.data()), text.size());
    if (!is_tensor_name(name))
      return fmt::format("the name of array {} has {} bytes or unprintable ones, expected at most {}", i + 1,
                         name.size(), kMaxNameBytes);
    tensors[i].name = without_kind(name);
  }
  if (cursor.left()) return fmt::format("{} bytes follow the last name", cursor.left());
  return {};
}

std::string read_list(std::span<const std::byte> file, std::vector<FileTensor>& tensors) {
  ByteCursor cursor(file);
  uint64_t magic = 0, reserved = 0, count = 0;
  if (!cursor.read(magic) || !cursor.read(reserved) || !cursor.read(count))
    return fmt::format("it has {} bytes, expected at least 24", file.size());
  if (count > cursor.left() / (kLeastArrayBytes + kNameLengthBytes))
    return fmt::format("it claims {} arrays in {} bytes; is it truncated?", count, file.size());
  tensors.resize(count);
  for (size_t i = 0; i < tensors.size(); ++i)
    if (std::string problem = read_array(cursor, tensors[i]); !problem.empty())
      return fmt::format("array {} of {}: {}", i + 1, tensors.size(), problem);
  return read_names(cursor, tensors);
}

}  // namespace

bool is_mxnet(std::span<const std::byte> file) {
  ByteCursor cursor(file);
  uint64_t magic = 0, reserved = 0;
  // A safetensors file can have a header of 0x112 bytes, but that is not zeros.
  return cursor.read(magic) && magic == kListMagic && cursor.read(reserved) && reserved == 0;
}

Result<std::unique_ptr<WeightStore>> read_mxnet(const std::string& path, MappedFile file,
                                                const Wanted& wanted) {
  auto store = std::make_unique<FileWeights>(path, std::move(file));
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("{} is not a usable MXNet .params file: {}", path, why));
  };
  std::vector<FileTensor> tensors;
  if (std::string problem = read_list(store->file(), tensors); !problem.empty()) return failure(problem);
  if (Status added = add_tensors(*store, wanted, tensors); !added)
    return failure(added.error().list().front().message);
  return std::unique_ptr<WeightStore>(std::move(store));
}

}  // namespace cardinal
