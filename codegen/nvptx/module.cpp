#include "codegen/nvptx/module.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>

#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>

#include "codegen/cpu/kernels.h"
#include "codegen/nvptx/assembler.h"
#include "codegen/nvptx/kernels.h"
#include "codegen/nvptx/target.h"
#include "ir/internal_error.h"

namespace cardinal {

namespace {

const llvm::Target* nvptx_target() {
  static const llvm::Target* const target = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    std::string error;
    const llvm::Target* found =
        llvm::TargetRegistry::lookupTarget(llvm::Triple(base_gpu_target().triple), error);
    assert(found && "LLVM is built with the NVPTX target");
    return found;
  }();
  return target;
}

std::unique_ptr<llvm::TargetMachine> make_machine(const Target& target) {
  return std::unique_ptr<llvm::TargetMachine>(
      nvptx_target()->createTargetMachine(llvm::Triple(target.triple), target.cpu, "", llvm::TargetOptions(),
                                          std::nullopt, std::nullopt, llvm::CodeGenOptLevel::Default));
}

// What a kernel depends on.
std::string gpu_kernel_key(const Step& step) {
  std::string key = kernel_key(step);
  const auto add = [&](const View& view) {
    key += fmt::format(" {}a{}", to_string(view.dtype), vector_alignment(view));
  };
  for (const View& input : step.inputs) add(input);
  add(step.output);
  if (step.second_output) add(*step.second_output);
  return key;
}

Status emit_module(llvm::Module& module, llvm::TargetMachine& machine, const Plan& plan,
                   const Target& target) {
  module.setTargetTriple(machine.getTargetTriple());
  module.setDataLayout(machine.createDataLayout());
  const std::vector<std::string> names = gpu_kernel_names(plan);
  std::set<std::string_view> done;
  for (size_t i = 0; i < plan.steps.size(); ++i)
    if (done.insert(names[i]).second) emit_gpu_kernel(module, target, plan.steps[i], names[i]);
  std::string problems;
  llvm::raw_string_ostream stream(problems);
  if (llvm::verifyModule(module, &stream)) return Diagnostics("internal error: " + problems);
  return ok();
}

// LLVM has no way back from these; without a handler it would abort.
[[noreturn]] void exit_on_fatal_error(void*, const char* reason, bool) { internal_error(reason); }

}  // namespace

std::vector<std::string> gpu_kernel_names(const Plan& plan) {
  std::map<std::string, std::string> kernels;
  std::vector<std::string> names;
  for (const Step& step : plan.steps) {
    std::string& name = kernels[gpu_kernel_key(step)];
    if (name.empty()) name = fmt::format("k{}_{}", kernels.size() - 1, kernel_name(step.kernel));
    names.push_back(name);
  }
  return names;
}

Result<std::string> gpu_llvm_ir(const Plan& plan) {
  llvm::LLVMContext context;
  llvm::Module module("kernels", context);
  const auto machine = make_machine(plan.target);
  if (Status emitted = emit_module(module, *machine, plan, plan.target); !emitted)
    return emitted.take_error();
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream, nullptr);
  return text;
}

Result<std::string> gpu_ptx(const Plan& plan, const Target& target) {
  llvm::LLVMContext context;
  llvm::Module module("kernels", context);
  const auto machine = make_machine(target);
  if (Status emitted = emit_module(module, *machine, plan, target); !emitted) return emitted.take_error();
  const llvm::ScopedFatalErrorHandler fatal(exit_on_fatal_error);
  llvm::SmallVector<char, 0> text;
  llvm::raw_svector_ostream stream(text);
  llvm::legacy::PassManager passes;
  if (machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::AssemblyFile))
    return Diagnostics("internal error: LLVM cannot write PTX");
  passes.run(module);
  return std::string(text.begin(), text.end());
}

Result<std::string> gpu_cubin(const Plan& plan, const std::string& assembler) {
  Result<std::string> ptx = gpu_ptx(plan, plan.target);
  return ptx ? assemble_ptx(assembler, plan.target.cpu, *ptx) : ptx.take_error();
}

Result<std::vector<GpuCode>> gpu_codes(const Plan& plan, const std::string& assembler) {
  std::vector<GpuCode> codes;
  const auto add_ptx = [&](const Target& target) -> Status {
    Result<std::string> ptx = gpu_ptx(plan, target);
    if (!ptx) return ptx.take_error();
    codes.push_back({CARDINAL_GPU_PTX, &*target.gpu, *std::move(ptx)});
    return ok();
  };
  const Target& base = base_gpu_target();
  const bool on_base = !uses_wgmma(plan);  // of the family that every GPU runs
  if (on_base)
    if (Status added = add_ptx(base); !added) return added.take_error();
  if (!on_base || plan.target.cpu != base.cpu)
    if (Status added = add_ptx(plan.target); !added) return added.take_error();
  if (assembler.empty()) return codes;
  Result<std::string> cubin = assemble_ptx(assembler, plan.target.cpu, codes.back().data);
  if (!cubin) return cubin.take_error();
  codes.push_back({CARDINAL_GPU_CUBIN, &*plan.target.gpu, *std::move(cubin)});
  return codes;
}

}  // namespace cardinal
