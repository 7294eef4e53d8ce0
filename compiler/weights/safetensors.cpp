#include "compiler/weights/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "compiler/weights/file_tensor.h"
#include "compiler/weights/file_weights.h"

namespace cardinal {

namespace {

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own bound

struct HeaderEntry {
  std::string name, dtype;
  std::vector<uint64_t> shape, offsets;
  bool has_dtype = false, has_shape = false, has_offsets = false;
};

// Reads the header as a stream of events, so that a hostile one is refused at its first wrong token and never
// becomes a tree in memory. The grammar: {"__metadata__": {text: text}, name: {"dtype": text, "shape": [n],
// "data_offsets": [n]}}.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  std::vector<HeaderEntry> entries;
  std::string problem;

  bool null() override { return fail("null"); }
  bool boolean(bool) override { return fail("a boolean"); }
  bool number_integer(number_integer_t value) override { return fail(fmt::format("the number {}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return fail("the number " + text); }
  bool binary(binary_t&) override { return fail("binary data"); }
  bool number_unsigned(number_unsigned_t value) override {
    if (place_ != Place::list || list_->size() == kMaxNumbers)
      return fail(fmt::format("the number {}", value));
    list_->push_back(value);
    return true;
  }
  bool string(string_t& text) override {
    if (place_ == Place::metadata) return true;
    if (place_ != Place::tensor || field_ != "dtype" || text.size() > kMaxDtypeBytes) return fail("a string");
    entries.back().dtype = text;
    return true;
  }
  bool start_object(size_t) override {
    if (place_ == Place::outside) return enter(Place::header);
    if (place_ == Place::header) return enter(is_metadata_ ? Place::metadata : Place::tensor);
    return fail("an object");
  }
  bool key(string_t& text) override {
    if (place_ == Place::metadata) return true;
    if (place_ == Place::tensor) return tensor_field(text);
    is_metadata_ = text == "__metadata__";
    if (is_metadata_) return true;
    if (!is_tensor_name(text))
      return fail_with(fmt::format("a tensor's name has {} bytes or unprintable ones, expected at most {}",
                                   text.size(), kMaxNameBytes));
    entries.push_back({text});
    return true;
  }
  bool end_object() override {
    if (place_ == Place::tensor) {
      const HeaderEntry& e = entries.back();
      if (!e.has_dtype || !e.has_shape || !e.has_offsets)
        return fail_with(fmt::format("tensor {}: dtype, shape and data_offsets are needed", e.name));
    }
    return enter(place_ == Place::header ? Place::outside : Place::header);
  }
  bool start_array(size_t) override {
    if (place_ != Place::tensor || field_ == "dtype") return fail("an array");
    list_ = field_ == "shape" ? &entries.back().shape : &entries.back().offsets;
    return enter(Place::list);
  }
  bool end_array() override { return enter(Place::tensor); }
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception&) override {
    return fail_with(fmt::format("not valid JSON at byte {} of the header", position));
  }

 private:
  enum class Place : uint8_t { outside, header, metadata, tensor, list };
  static constexpr size_t kMaxNumbers = 64;     // dimensions of a tensor; none in use comes near
  static constexpr size_t kMaxDtypeBytes = 16;  // "F8_E4M3" is the longest in use

  bool enter(Place place) {
    place_ = place;
    return true;
  }
  bool fail_with(std::string text) {
    if (problem.empty()) problem = std::move(text);
    return false;
  }
  bool fail(const std::string& what) {
    std::string where =
        entries.empty() ? std::string() : fmt::format(" (near tensor {})", entries.back().name);
    return fail_with(fmt::format("unexpected {} in the header{}", what, where));
  }
  bool tensor_field(const std::string& text) {
    HeaderEntry& e = entries.back();
    bool* seen = text == "dtype"          ? &e.has_dtype
                 : text == "shape"        ? &e.has_shape
                 : text == "data_offsets" ? &e.has_offsets
                                          : nullptr;
    if (!seen || std::exchange(*seen, true)) return fail(fmt::format("key \"{}\"", text));
    field_ = text;
    return true;
  }

  Place place_ = Place::outside;
  bool is_metadata_ = false;
  std::string field_;
  std::vector<uint64_t>* list_ = nullptr;
};

std::optional<DType> weight_dtype(std::string_view name) {
  if (name == "F32") return DType::f32;
  if (name == "F16") return DType::f16;
  if (name == "BF16") return DType::bf16;
  return std::nullopt;
}

// "" or why the entries do not tile the data section exactly: overlaps and gaps are how a wrong header shows.
std::string offsets_problem(std::vector<HeaderEntry>& entries, uint64_t data_bytes) {
  for (const HeaderEntry& e : entries)
    if (e.offsets.size() != 2 || e.offsets[0] > e.offsets[1] || e.offsets[1] > data_bytes)
      return fmt::format(
          "tensor {}: data_offsets [{}] do not lie in the {} bytes of data that the file has; "
          "is the file truncated?",
          e.name, fmt::join(e.offsets, ", "), data_bytes);
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.offsets < b.offsets; });
  uint64_t expected = 0;
  for (const HeaderEntry& e : entries) {
    if (e.offsets[0] != expected)
      return fmt::format("tensor {}: its data begin at {}, but the tensor before it ends at {}", e.name,
                         e.offsets[0], expected);
    expected = e.offsets[1];
  }
  if (expected != data_bytes)
    return fmt::format("the tensors end at byte {} of the data, the file has {}", expected, data_bytes);
  return {};
}

// Adds one tensor to the store; "" or the problem.
std::string add_tensor(FileWeights& store, const HeaderEntry& e, const std::string& name,
                       const Wanted& wanted, std::span<const std::byte> data) {
  auto bytes = data.subspan(e.offsets[0], e.offsets[1] - e.offsets[0]);
  std::optional<DType> dtype = weight_dtype(e.dtype);
  StoredShape stored = stored_shape(e.shape);
  bool is_new = true;
  const bool wide = e.dtype == "F64";
  if (!dtype && !wide) {
    is_new =
        store.add_unusable(name, fmt::format("its dtype is {}, expected F32, F16, BF16 or F64", e.dtype));
  } else if (!stored.problem.empty()) {
    is_new = store.add_unusable(name, stored.problem);
  } else {
    TensorType type{dtype.value_or(DType::f32), stored.shape};
    auto needed = static_cast<uint64_t>(type.shape.elements() * (wide ? 8 : dtype_bytes(type.dtype)));
    if (needed != bytes.size())
      return fmt::format("tensor {}: {} needs {} bytes, its data_offsets span {}", e.name, to_string(type),
                         needed, bytes.size());
    if (wide)
      bytes = wanted.reads(name, type.shape.elements()) ? store.keep(narrow_doubles(bytes)) : bytes.first(0);
    is_new = store.add(name, {type, bytes});
  }
  return is_new ? std::string() : fmt::format("tensor {} appears twice", e.name);
}

}  // namespace

Result<std::unique_ptr<WeightStore>> read_safetensors(const std::string& path, MappedFile mapped,
                                                      const Wanted& wanted) {
  auto store = std::make_unique<FileWeights>(path, std::move(mapped));
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("{} is not a usable safetensors file: {}", path, why));
  };

  std::span<const std::byte> file = store->file();
  if (file.size() < 8) return failure(fmt::format("it has {} bytes, expected at least 8", file.size()));
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);
  if (header_bytes > file.size() - 8 || header_bytes > kMaxHeaderBytes)
    return failure(fmt::format(
        "its header claims {} bytes, the file has {} after the length (at most {} are allowed); if "
        "it is no safetensors file: .npz, .params, .msgpack, .keras and .h5 are read as well",
        header_bytes, file.size() - 8, kMaxHeaderBytes));

  HeaderReader reader;
  const char* text = reinterpret_cast<const char*>(file.data()) + 8;
  if (!nlohmann::json::sax_parse(text, text + header_bytes, &reader)) return failure(reader.problem);

  std::span<const std::byte> data = file.subspan(8 + header_bytes);
  if (std::string problem = offsets_problem(reader.entries, data.size()); !problem.empty())
    return failure(problem);
  std::vector<std::string> stored;
  for (const HeaderEntry& entry : reader.entries) stored.push_back(entry.name);
  std::vector<std::string> names = wanted.names_of(stored);
  for (size_t i = 0; i < names.size(); ++i)
    if (std::string problem = add_tensor(*store, reader.entries[i], names[i], wanted, data); !problem.empty())
      return failure(problem);
  return std::unique_ptr<WeightStore>(std::move(store));
}

}  // namespace cardinal
