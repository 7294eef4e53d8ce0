// A network that was emitted and linked a moment ago, loaded without the runtime's checks.
#pragma once

#include <cardinal/abi.h>

#include <memory>
#include <string>

#include "ir/result.h"

namespace cardinal::testing {

struct LoadedNetwork {
  std::shared_ptr<void> library;  // keeps the code mapped
  const cardinal_model* model = nullptr;
};

// Links `object` into `path` and opens it.
Result<LoadedNetwork> link_and_load(const std::string& object, const std::string& symbol,
                                    const std::string& path);

}  // namespace cardinal::testing
