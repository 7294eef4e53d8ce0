#include "compiler/weights/hdf5_file.h"

#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <type_traits>

namespace cardinal {

namespace {

static_assert(std::is_same_v<hid_t, int64_t>);

constexpr int kMaxDepth = 32;            // of nested groups
constexpr size_t kMaxObjects = 200'000;  // groups and datasets; hard links can make cycles
constexpr size_t kMaxText = 512;         // bytes of an attribute's text

// Closes what it holds; any kind of identifier.
class Handle {
 public:
  explicit Handle(hid_t id) : id_(id) {}
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() {
    if (id_ >= 0) H5Idec_ref(id_);
  }
  hid_t id() const { return id_; }
  bool ok() const { return id_ >= 0; }

 private:
  hid_t id_;
};

// libhdf5 reads files in memory through a buffer of its own, unless these give it the file itself for a
// buffer. `image` is the file. It is opened to be read, so nothing is written there.
void* lend(size_t, H5FD_file_image_op_t, void* image) { return image; }
void* keep(void* to, const void*, size_t, H5FD_file_image_op_t, void*) { return to; }
void* refuse_to_grow(void*, size_t, H5FD_file_image_op_t, void*) { return nullptr; }
herr_t leave(void*, H5FD_file_image_op_t, void*) { return 0; }
void* copy_user_data(void* image) { return image; }
herr_t free_user_data(void*) { return 0; }

constexpr std::string_view kDamaged = "the file is damaged, or needs a newer libhdf5";

// The text of a group's attribute `name`, or "".
std::string name_attribute(hid_t group) {
  if (H5Aexists(group, "name") <= 0) return {};
  Handle attribute(H5Aopen(group, "name", H5P_DEFAULT)), type(H5Aget_type(attribute.id())),
      space(H5Aget_space(attribute.id()));
  if (H5Tget_class(type.id()) != H5T_STRING || H5Sget_simple_extent_npoints(space.id()) != 1) return {};
  if (H5Tis_variable_str(type.id()) > 0) {
    char* text = nullptr;
    if (H5Aread(attribute.id(), type.id(), &text) < 0 || !text) return {};
    std::string out(text, strnlen(text, kMaxText));
    H5free_memory(text);
    return out;
  }
  size_t bytes = H5Tget_size(type.id());
  std::string out(bytes <= kMaxText ? bytes : 0, '\0');
  if (out.empty() || H5Aread(attribute.id(), type.id(), out.data()) < 0) return {};
  return out.substr(0, out.find('\0'));
}

std::string dtype_name(hid_t type) {
  if (H5Tget_class(type) != H5T_INTEGER) return "not a number";
  return fmt::format("{}int{}", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", 8 * H5Tget_size(type));
}

// Whether the elements lie in the file itself.
bool is_self_contained(hid_t dataset) {
  Handle properties(H5Dget_create_plist(dataset));
  H5D_layout_t layout = H5Pget_layout(properties.id());
  return (layout == H5D_COMPACT || layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED) &&
         H5Pget_external_count(properties.id()) == 0;
}

// The names of a group's members that are not links to elsewhere.
herr_t add_member(hid_t, const char* name, const H5L_info_t* info, void* names) {
  if (info->type == H5L_TYPE_HARD) static_cast<std::vector<std::string>*>(names)->emplace_back(name);
  return static_cast<std::vector<std::string>*>(names)->size() > kMaxObjects ? -1 : 0;
}

std::string where(const std::string& path) { return path.empty() ? "its root" : path; }

}  // namespace

Hdf5File::~Hdf5File() {
  if (file_ >= 0) H5Fclose(file_);
}

std::string Hdf5File::open(std::span<const std::byte> bytes) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // it prints its errors otherwise
  H5PLset_loading_state(0);                     // a file must not make it load code
  void* image = const_cast<std::byte*>(bytes.data());
  Handle access(H5Pcreate(H5P_FILE_ACCESS));
  H5FD_file_image_callbacks_t callbacks{lend,           keep,           refuse_to_grow, leave,
                                        copy_user_data, free_user_data, image};
  if (H5Pset_fapl_core(access.id(), 1 << 16, false) < 0 ||
      H5Pset_file_image_callbacks(access.id(), &callbacks) < 0 ||
      H5Pset_file_image(access.id(), image, bytes.size()) < 0)
    return "libhdf5 cannot read from memory";
  file_ = H5Fopen("image", H5F_ACC_RDONLY, access.id());
  if (file_ < 0) return "libhdf5 cannot open it; is the file truncated?";
  return list(file_, "", 0);
}

std::string Hdf5File::list(int64_t group, const std::string& path, int depth) {
  if (depth > kMaxDepth) return fmt::format("{} is nested more than {} groups deep", path, kMaxDepth);
  std::vector<std::string> members;
  hsize_t index = 0;
  if (H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &index, add_member, &members) < 0)
    return fmt::format("libhdf5 cannot list {}; {}", where(path), kDamaged);
  if (depth > 0)
    if (std::string name = name_attribute(group); !name.empty()) group_names_.emplace(path, name);
  for (const std::string& member : members) {
    if (++objects_ > kMaxObjects) return fmt::format("it has more than {} groups and datasets", kMaxObjects);
    std::string member_path = path.empty() ? member : path + "/" + member;
    Handle object(H5Oopen(group, member.c_str(), H5P_DEFAULT));
    if (!object.ok()) return fmt::format("libhdf5 cannot open {}; {}", member_path, kDamaged);
    H5I_type_t type = H5Iget_type(object.id());
    std::string problem = type == H5I_GROUP     ? list(object.id(), member_path, depth + 1)
                          : type == H5I_DATASET ? describe(object.id(), member_path)
                                                : std::string();
    if (!problem.empty()) return problem;
  }
  return {};
}

std::string Hdf5File::describe(int64_t dataset, const std::string& path) {
  Handle space(H5Dget_space(dataset)), type(H5Dget_type(dataset));
  int rank = H5Sget_simple_extent_ndims(space.id());
  if (rank < 0 || rank > H5S_MAX_RANK || !type.ok())
    return fmt::format("libhdf5 cannot tell the type of {}; {}", path, kDamaged);
  if (!is_self_contained(dataset)) return fmt::format("the elements of {} are not in the file itself", path);
  Hdf5Dataset out{path, std::vector<uint64_t>(static_cast<size_t>(rank)), {}};
  std::vector<hsize_t> dims(out.dims.size() + 1);  // never empty, so that data() is not null
  H5Sget_simple_extent_dims(space.id(), dims.data(), nullptr);
  std::copy(dims.begin(), dims.end() - 1, out.dims.begin());
  if (H5Tget_class(type.id()) != H5T_FLOAT || H5Sget_simple_extent_type(space.id()) == H5S_NULL)
    out.unreadable = dtype_name(type.id());
  datasets_.push_back(std::move(out));
  return {};
}

bool Hdf5File::read(const Hdf5Dataset& dataset, float* out) const {
  Handle opened(H5Dopen2(file_, dataset.path.c_str(), H5P_DEFAULT));
  return opened.ok() && H5Dread(opened.id(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0;
}

}  // namespace cardinal
