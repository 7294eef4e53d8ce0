#include "compiler/import/tensor_data.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>
#include <filesystem>

#include "ir/weights.h"

namespace cardinal::onnx_import {

namespace {

using Proto = onnx::TensorProto;

// Bytes of an element in raw data; 0 for what no network's tensor is made of.
uint64_t element_bytes(int type) {
  switch (type) {
    case Proto::BOOL:
    case Proto::INT8:
    case Proto::UINT8:
      return 1;
    case Proto::FLOAT16:
    case Proto::BFLOAT16:
    case Proto::INT16:
    case Proto::UINT16:
      return 2;
    case Proto::FLOAT:
    case Proto::INT32:
    case Proto::UINT32:
      return 4;
    case Proto::DOUBLE:
    case Proto::INT64:
    case Proto::UINT64:
      return 8;
    default:
      return 0;
  }
}

bool is_float(int type) {
  return type == Proto::FLOAT || type == Proto::DOUBLE || type == Proto::FLOAT16 || type == Proto::BFLOAT16;
}

template <class T, class Out>
void widen(std::string_view raw, std::vector<Out>& out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, raw.data() + i * sizeof value, sizeof value);
    out[i] = static_cast<Out>(value);
  }
}

void from_raw(int type, std::string_view raw, Constant& out) {
  switch (type) {
    case Proto::FLOAT:
      return widen<float>(raw, out.floats);
    case Proto::DOUBLE:
      return widen<double>(raw, out.floats);
    case Proto::FLOAT16:
    case Proto::BFLOAT16: {
      DType dtype = type == Proto::FLOAT16 ? DType::f16 : DType::bf16;
      out.floats = to_floats({{dtype, {}}, std::as_bytes(std::span(raw))});
      return;
    }
    case Proto::BOOL:
    case Proto::UINT8:
      return widen<uint8_t>(raw, out.ints);
    case Proto::INT8:
      return widen<int8_t>(raw, out.ints);
    case Proto::INT16:
      return widen<int16_t>(raw, out.ints);
    case Proto::UINT16:
      return widen<uint16_t>(raw, out.ints);
    case Proto::INT32:
      return widen<int32_t>(raw, out.ints);
    case Proto::UINT32:
      return widen<uint32_t>(raw, out.ints);
    default:
      return widen<int64_t>(raw, out.ints);
  }
}

template <class List, class Out>
bool copy_list(const List& list, std::vector<Out>& out) {
  if (static_cast<size_t>(list.size()) != out.size()) return false;
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<Out>(list.Get(static_cast<int>(i)));
  return true;
}

// From the typed fields; false if the number of elements is wrong. Half-precision floats and small integers
// lie in int32_data, 16-bit floats as their bits.
bool from_fields(const Proto& tensor, Constant& out) {
  switch (tensor.data_type()) {
    case Proto::FLOAT:
      return copy_list(tensor.float_data(), out.floats);
    case Proto::DOUBLE:
      return copy_list(tensor.double_data(), out.floats);
    case Proto::INT64:
      return copy_list(tensor.int64_data(), out.ints);
    case Proto::UINT32:
    case Proto::UINT64:
      return copy_list(tensor.uint64_data(), out.ints);
    case Proto::FLOAT16:
    case Proto::BFLOAT16: {
      std::vector<uint16_t> bits(out.floats.size());
      if (!copy_list(tensor.int32_data(), bits)) return false;
      from_raw(tensor.data_type(), {reinterpret_cast<const char*>(bits.data()), bits.size() * 2}, out);
      return true;
    }
    default:
      return copy_list(tensor.int32_data(), out.ints);
  }
}

std::optional<uint64_t> parse_number(const std::string& text) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Result<std::string_view> TensorReader::external_bytes(const Proto& tensor, uint64_t expected) {
  std::string location;
  uint64_t offset = 0, length = expected;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() != "offset" && entry.key() != "length") continue;
    std::optional<uint64_t> number = parse_number(entry.value());
    if (!number)
      return Diagnostics(fmt::format("the {} of its data is '{}', not a number", entry.key(), entry.value()));
    (entry.key() == "offset" ? offset : length) = *number;
  }
  // A model must not be able to have any file of the machine read.
  std::filesystem::path name(location);
  if (location.empty() || name.has_parent_path() || location == "." || location == "..")
    return Diagnostics(fmt::format(
        "its data are in '{}', but only files beside the model are read; put it there", location));
  auto& file = files_[location];
  if (!file) {
    auto opened = MappedFile::open((std::filesystem::path(model_path_).parent_path() / name).string());
    if (!opened) return opened.take_error();
    file = std::make_unique<MappedFile>(*std::move(opened));
  }
  uint64_t size = file->bytes().size();
  if (length != expected)
    return Diagnostics(fmt::format("its data are {} bytes long, its shape needs {}", length, expected));
  if (offset > size || length > size - offset)
    return Diagnostics(fmt::format("its data are bytes {} to {} of {}, which has {}; is the file truncated?",
                                   offset, offset + length, location, size));
  return std::string_view(reinterpret_cast<const char*>(file->bytes().data()) + offset, length);
}

Result<ConstantPtr> TensorReader::read(const Proto& tensor) {
  auto out = std::make_shared<Constant>();
  uint64_t elements = 1;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0 || dim > kMaxDim)
      return Diagnostics(fmt::format("it has a dimension of {}, expected 0 to {}", dim, kMaxDim));
    elements *= static_cast<uint64_t>(dim);
    if (elements > static_cast<uint64_t>(kMaxElements))
      return Diagnostics(
          fmt::format("it has {} elements or more, expected at most {}", elements, kMaxElements));
    out->dims.push_back(dim);
  }
  uint64_t width = element_bytes(tensor.data_type());
  if (width == 0)
    return Diagnostics(
        fmt::format("its elements have type {}, expected floats or integers", tensor.data_type()));
  bool is_external = tensor.data_location() == Proto::EXTERNAL;
  std::string_view raw = tensor.raw_data();
  if (is_external) {
    Result<std::string_view> bytes = external_bytes(tensor, elements * width);
    if (!bytes) return bytes.take_error();
    raw = *bytes;
  }
  bool is_raw = is_external || tensor.has_raw_data();
  if (is_raw && raw.size() != elements * width)
    return Diagnostics(
        fmt::format("it has {} bytes of data, its shape needs {}", raw.size(), elements * width));
  // Nothing is allocated for elements that the file does not hold.
  uint64_t fields = static_cast<uint64_t>(tensor.float_data_size()) + tensor.int32_data_size() +
                    tensor.int64_data_size() + tensor.double_data_size() + tensor.uint64_data_size();
  if (!is_raw && fields != elements)
    return Diagnostics(fmt::format("it has {} elements of data, its shape needs {}", fields, elements));
  out->is_float = is_float(tensor.data_type());
  out->is_float ? out->floats.resize(elements) : out->ints.resize(elements);
  if (is_raw)
    from_raw(tensor.data_type(), raw, *out);
  else if (!from_fields(tensor, *out))
    return Diagnostics("its data are not in the field that its type says");
  return ConstantPtr(std::move(out));
}

}  // namespace cardinal::onnx_import
