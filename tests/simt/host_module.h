// Turns a module for nvptx64 into one for this CPU that calls the emulator (the only files here that see
// LLVM).
#pragma once

#include <llvm/IR/DataLayout.h>
#include <llvm/IR/Module.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "ir/result.h"
#include "tests/simt/operation.h"
#include "tests/simt/shared_memory.h"

namespace cardinal::simt {

struct HostKernel {
  std::string name, entry_symbol;  // entry: void(const void* const* arguments)
  size_t argument_count = 0;
  std::optional<uint64_t> required_threads;
  std::vector<SharedRange> shared;
  uint32_t dynamic_begin = 0;
};

struct HostGlobal {
  std::string symbol;
  size_t bytes = 0;
  bool writable = false;
};

struct HostModule {
  std::vector<HostKernel> kernels;
  std::vector<HostGlobal> globals;  // constants and device variables
};

// Names of the emulator's functions as the code calls them:
//   void simt_call(const Site*, const Slot* in, Slot* out)
//   void simt_access(const void* address, uint64_t bytes, const Site*)
inline constexpr char kCallSymbol[] = "simt_call", kAccessSymbol[] = "simt_access";

// Changes `module` in place. `sites` keeps what the code refers to by address.
Result<HostModule> make_host_module(llvm::Module& module, std::deque<Site>& sites);

// Places the variables in shared memory at fixed addresses and says which each kernel uses.
Status place_shared_variables(llvm::Module& module, std::vector<HostKernel>& kernels);

}  // namespace cardinal::simt
