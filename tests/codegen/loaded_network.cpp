#include "tests/codegen/loaded_network.h"

#include <dlfcn.h>

#include "codegen/codegen.h"

namespace cardinal::testing {

Result<LoadedNetwork> link_and_load(const std::string& object, const std::string& symbol,
                                    const std::string& path) {
  if (Status linked = link_shared({object}, symbol, path); !linked) return linked.take_error();
  LoadedNetwork network;
  network.library = {dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL), [](void* handle) {
                       if (handle) dlclose(handle);
                     }};
  if (!network.library) return Diagnostics(dlerror());
  const std::string name = symbol + "_cardinal_model";
  network.model = static_cast<const cardinal_model*>(dlsym(network.library.get(), name.c_str()));
  if (!network.model) return Diagnostics("no symbol " + name);
  return network;
}

}  // namespace cardinal::testing
