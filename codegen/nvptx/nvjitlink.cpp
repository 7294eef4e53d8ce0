// The few functions of nvJitLink that are called are declared here, for no CUDA toolkit is needed to build:
// "nvJitLink", NVIDIA's documentation of CUDA 13.0, section 3.
#include "codegen/nvptx/nvjitlink.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <type_traits>

namespace cardinal {

namespace {

constexpr const char* kLibrary = "libnvJitLink.so.13";
// It stays: what it has allocated for good would be lost.
constexpr int kOpen = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE;

using Handle = struct nvJitLink*;
constexpr int kSuccess = 0, kInputPtx = 2;

struct Library {
  int (*create)(Handle*, uint32_t options, const char* const* option);
  int (*add_data)(Handle, int kind, const void* data, size_t bytes, const char* name);
  int (*complete)(Handle);
  int (*cubin_bytes)(Handle, size_t*);
  int (*cubin)(Handle, void*);
  int (*log_bytes)(Handle, size_t*);
  int (*log)(Handle, char*);
  int (*destroy)(Handle*);
};

struct Close {
  void operator()(void* library) const { dlclose(library); }
};

// The name of the first function that the library lacks, or nullptr.
const char* find_missing(void* opened, Library& library) {
  const char* missing = nullptr;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(opened, name));
    if (!function && !missing) missing = name;
  };
  find(library.create, "nvJitLinkCreate");
  find(library.add_data, "nvJitLinkAddData");
  find(library.complete, "nvJitLinkComplete");
  find(library.cubin_bytes, "nvJitLinkGetLinkedCubinSize");
  find(library.cubin, "nvJitLinkGetLinkedCubin");
  find(library.log_bytes, "nvJitLinkGetErrorLogSize");
  find(library.log, "nvJitLinkGetErrorLog");
  find(library.destroy, "nvJitLinkDestroy");
  return missing;
}

std::string error_log(const Library& library, Handle handle) {
  size_t bytes = 0;
  if (library.log_bytes(handle, &bytes) != kSuccess) return {};
  std::string text(bytes, '\0');
  if (library.log(handle, text.data()) != kSuccess) return {};
  return text.c_str();  // it ends with a NUL
}

}  // namespace

std::string find_nvjitlink() {
  const std::unique_ptr<void, Close> opened(dlopen(kLibrary, kOpen));
  return opened ? kLibrary : "";
}

bool is_nvjitlink(const std::string& path) {
  return std::filesystem::path(path).filename().string().starts_with("libnvJitLink");
}

Result<std::string> assemble_by_nvjitlink(const std::string& path, const std::string& arch,
                                          const std::string& ptx) {
  const std::unique_ptr<void, Close> opened(dlopen(path.c_str(), kOpen));
  if (!opened) return Diagnostics(fmt::format("cannot load {}: {}", path, dlerror()));
  Library library;
  if (const char* missing = find_missing(opened.get(), library))
    return Diagnostics(fmt::format("{} has no {}; it must be that of CUDA 13", path, missing));
  const std::string option = "-arch=" + arch;
  const std::array<const char*, 2> options{option.c_str(), "-O3"};
  Handle handle = nullptr;
  if (int code = library.create(&handle, options.size(), options.data()))
    return Diagnostics(
        fmt::format("{} does not take {} (error {}): is it older than the GPU?", path, option, code));
  size_t bytes = 0;
  std::string cubin;
  const auto assemble = [&] {
    if (library.add_data(handle, kInputPtx, ptx.c_str(), ptx.size() + 1, "kernels") != kSuccess) return false;
    if (library.complete(handle) != kSuccess || library.cubin_bytes(handle, &bytes) != kSuccess) return false;
    cubin.resize(bytes);
    return library.cubin(handle, cubin.data()) == kSuccess;
  };
  const bool made = assemble();
  const std::string log = made ? "" : error_log(library, handle);
  library.destroy(&handle);
  if (!made) return Diagnostics(fmt::format("{} cannot assemble the kernels for {}: {}", path, arch, log));
  return cubin;
}

}  // namespace cardinal
