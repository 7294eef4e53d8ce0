#include <fmt/format.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Instructions.h>

#include <map>
#include <set>

#include "tests/simt/host_module.h"

namespace cardinal::simt {

namespace {

constexpr unsigned kSharedSpace = 3;
constexpr uint32_t kDynamicAlignment = 1024;
constexpr uint64_t kMaxStaticBytes = 48 << 10;  // what ptxas accepts

// The functions with an instruction that uses `value`, be it through constant expressions.
void find_users(const llvm::Value& value, std::set<const llvm::Function*>& functions) {
  for (const llvm::User* user : value.users()) {
    if (const auto* instruction = llvm::dyn_cast<llvm::Instruction>(user))
      functions.insert(instruction->getFunction());
    else
      find_users(*user, functions);
  }
}

uint32_t align_up(uint64_t offset, uint64_t alignment) {
  return static_cast<uint32_t>((offset + alignment - 1) / alignment * alignment);
}

llvm::Constant* address_of(const llvm::GlobalVariable& variable, uint32_t offset) {
  auto* integer = llvm::Type::getInt64Ty(variable.getContext());
  const auto address = reinterpret_cast<uint64_t>(SharedMemory::base() + offset);
  return llvm::ConstantExpr::getIntToPtr(llvm::ConstantInt::get(integer, address), variable.getType());
}

}  // namespace

Status place_shared_variables(llvm::Module& module, std::vector<HostKernel>& kernels) {
  std::map<const llvm::Function*, HostKernel*> kernel_of;
  for (HostKernel& kernel : kernels) kernel_of[module.getFunction(kernel.name)] = &kernel;
  std::map<const HostKernel*, uint32_t> ends;
  std::vector<llvm::GlobalVariable*> variables, dynamic;
  for (llvm::GlobalVariable& variable : module.globals())
    if (variable.getAddressSpace() == kSharedSpace)
      (variable.isDeclaration() ? dynamic : variables).push_back(&variable);

  for (llvm::GlobalVariable* variable : variables) {
    std::set<const llvm::Function*> users;
    find_users(*variable, users);
    const uint64_t bytes = module.getDataLayout().getTypeAllocSize(variable->getValueType());
    uint32_t begin = 0;
    for (const llvm::Function* user : users)
      begin = std::max(begin, align_up(ends[kernel_of[user]], variable->getAlign().valueOrOne().value()));
    if (begin + bytes > kSharedArena)
      return Diagnostics(
          fmt::format("shared variable '{}' of {} bytes does not fit", variable->getName().str(), bytes));
    for (const llvm::Function* user : users) {
      HostKernel* kernel = kernel_of[user];
      kernel->shared.push_back({begin, begin + static_cast<uint32_t>(bytes)});
      ends[kernel] = begin + static_cast<uint32_t>(bytes) + kSharedGap;
    }
    variable->replaceAllUsesWith(address_of(*variable, begin));
  }
  uint32_t dynamic_begin = 0;
  for (HostKernel& kernel : kernels) {
    uint64_t bytes = 0;
    for (const SharedRange& range : kernel.shared) bytes += range.end - range.begin;
    if (bytes > kMaxStaticBytes)
      return Diagnostics(fmt::format("kernel '{}' has {} bytes of static shared memory, {} are possible",
                                     kernel.name, bytes, kMaxStaticBytes));
    dynamic_begin = std::max(dynamic_begin, align_up(ends[&kernel], kDynamicAlignment));
  }
  for (HostKernel& kernel : kernels) kernel.dynamic_begin = dynamic_begin;
  for (llvm::GlobalVariable* variable : dynamic)
    variable->replaceAllUsesWith(address_of(*variable, dynamic_begin));
  for (auto* list : {&variables, &dynamic})
    for (llvm::GlobalVariable* variable : *list) variable->eraseFromParent();
  return ok();
}

}  // namespace cardinal::simt
