#include "compiler/weights/npz.h"

#include <fmt/format.h>

#include "compiler/weights/file_tensor.h"
#include "compiler/weights/npy.h"
#include "compiler/weights/zip.h"

namespace cardinal {

namespace {

constexpr std::string_view kSuffix = ".npy";
constexpr std::string_view kDouble = "<f8";

// The member's elements as the store keeps them: row-major and of `type`.
Result<std::vector<std::byte>> read_elements(const ZipMember& member, const NpyHeader& header,
                                             const TensorType& type) {
  size_t size = header.descr == kDouble ? 8 : static_cast<size_t>(dtype_bytes(type.dtype));
  uint64_t needed = header.bytes + static_cast<uint64_t>(type.shape.elements()) * size;
  if (member.bytes != needed)
    return Diagnostics(fmt::format("{}: {} needs {} bytes, the archive has {}", member.name, to_string(type),
                                   needed, member.bytes));
  Result<std::vector<std::byte>> unpacked = unpack(member, needed);
  if (!unpacked) return unpacked.take_error();
  std::vector<std::byte> bytes(unpacked->begin() + static_cast<ptrdiff_t>(header.bytes), unpacked->end());
  if (header.fortran_order) bytes = to_row_major(bytes, type.shape, size);
  if (header.descr == kDouble) bytes = narrow_doubles(bytes);
  return bytes;
}

Status add_member(FileWeights& store, const ZipMember& member, const std::string& name,
                  const Wanted& wanted) {
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
    if (wanted.reads(name, stored.shape.elements())) {
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

Result<std::unique_ptr<WeightStore>> read_npz(const std::string& path, MappedFile file,
                                              const Wanted& wanted) {
  auto store = std::make_unique<FileWeights>(path, std::move(file));
  auto failure = [&path](std::string_view why) {
    return Diagnostics(fmt::format("{} is not a usable .npz file: {}", path, why));
  };
  Result<std::vector<ZipMember>> members = list_zip(store->file());
  if (!members) return failure(members.error().list().front().message);

  std::vector<std::string> stored;
  for (const ZipMember& member : *members) {
    if (!is_tensor_name(member.name) || !member.name.ends_with(kSuffix))
      return failure(
          fmt::format("member {} is not NAME.npy", is_tensor_name(member.name) ? member.name : "?"));
    stored.push_back(member.name.substr(0, member.name.size() - kSuffix.size()));
  }
  std::vector<std::string> names = wanted.names_of(stored);
  for (size_t i = 0; i < names.size(); ++i)
    if (Status added = add_member(*store, (*members)[i], names[i], wanted); !added)
      return failure(added.error().list().front().message);
  return std::unique_ptr<WeightStore>(std::move(store));
}

}  // namespace cardinal
