#include "compiler/weights/flax.h"

#include <fmt/format.h>

#include "compiler/weights/file_tensor.h"
#include "compiler/weights/msgpack.h"

namespace cardinal {

namespace {

using Kind = MsgpackItem::Kind;

// flax/serialization.py: the extension type of arrays, and the form of arrays beyond 1 GiB, which msgpack
// cannot hold in one item:
// {"__msgpack_chunked_array__": True, "shape": {"0": n, ...}, "chunks": {"0": flat array, ...}}.
constexpr int8_t kArray = 1;
constexpr std::string_view kChunked = "__msgpack_chunked_array__";
constexpr int kMaxDepth = 64;      // of nested maps
constexpr size_t kMaxListed = 64;  // dimensions of an array; none in use comes near
// Fields of flax.training.train_state.TrainState that are not the network's.
constexpr std::string_view kOptimizerState = "opt_state", kStep = "step";

class TreeReader {
 public:
  explicit TreeReader(std::span<const std::byte> file) : cursor_(file) {}

  std::vector<FileTensor> tensors;
  std::string problem;

  bool read() {
    MsgpackItem item;
    if (!next(item, "")) return false;
    if (item.kind != Kind::map) return fail("", "it is not a map of arrays");
    if (!read_items(item, "", 0)) return false;
    return cursor_.left() == 0 || fail("", fmt::format("{} bytes follow the map", cursor_.left()));
  }

 private:
  bool fail(const std::string& name, const std::string& why) {
    problem = name.empty() ? why : fmt::format("tensor {}: {}", name, why);
    return false;
  }
  bool next(MsgpackItem& item, const std::string& name) {
    size_t at = cursor_.at();
    return read_msgpack(cursor_, item) ||
           fail(name, fmt::format("there is no whole msgpack item at byte {}; is the file truncated?", at));
  }

  // The items of a map, or of a list, whose items are called 0, 1, ...
  bool read_items(const MsgpackItem& parent, const std::string& prefix, int depth) {
    if (depth == kMaxDepth)
      return fail(prefix, fmt::format("it is nested more than {} levels deep", kMaxDepth));
    for (uint64_t i = 0; i < parent.number; ++i) {
      MsgpackItem key, value;
      std::string name = fmt::format("{}", i);
      if (parent.kind == Kind::map) {
        if (!next(key, prefix)) return false;
        if (key.kind != Kind::text) return fail(prefix, "a key of its map is not text");
        if (i == 0 && key.text() == kChunked) return read_chunked(parent, prefix);
        name = key.text();
      }
      name = prefix.empty() ? name : prefix + "." + name;
      if (!is_tensor_name(name))
        return fail(prefix,
                    fmt::format("the name of a tensor has {} bytes or unprintable ones, expected at most {}",
                                name.size(), kMaxNameBytes));
      if (!next(value, name) || !read_value(value, name, depth)) return false;
    }
    return true;
  }
  bool read_value(const MsgpackItem& value, const std::string& name, int depth) {
    if (value.kind == Kind::map || value.kind == Kind::list) return read_items(value, name, depth + 1);
    if (value.kind != Kind::extension || value.extension != kArray || name == kStep) return true;
    if (name.starts_with(kOptimizerState) && name.substr(kOptimizerState.size()).starts_with("."))
      return true;
    FileTensor tensor{name, {}, {}, {}};
    if (!read_array(value, tensor)) return false;
    tensors.push_back(std::move(tensor));
    return true;
  }

  // The payload of an array: [shape, "float32", elements]. Adds a piece.
  bool read_array(const MsgpackItem& item, FileTensor& out) {
    ByteCursor cursor(item.payload);
    MsgpackItem fields, shape, dim, dtype, elements;
    bool right = read_msgpack(cursor, fields) && fields.kind == Kind::list && fields.number == 3;
    right = right && read_msgpack(cursor, shape) && shape.kind == Kind::list && shape.number <= kMaxListed;
    for (uint64_t i = 0; right && i < shape.number; ++i) {
      right = read_msgpack(cursor, dim) && dim.kind == Kind::integer;
      out.dims.push_back(dim.number);
    }
    right = right && read_msgpack(cursor, dtype) && dtype.kind == Kind::text && is_tensor_name(dtype.text());
    right = right && read_msgpack(cursor, elements) && elements.kind == Kind::binary && cursor.left() == 0;
    if (!right) return fail(out.name, "it is not a list of shape, dtype and elements");
    out.dtype = dtype.text();
    out.pieces.push_back(elements.payload);
    return true;
  }

  // The rest of an array in chunks, behind the first key of its map.
  bool read_chunked(const MsgpackItem& parent, const std::string& name) {
    FileTensor tensor{name, {}, {}, {}};
    MsgpackItem key, value;
    if (!next(value, name)) return false;
    for (uint64_t i = 1; i < parent.number; ++i) {
      if (!next(key, name) || !next(value, name)) return false;
      bool known = key.kind == Kind::text && (key.text() == "shape" || key.text() == "chunks");
      if (!known || value.kind != Kind::map) return fail(name, "its map is not one of shape and chunks");
      if (key.text() == "shape" ? !read_chunked_shape(value, tensor) : !read_chunks(value, tensor))
        return false;
    }
    tensors.push_back(std::move(tensor));
    return true;
  }
  // The key of the i-th item, which is its number.
  bool read_index(uint64_t i, const std::string& name) {
    MsgpackItem key;
    if (!next(key, name)) return false;
    return (key.kind == Kind::text && key.text() == fmt::format("{}", i)) ||
           fail(name,
                fmt::format("its chunks or dimensions are not numbered from 0, number {} is missing", i));
  }
  bool read_chunked_shape(const MsgpackItem& map, FileTensor& out) {
    if (map.number > kMaxListed)
      return fail(out.name,
                  fmt::format("it claims {} dimensions, expected at most {}", map.number, kMaxListed));
    for (uint64_t i = 0; i < map.number; ++i) {
      MsgpackItem dim;
      if (!read_index(i, out.name) || !next(dim, out.name)) return false;
      if (dim.kind != Kind::integer) return fail(out.name, "a dimension is not a number");
      out.dims.push_back(dim.number);
    }
    return true;
  }
  bool read_chunks(const MsgpackItem& map, FileTensor& out) {
    for (uint64_t i = 0; i < map.number; ++i) {
      MsgpackItem item;
      if (!read_index(i, out.name) || !next(item, out.name)) return false;
      if (item.kind != Kind::extension || item.extension != kArray)
        return fail(out.name, "a chunk is not an array");
      FileTensor chunk{out.name, {}, {}, {}};
      if (!read_array(item, chunk)) return false;
      if (i > 0 && chunk.dtype != out.dtype)
        return fail(out.name, fmt::format("its chunks are of {} and of {}", out.dtype, chunk.dtype));
      out.dtype = chunk.dtype;
      out.pieces.push_back(chunk.pieces.front());
    }
    return true;
  }

  ByteCursor cursor_;
};

}  // namespace

bool is_flax(std::span<const std::byte> file) {
  // A safetensors file could begin with these bytes too, but its ninth begins a JSON object, behind zeros.
  bool is_safetensors =
      file.size() > 8 && file[8] == std::byte{'{'} && file[6] == std::byte{0} && file[7] == std::byte{0};
  ByteCursor cursor(file);
  MsgpackItem map, key;
  return !is_safetensors && read_msgpack(cursor, map) && map.kind == Kind::map && map.number > 0 &&
         read_msgpack(cursor, key) && key.kind == Kind::text && is_tensor_name(key.text());
}

Result<std::unique_ptr<WeightStore>> read_flax(const std::string& path, MappedFile file,
                                               const Wanted& wanted) {
  auto store = std::make_unique<FileWeights>(path, std::move(file));
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("{} is not a usable Flax msgpack file: {}", path, why));
  };
  TreeReader reader(store->file());
  if (!reader.read()) return failure(reader.problem);
  if (Status added = add_tensors(*store, wanted, reader.tensors); !added)
    return failure(added.error().list().front().message);
  return std::unique_ptr<WeightStore>(std::move(store));
}

}  // namespace cardinal
