#include <fmt/format.h>
#include <llvm/AsmParser/Parser.h>
#include <llvm/ExecutionEngine/Orc/AbsoluteSymbols.h>
#include <llvm/ExecutionEngine/Orc/ExecutionUtils.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>

#include <cstring>
#include <map>
#include <mutex>

#include "tests/simt/cta.h"
#include "tests/simt/half.h"
#include "tests/simt/host_module.h"

namespace cardinal::simt {

namespace {

void call_emulator(const Site* site, const Slot* in, Slot* out) { Cta::current().call(*site, in, out); }
void check_access(const void* address, uint64_t bytes, const Site* site) {
  Cta::current().access(address, bytes, *site);
}

// What LLVM calls for bfloat arithmetic where the CPU has none; by value as the C ABI passes it, in xmm0.
__m128 truncate_to_bfloat(float x) { return _mm_castsi128_ps(_mm_cvtsi32_si128(float_to_bfloat(x))); }

Diagnostics failure(const char* what, llvm::Error error) {
  return Diagnostics(fmt::format("{}: {}", what, llvm::toString(std::move(error))));
}

Result<std::unique_ptr<llvm::Module>> parse(std::string_view text, llvm::LLVMContext& context) {
  llvm::SMDiagnostic problem;
  auto module = llvm::parseAssemblyString({text.data(), text.size()}, problem, context);
  std::string message;
  llvm::raw_string_ostream out(message);
  if (!module) {
    problem.print("kernels", out, false);
    return Diagnostics("the kernels are no valid LLVM IR: " + message);
  }
  if (llvm::verifyModule(*module, &out)) return Diagnostics("the kernels are no valid LLVM IR: " + message);
  return module;
}

Result<std::unique_ptr<llvm::orc::LLJIT>> make_jit() {
  static const bool initialised =
      !llvm::InitializeNativeTarget() && !llvm::InitializeNativeTargetAsmPrinter();
  if (!initialised) return Diagnostics("LLVM has no back end for this CPU");
  auto jit = llvm::orc::LLJITBuilder().create();
  if (!jit) return failure("cannot make a JIT compiler", jit.takeError());
  llvm::orc::SymbolMap symbols;
  const auto define = [&](const char* name, auto* function) {
    symbols[(*jit)->mangleAndIntern(name)] = {
        llvm::orc::ExecutorAddr::fromPtr(function),
        llvm::JITSymbolFlags::Exported | llvm::JITSymbolFlags::Callable};
  };
  define(kCallSymbol, &call_emulator);
  define(kAccessSymbol, &check_access);
  define("__truncsfbf2", &truncate_to_bfloat);
  auto& library = (*jit)->getMainJITDylib();
  if (auto error = library.define(llvm::orc::absoluteSymbols(std::move(symbols))))
    return failure("cannot define the emulator's symbols", std::move(error));
  auto process = llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
      (*jit)->getDataLayout().getGlobalPrefix());
  if (!process) return failure("cannot search this process", process.takeError());
  library.addGenerator(std::move(*process));  // for libm
  return std::move(*jit);
}

// One for the process: shared memory has one place, and the code of kernels refers to it by address.
std::mutex machine_mutex;
Cta& machine() {
  static Cta cta;
  return cta;
}

}  // namespace

struct Module::State {
  std::deque<Site> sites;  // before the code that refers to them
  std::unique_ptr<llvm::orc::LLJIT> jit;
  std::map<std::string, Kernel> kernels;
  std::vector<GlobalRange> globals;

  Status compile(std::string_view llvm_ir);
  Result<void*> find(const std::string& symbol) const;
};

Result<void*> Module::State::find(const std::string& symbol) const {
  auto address = jit->lookup(symbol);
  if (!address) return failure("cannot compile the kernels", address.takeError());
  return address->toPtr<void*>();
}

Status Module::State::compile(std::string_view llvm_ir) {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
    return Diagnostics("the emulator needs a CPU with AVX2, FMA and F16C");
  auto context = std::make_unique<llvm::LLVMContext>();
  Result<std::unique_ptr<llvm::Module>> module = parse(llvm_ir, *context);
  if (!module) return module.take_error();
  Result<std::unique_ptr<llvm::orc::LLJIT>> made = make_jit();
  if (!made) return made.take_error();
  jit = std::move(*made);
  Result<HostModule> host = make_host_module(**module, sites);
  if (!host) return host.take_error();
  (*module)->setTargetTriple(jit->getTargetTriple());
  (*module)->setDataLayout(jit->getDataLayout());
  std::string message;
  llvm::raw_string_ostream out(message);
  if (llvm::verifyModule(**module, &out)) return Diagnostics("the emulator broke the kernels: " + message);
  if (auto error = jit->addIRModule({std::move(*module), std::move(context)}))
    return failure("cannot compile the kernels", std::move(error));

  for (HostKernel& kernel : host->kernels) {
    Result<void*> entry = find(kernel.entry_symbol);
    if (!entry) return entry.take_error();
    Kernel compiled{.name = kernel.name,
                    .argument_count = kernel.argument_count,
                    .required_threads = kernel.required_threads,
                    .shared = std::move(kernel.shared),
                    .dynamic_begin = kernel.dynamic_begin};
    std::memcpy(&compiled.entry, &*entry, sizeof compiled.entry);
    kernels.emplace(kernel.name, std::move(compiled));
  }
  for (const HostGlobal& global : host->globals) {
    Result<void*> address = find(global.symbol);
    if (!address) return address.take_error();
    globals.push_back({static_cast<const unsigned char*>(*address), global.bytes, global.writable,
                       fmt::format("the variable '{}'", global.symbol)});
  }
  return ok();
}

Result<Module> Module::load(std::string_view llvm_ir) {
  auto state = std::make_shared<State>();
  if (Status compiled = state->compile(llvm_ir); !compiled) return compiled.take_error();
  Module module;
  module.state_ = std::move(state);
  return module;
}

std::vector<std::string> Module::kernels() const {
  std::vector<std::string> names;
  for (const auto& [name, kernel] : state_->kernels) names.push_back(name);
  return names;
}

size_t Module::parameter_count(const std::string& kernel) const {
  const auto found = state_->kernels.find(kernel);
  return found == state_->kernels.end() ? 0 : found->second.argument_count;
}

Status Module::run(const Launch& launch) const {
  const auto found = state_->kernels.find(launch.kernel);
  if (found == state_->kernels.end())
    return Diagnostics(fmt::format("there is no kernel '{}'", launch.kernel));
  const Kernel& kernel = found->second;
  const auto refuse = [&](const std::string& why) {
    return Diagnostics(fmt::format("kernel '{}': {}", kernel.name, why));
  };
  if (launch.arguments.size() != kernel.argument_count)
    return refuse(
        fmt::format("takes {} pointers, {} are given", kernel.argument_count, launch.arguments.size()));
  const uint64_t threads = launch.block.count();
  if (threads == 0 || threads > kMaxThreads || launch.grid.count() == 0)
    return refuse(fmt::format("cannot run {} CTAs of {} threads", launch.grid.count(), threads));
  if (kernel.required_threads && *kernel.required_threads != threads)
    return refuse(fmt::format("needs CTAs of {} threads (nvvm.reqntid), the launch has {}",
                              *kernel.required_threads, threads));
  uint64_t shared = launch.shared_bytes;
  for (const SharedRange& range : kernel.shared) shared += range.end - range.begin;
  if (shared > kMaxSharedBytes)
    return refuse(fmt::format("needs {} bytes of shared memory, there are {}", shared, kMaxSharedBytes));

  std::vector<GlobalRange> memory;
  for (size_t i = 0; i < launch.arguments.size(); ++i) {
    const Argument& argument = launch.arguments[i];
    memory.push_back({static_cast<const unsigned char*>(argument.data), argument.bytes, argument.writable,
                      fmt::format("argument {}", i)});
  }
  memory.insert(memory.end(), state_->globals.begin(), state_->globals.end());
  const std::scoped_lock lock(machine_mutex);
  return machine().run(kernel, launch, std::move(memory));
}

}  // namespace cardinal::simt
