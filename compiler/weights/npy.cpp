#include "compiler/weights/npy.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>

#include "compiler/weights/file_weights.h"

namespace cardinal {

namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxListed = 64;  // dimensions of an array; NumPy itself allows 64

// A cursor over the header's dictionary. Every step returns false at the first thing that does not belong.
class DictReader {
 public:
  explicit DictReader(std::string_view text) : text_(text) {}

  bool read(NpyHeader& out) {
    if (!accept('{')) return false;
    while (!accept('}')) {
      std::string key;
      if (!quoted(key) || !accept(':') || !value(key, out)) return false;
      if (!accept(',') && peek() != '}') return false;
    }
    return seen_descr_ && seen_order_ && seen_shape_ && peek() == '\0';
  }

 private:
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view expected) {
    peek();
    if (!text_.substr(at_).starts_with(expected)) return false;
    at_ += expected.size();
    return true;
  }
  bool quoted(std::string& out) {
    char quote = peek();
    if (quote != '\'' && quote != '"') return false;
    size_t end = text_.find(quote, ++at_);
    if (end == std::string_view::npos) return false;
    out = text_.substr(at_, end - at_);
    at_ = end + 1;
    return true;
  }
  bool value(const std::string& key, NpyHeader& out) {
    if (key == "descr") return !std::exchange(seen_descr_, true) && descr(out.descr);
    if (key == "fortran_order") return !std::exchange(seen_order_, true) && boolean(out.fortran_order);
    if (key == "shape") return !std::exchange(seen_shape_, true) && shape(out.shape);
    return false;
  }
  bool boolean(bool& out) {
    out = word("True");
    return out || word("False");
  }
  bool shape(std::vector<uint64_t>& out) {
    if (!accept('(')) return false;
    while (!accept(')')) {
      peek();
      uint64_t dim = 0;
      auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), dim);
      if (error != std::errc() || out.size() == kMaxListed) return false;
      at_ = static_cast<size_t>(end - text_.data());
      out.push_back(dim);
      if (!accept(',') && peek() != ')') return false;
    }
    return true;
  }
  // A dtype string, or the list of a structured dtype, which is skipped to its closing bracket.
  bool descr(std::string& out) {
    if (peek() != '[') return quoted(out) && out.size() <= 32;
    out = "structured";
    int depth = 0;
    for (; at_ < text_.size(); ++at_) {
      depth += (text_[at_] == '[') - (text_[at_] == ']');
      if (depth == 0) return accept(']');
    }
    return false;
  }

  std::string_view text_;
  size_t at_ = 0;
  bool seen_descr_ = false, seen_order_ = false, seen_shape_ = false;
};

}  // namespace

Result<NpyHeader> parse_npy_header(std::span<const std::byte> file) {
  auto at = [&file](size_t i) { return std::to_integer<size_t>(file[i]); };
  if (file.size() < 12 || std::memcmp(file.data(), kMagic.data(), kMagic.size()) != 0)
    return Diagnostics("it does not begin as a .npy file does");
  size_t version = at(6);
  if (version < 1 || version > 3)
    return Diagnostics(fmt::format("it has .npy version {}, expected 1, 2 or 3", version));
  size_t begin = version == 1 ? 10 : 12;
  size_t text_bytes = at(8) | at(9) << 8;
  if (version > 1) text_bytes |= at(10) << 16 | at(11) << 24;
  if (text_bytes > kMaxNpyHeader - begin || text_bytes > file.size() - begin)
    return Diagnostics(fmt::format("its .npy header claims {} bytes, expected at most {}", text_bytes,
                                   std::min(kMaxNpyHeader, file.size()) - begin));
  NpyHeader header;
  header.bytes = begin + text_bytes;
  std::string_view text(reinterpret_cast<const char*>(file.data()) + begin, text_bytes);
  if (!DictReader(text).read(header))
    return Diagnostics("its .npy header is not a dictionary of descr, fortran_order and shape");
  return header;
}

std::optional<DType> npy_dtype(const std::string& descr) {
  if (descr == "<f4") return DType::f32;
  if (descr == "<f2") return DType::f16;
  return std::nullopt;
}

std::vector<std::byte> to_row_major(std::span<const std::byte> elements, const Shape& shape,
                                    size_t element_bytes) {
  std::vector<std::byte> out(elements.size());
  std::vector<int64_t> index(static_cast<size_t>(shape.rank()));
  for (size_t to = 0; to < out.size(); to += element_bytes) {
    int64_t from = 0;
    for (int d = shape.rank() - 1; d >= 0; --d) from = from * shape[d] + index[d];
    std::memcpy(&out[to], &elements[static_cast<size_t>(from) * element_bytes], element_bytes);
    for (int d = shape.rank() - 1; d >= 0 && ++index[d] == shape[d]; --d) index[d] = 0;
  }
  return out;
}

Result<NpyArray> read_npy(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.take_error();
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("cannot read {}: {}", path, why));
  };
  Result<NpyHeader> header = parse_npy_header(file->bytes());
  if (!header) return failure(header.error().list().front().message);
  std::optional<DType> dtype = npy_dtype(header->descr);
  if (!dtype)
    return failure(fmt::format(
        "its dtype is '{}', expected '<f4' or '<f2'; convert it with .astype('float32')", header->descr));
  StoredShape stored = stored_shape(header->shape);
  if (!stored.problem.empty()) return failure(stored.problem);
  TensorType type{*dtype, stored.shape};
  auto element_bytes = static_cast<size_t>(dtype_bytes(type.dtype));
  size_t needed = static_cast<size_t>(type.shape.elements()) * element_bytes;
  std::span<const std::byte> elements = file->bytes().subspan(header->bytes);
  if (elements.size() != needed)
    return failure(
        fmt::format("{} needs {} bytes, the file has {}", to_string(type), needed, elements.size()));
  if (header->fortran_order) return NpyArray{type, to_row_major(elements, type.shape, element_bytes)};
  return NpyArray{type, {elements.begin(), elements.end()}};
}

std::string npy_header(const std::string& descr, const Shape& shape) {
  // A tuple of one element needs its comma.
  std::string dims = fmt::format("{}{}", fmt::join(shape.dims(), ", "), shape.rank() == 1 ? "," : "");
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr, dims);
  // Magic, version and length take 10 bytes; the whole is padded to a multiple of 64 and ends in a newline.
  text.append(static_cast<size_t>(round_up(static_cast<int64_t>(text.size()) + 11, 64)) - 11 - text.size(),
              ' ');
  text += '\n';
  std::string out(kMagic);
  for (size_t byte : {size_t{1}, size_t{0}, text.size() & 0xff, text.size() >> 8})
    out += static_cast<char>(byte);
  return out + text;
}

}  // namespace cardinal
