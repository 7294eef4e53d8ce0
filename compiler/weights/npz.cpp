#include "compiler/weights/npz.h"

#include <fmt/format.h>

#include <cstring>
#include <unordered_map>

#include "compiler/weights/file_weights.h"
#include "compiler/weights/npy.h"
#include "compiler/weights/zip.h"

namespace cardinal {

namespace {

constexpr std::string_view kSuffix = ".npy";
constexpr std::string_view kDouble = "<f8";

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

// The member's elements as the store keeps them: row-major and of `type`.
Result<std::vector<std::byte>> read_elements(const ZipMember& member, const NpyHeader& header,
                                             const TensorType& type) {
  size_t element_bytes = header.descr == kDouble ? 8 : static_cast<size_t>(dtype_bytes(type.dtype));
  uint64_t needed = header.bytes + static_cast<uint64_t>(type.shape.elements()) * element_bytes;
  if (member.bytes != needed)
    return Diagnostics(fmt::format("{}: {} needs {} bytes, the archive has {}", member.name, to_string(type),
                                   needed, member.bytes));
  Result<std::vector<std::byte>> unpacked = unpack(member, needed);
  if (!unpacked) return unpacked.take_error();
  std::vector<std::byte> bytes(unpacked->begin() + static_cast<ptrdiff_t>(header.bytes), unpacked->end());
  if (header.fortran_order) bytes = to_row_major(bytes, type.shape, element_bytes);
  if (header.descr == kDouble) bytes = narrow_doubles(bytes);
  return bytes;
}

Status add_member(FileWeights& store, const ZipMember& member, const std::string& name,
                  const Weight* wanted) {
  Result<std::vector<std::byte>> beginning = unpack(member, kMaxNpyHeader);
  if (!beginning) return beginning.take_error();
  Result<NpyHeader> header = parse_npy_header(*beginning);
  if (!header) return Diagnostics(fmt::format("{}: {}", member.name, header.error().list().front().message));

  std::optional<DType> dtype = header->descr == kDouble ? DType::f32 : npy_dtype(header->descr);
  StoredShape stored = stored_shape(header->shape);
  bool is_new = true;
  if (!dtype) {
    is_new = store.add_unusable(
        name, fmt::format("its dtype is '{}', expected '<f4', '<f2' or '<f8'", header->descr));
  } else if (!stored.problem.empty()) {
    is_new = store.add_unusable(name, stored.problem);
  } else {
    StoredTensor tensor{{*dtype, stored.shape}, {}};
    if (wanted && serves(stored.shape, *wanted)) {
      Result<std::vector<std::byte>> bytes = read_elements(member, *header, tensor.type);
      if (!bytes) return bytes.take_error();
      tensor.bytes = store.keep(*std::move(bytes));
    }
    is_new = store.add(name, tensor);
  }
  if (!is_new) return Diagnostics(fmt::format("{} appears twice", member.name));
  return ok();
}

}  // namespace

Result<std::unique_ptr<WeightStore>> read_npz(const std::string& path, const Graph& graph) {
  Result<MappedFile> mapped = MappedFile::open(path);
  if (!mapped) return mapped.take_error();
  auto store = std::make_unique<FileWeights>(path, *std::move(mapped));
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("{} is not a usable .npz file: {}", path, why));
  };
  Result<std::vector<ZipMember>> members = list_zip(store->file());
  if (!members) return failure(members.error().list().front().message);

  std::unordered_map<std::string_view, const Weight*> wanted;
  for (NodeId id : graph.weights()) wanted.emplace(graph[id].name, graph[id].as<Weight>());
  for (const ZipMember& member : *members) {
    if (!is_tensor_name(member.name) || !member.name.ends_with(kSuffix))
      return failure(
          fmt::format("member {} is not NAME.npy", is_tensor_name(member.name) ? member.name : "?"));
    std::string name = member.name.substr(0, member.name.size() - kSuffix.size());
    auto it = wanted.find(name);
    Status added = add_member(*store, member, name, it == wanted.end() ? nullptr : it->second);
    if (!added) return failure(added.error().list().front().message);
  }
  return std::unique_ptr<WeightStore>(std::move(store));
}

}  // namespace cardinal
