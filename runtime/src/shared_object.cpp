#include "runtime/src/shared_object.h"

#include <dlfcn.h>
#include <link.h>

#include <atomic>
#include <cstdlib>
#include <utility>

namespace cardinal::runtime {

namespace {

// The dynamic loader takes a path it has seen before for the library it loaded then, without looking at the
// file. A network that was recompiled while an old version is in use would come back as the old one, so every
// call spells the path differently: the directory, then one "/" or "/." per bit of a counter. Equal files are
// still mapped once, because the loader then compares device and inode.
std::string spell_anew(const std::string& absolute_path) {
  static std::atomic<uint64_t> calls{0};
  const size_t slash = absolute_path.rfind('/');
  std::string spelling = absolute_path.substr(0, slash);
  for (uint64_t bits = calls++; bits; bits >>= 1) spelling += bits & 1 ? "/." : "/";
  return spelling + absolute_path.substr(slash);
}

std::string loader_message() {
  const char* message = dlerror();
  return message ? message : "unknown reason";
}

}  // namespace

Expected<SharedObject> SharedObject::open(const std::string& path, const MappedFile& checked) {
  // dlopen would look for a name without a slash in the library path.
  char* absolute = realpath(path.c_str(), nullptr);
  const std::string spelling = absolute ? spell_anew(absolute) : path;
  std::free(absolute);
  SharedObject object;
  object.path_ = path;
  object.handle_ = dlopen(spelling.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!object.handle_) return Error(path + ": the dynamic loader refuses it: " + loader_message());
  if (!checked.is_still(path)) return Error(path + ": was replaced while it was being loaded; load it again");
  return object;
}

SharedObject& SharedObject::operator=(SharedObject&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(handle_, other.handle_);
  return *this;
}

SharedObject::~SharedObject() {
  if (handle_) dlclose(handle_);
}

Expected<const cardinal_model*> SharedObject::find_model(const std::string& symbol) const {
  void* address = dlsym(handle_, symbol.c_str());
  if (!address)
    return Error(path_ + ": lacks the symbol '" + symbol + "' that its trailer names; recompile the network");
  Dl_info info;
  void* found = nullptr;
  const bool known = dladdr1(address, &info, &found, RTLD_DL_SYMENT) != 0 && found;
  const auto* entry = static_cast<const ElfW(Sym)*>(found);
  if (!known || ELF64_ST_TYPE(entry->st_info) != STT_OBJECT || entry->st_size < sizeof(uint32_t) * 2) {
    return Error(path_ + ": its symbol '" + symbol + "' is not a model table; recompile the network");
  }
  const auto* model = static_cast<const cardinal_model*>(address);
  if (model->abi_version == CARDINAL_ABI_VERSION && entry->st_size < sizeof(cardinal_model)) {
    return Error(path_ + ": its model table has " + std::to_string(entry->st_size) + " bytes, expected " +
                 std::to_string(sizeof(cardinal_model)) + "; recompile the network");
  }
  return model;
}

}  // namespace cardinal::runtime
