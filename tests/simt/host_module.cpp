#include "tests/simt/host_module.h"

#include <fmt/format.h>
#include <llvm/Analysis/ValueTracking.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/InstIterator.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/IR/ModuleSlotTracker.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Transforms/IPO/AlwaysInliner.h>
#include <llvm/Transforms/IPO/GlobalDCE.h>

#include <map>

namespace cardinal::simt {

namespace {

constexpr llvm::StringLiteral kPrefix = "llvm.nvvm.";

// Everything that is not a kernel becomes part of the kernels that call it.
void inline_functions(llvm::Module& module) {
  for (llvm::Function& function : module) {
    if (function.isDeclaration() || function.getCallingConv() == llvm::CallingConv::PTX_Kernel) continue;
    function.setLinkage(llvm::GlobalValue::InternalLinkage);
    function.removeFnAttr(llvm::Attribute::NoInline);
    function.removeFnAttr(llvm::Attribute::OptimizeNone);
    function.addFnAttr(llvm::Attribute::AlwaysInline);
  }
  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager sccs;
  llvm::ModuleAnalysisManager modules;
  llvm::PassBuilder builder;
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  llvm::ModulePassManager passes;
  passes.addPass(llvm::AlwaysInlinerPass());
  passes.addPass(llvm::GlobalDCEPass());
  passes.run(module, modules);
}

// "128,1,1" or "128" -> 128
std::optional<uint64_t> required_threads(const llvm::Function& kernel) {
  if (!kernel.hasFnAttribute("nvvm.reqntid")) return {};
  llvm::SmallVector<llvm::StringRef, 3> parts;
  kernel.getFnAttribute("nvvm.reqntid").getValueAsString().split(parts, ',');
  uint64_t threads = 1;
  for (llvm::StringRef part : parts) {
    uint64_t extent = 0;
    if (!part.trim().getAsInteger(10, extent)) threads *= extent;
  }
  return threads;
}

const Operation* operation_of(const llvm::CallBase& call) {
  llvm::StringRef name = call.getCalledFunction()->getName().drop_front(kPrefix.size());
  for (const char* suffix : {".p0", ".p1", ".p3"})
    if (name.ends_with(suffix)) name = name.drop_back(3);
  return find_operation({name.data(), name.size()});
}

const Operation* assembly_of(const llvm::CallBase& call) {
  const auto& code = *llvm::cast<llvm::InlineAsm>(call.getCalledOperand());
  if (!code.hasSideEffects() || !call.isConvergent()) return nullptr;
  return find_assembly(code.getAsmString(), code.getConstraintString());
}

struct Access {
  llvm::Value* pointer = nullptr;
  llvm::Type* type = nullptr;
  llvm::Align alignment;
  bool write = false, atomic = false;
};

std::optional<Access> access_of(llvm::Instruction& instruction) {
  std::optional<Access> access;
  if (auto* load = llvm::dyn_cast<llvm::LoadInst>(&instruction))
    access = {load->getPointerOperand(), load->getType(), load->getAlign(), false, load->isAtomic()};
  else if (auto* store = llvm::dyn_cast<llvm::StoreInst>(&instruction))
    access = {store->getPointerOperand(), store->getValueOperand()->getType(), store->getAlign(), true,
              store->isAtomic()};
  else if (auto* update = llvm::dyn_cast<llvm::AtomicRMWInst>(&instruction))
    access = {update->getPointerOperand(), update->getValOperand()->getType(), update->getAlign(), true,
              true};
  else if (auto* exchange = llvm::dyn_cast<llvm::AtomicCmpXchgInst>(&instruction))
    access = {exchange->getPointerOperand(), exchange->getNewValOperand()->getType(), exchange->getAlign(),
              true, true};
  if (access && llvm::isa<llvm::AllocaInst>(llvm::getUnderlyingObject(access->pointer))) return {};
  return access;
}

// Rewrites one kernel: loads, stores and NVVM intrinsics call the emulator.
class KernelRewriter {
 public:
  KernelRewriter(llvm::Function& kernel, llvm::ModuleSlotTracker& slots, std::deque<Site>& sites)
      : kernel_(kernel), slots_(slots), sites_(sites), builder_(kernel.getContext()) {
    llvm::Module& module = *kernel.getParent();
    auto* nothing = builder_.getVoidTy();
    auto* pointer = builder_.getPtrTy();
    call_ = module.getOrInsertFunction(kCallSymbol, nothing, pointer, pointer, pointer);
    access_ = module.getOrInsertFunction(kAccessSymbol, nothing, pointer, builder_.getInt64Ty(), pointer);
  }

  Status run() {
    slots_.incorporateFunction(kernel_);
    // All texts first: replacing an instruction changes the numbers of those without a name.
    std::vector<std::pair<llvm::Instruction*, Site*>> accesses, calls;
    for (llvm::Instruction& instruction : llvm::instructions(kernel_)) {
      if (access_of(instruction)) accesses.emplace_back(&instruction, make_site(instruction));
      const auto* call = llvm::dyn_cast<llvm::CallBase>(&instruction);
      if (!call) continue;
      if (Status emulated = check_call(*call); !emulated) return emulated;
      if (!is_nvvm(*call) && !call->isInlineAsm()) continue;
      Site* site = make_site(instruction);
      site->arguments = call->arg_size();
      site->operation = call->isInlineAsm() ? assembly_of(*call) : operation_of(*call);
      if (!site->operation)
        return refuse(
            *call, call->isInlineAsm() ? "is inline assembly, which cannot be emulated" : "is not emulated");
      calls.emplace_back(&instruction, site);
    }
    builder_.SetInsertPoint(&*kernel_.getEntryBlock().getFirstInsertionPt());
    in_ = builder_.CreateAlloca(builder_.getInt64Ty(), builder_.getInt32(kMaxSlots), "simt.in");
    out_ = builder_.CreateAlloca(builder_.getInt64Ty(), builder_.getInt32(kMaxSlots), "simt.out");
    for (auto [instruction, site] : accesses) check_access(*instruction, *site);
    for (auto [instruction, site] : calls) replace_call(llvm::cast<llvm::CallBase>(*instruction), *site);
    return ok();
  }

 private:
  static constexpr unsigned kMaxSlots = 130;  // wgmma's, with 128 sums

  static bool is_nvvm(const llvm::CallBase& call) {
    return call.getCalledFunction() && call.getCalledFunction()->getName().starts_with(kPrefix);
  }

  std::string text_of(const llvm::Instruction& instruction) {
    std::string text;
    llvm::raw_string_ostream out(text);
    instruction.print(out, slots_);
    out << ", in block ";
    instruction.getParent()->printAsOperand(out, false, slots_);
    return "at " + text.substr(text.find_first_not_of(' '));  // the printer indents
  }

  Site* make_site(const llvm::Instruction& instruction) {
    return &sites_.emplace_back(Site{.text = text_of(instruction)});
  }

  Status refuse(const llvm::CallBase& call, const char* why) {
    return Diagnostics(
        fmt::format("kernel '{}' {}: the call {}", kernel_.getName().str(), text_of(call), why));
  }

  Status check_call(const llvm::CallBase& call) {
    if (call.isInlineAsm())
      return call.arg_size() > kMaxSlots ? refuse(call, "has too many arguments") : ok();
    const llvm::Function* callee = call.getCalledFunction();
    if (!callee || !callee->isIntrinsic()) return refuse(call, "leaves the module");
    if (llvm::isa<llvm::MemIntrinsic>(call)) return refuse(call, "is not emulated; write a loop");
    if (is_nvvm(call) && call.arg_size() > kMaxSlots) return refuse(call, "has too many arguments");
    return ok();
  }

  llvm::Value* constant_address(const void* address) {
    return builder_.CreateIntToPtr(builder_.getInt64(reinterpret_cast<uint64_t>(address)),
                                   builder_.getPtrTy());
  }

  llvm::Value* generic(llvm::Value* pointer) {
    return builder_.CreateAddrSpaceCast(pointer, builder_.getPtrTy());
  }

  void check_access(llvm::Instruction& instruction, Site& site) {
    const Access access = *access_of(instruction);
    site.write = access.write;
    site.atomic = access.atomic;
    site.alignment = static_cast<uint32_t>(access.alignment.value());
    const uint64_t bytes = kernel_.getDataLayout().getTypeStoreSize(access.type);
    builder_.SetInsertPoint(&instruction);
    builder_.CreateCall(access_,
                        {generic(access.pointer), builder_.getInt64(bytes), constant_address(&site)});
  }

  llvm::Value* slot(llvm::Value* array, unsigned i) {
    return builder_.CreateConstInBoundsGEP1_32(builder_.getInt64Ty(), array, i);
  }

  // Any first-class value of up to 64 bits, in the low bits of a slot.
  llvm::Value* to_slot(llvm::Value* value) {
    if (value->getType()->isPointerTy())
      return builder_.CreatePtrToInt(generic(value), builder_.getInt64Ty());
    auto* integer = builder_.getIntNTy(static_cast<unsigned>(value->getType()->getPrimitiveSizeInBits()));
    return builder_.CreateZExt(builder_.CreateBitCast(value, integer), builder_.getInt64Ty());
  }
  llvm::Value* from_slot(llvm::Value* array, unsigned i, llvm::Type* type) {
    auto* integer = builder_.getIntNTy(static_cast<unsigned>(type->getPrimitiveSizeInBits()));
    llvm::Value* bits = builder_.CreateLoad(builder_.getInt64Ty(), slot(array, i));
    return builder_.CreateBitCast(builder_.CreateTrunc(bits, integer), type);
  }

  void replace_call(llvm::CallBase& call, const Site& site) {
    builder_.SetInsertPoint(&call);
    for (unsigned i = 0; i < call.arg_size(); ++i)
      builder_.CreateStore(to_slot(call.getArgOperand(i)), slot(in_, i));
    builder_.CreateCall(call_, {constant_address(&site), in_, out_});
    llvm::Type* type = call.getType();
    if (auto* members = llvm::dyn_cast<llvm::StructType>(type)) {
      llvm::Value* result = llvm::PoisonValue::get(type);
      for (unsigned i = 0; i < members->getNumElements(); ++i)
        result = builder_.CreateInsertValue(result, from_slot(out_, i, members->getElementType(i)), i);
      call.replaceAllUsesWith(result);
    } else if (!type->isVoidTy()) {
      call.replaceAllUsesWith(from_slot(out_, 0, type));
    }
    call.eraseFromParent();
  }

  llvm::Function& kernel_;
  llvm::ModuleSlotTracker& slots_;
  std::deque<Site>& sites_;
  llvm::IRBuilder<> builder_;
  llvm::FunctionCallee call_, access_;
  llvm::Value *in_ = nullptr, *out_ = nullptr;
};

// void entry(ptr arguments): calls the kernel with the pointers in the array.
void make_entry(llvm::Function& kernel, const std::string& symbol) {
  llvm::IRBuilder<> builder(kernel.getContext());
  auto* type = llvm::FunctionType::get(builder.getVoidTy(), {builder.getPtrTy()}, false);
  auto* entry = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, symbol, kernel.getParent());
  builder.SetInsertPoint(llvm::BasicBlock::Create(kernel.getContext(), "", entry));
  std::vector<llvm::Value*> arguments;
  for (const llvm::Argument& parameter : kernel.args()) {
    llvm::Value* place =
        builder.CreateConstInBoundsGEP1_32(builder.getPtrTy(), entry->getArg(0), parameter.getArgNo());
    llvm::Value* pointer = builder.CreateLoad(builder.getPtrTy(), place);
    arguments.push_back(builder.CreateAddrSpaceCast(pointer, parameter.getType()));
  }
  builder.CreateCall(&kernel, arguments);
  builder.CreateRetVoid();
}

Status check_parameters(const llvm::Function& kernel) {
  for (const llvm::Argument& parameter : kernel.args())
    if (!parameter.getType()->isPointerTy() || parameter.hasByValAttr())
      return Diagnostics(fmt::format("kernel '{}': parameter {} is no pointer", kernel.getName().str(),
                                     parameter.getArgNo()));
  return ok();
}

}  // namespace

Result<HostModule> make_host_module(llvm::Module& module, std::deque<Site>& sites) {
  inline_functions(module);
  HostModule host;
  llvm::ModuleSlotTracker slots(&module, false);
  std::vector<llvm::Function*> kernels;
  for (llvm::Function& function : module)
    if (function.getCallingConv() == llvm::CallingConv::PTX_Kernel && !function.isDeclaration())
      kernels.push_back(&function);
  for (llvm::Function* kernel : kernels) {
    if (Status pointers = check_parameters(*kernel); !pointers) return pointers.take_error();
    const std::string name = kernel->getName().str();
    host.kernels.push_back(
        {name, "simt_entry." + name, kernel->arg_size(), required_threads(*kernel), {}, 0});
    if (Status done = KernelRewriter(*kernel, slots, sites).run(); !done) return done.take_error();
  }
  if (Status placed = place_shared_variables(module, host.kernels); !placed) return placed.take_error();
  for (llvm::GlobalVariable& variable : module.globals()) {
    variable.setLinkage(llvm::GlobalValue::ExternalLinkage);
    host.globals.push_back({variable.getName().str(),
                            module.getDataLayout().getTypeAllocSize(variable.getValueType()),
                            !variable.isConstant()});
  }
  for (size_t i = 0; i < kernels.size(); ++i) {
    kernels[i]->setCallingConv(llvm::CallingConv::C);
    kernels[i]->setAttributes({});
    kernels[i]->setLinkage(llvm::GlobalValue::ExternalLinkage);
    make_entry(*kernels[i], host.kernels[i].entry_symbol);
  }
  return host;
}

}  // namespace cardinal::simt
