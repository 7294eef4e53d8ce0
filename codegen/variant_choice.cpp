#include "codegen/variant_choice.h"

#include <cardinal/abi.h>
#include <cardinal/cpu.h>

#include <cstddef>

#include <llvm/IR/Constants.h>
#include <llvm/IR/InlineAsm.h>

#include "codegen/llvm_target.h"

namespace cardinal {

namespace {

enum class Register : unsigned { eax, ebx, ecx };

// What cpuid leaves in a register for subleaf 0 of a leaf.
llvm::Value* cpuid(Emitter& e, uint32_t leaf, Register wanted) {
  llvm::Type* i32 = e.builder.getInt32Ty();
  auto* type = llvm::FunctionType::get(llvm::StructType::get(i32, i32, i32, i32), {i32, i32}, false);
  auto* code = llvm::InlineAsm::get(type, "cpuid", "={ax},={bx},={cx},={dx},0,2", false);
  llvm::Value* registers =
      e.builder.CreateCall(type, code, {e.builder.getInt32(leaf), e.builder.getInt32(0)});
  return e.builder.CreateExtractValue(registers, static_cast<unsigned>(wanted));
}

// The low half of XCR0.
llvm::Value* saved_register_states(Emitter& e) {
  llvm::Type* i32 = e.builder.getInt32Ty();
  auto* type = llvm::FunctionType::get(llvm::StructType::get(i32, i32), {i32}, false);
  // It has side effects as far as LLVM knows, so that it stays behind the check that it exists.
  auto* code = llvm::InlineAsm::get(type, "xgetbv", "={ax},={dx},{cx}", true);
  return e.builder.CreateExtractValue(e.builder.CreateCall(type, code, {e.builder.getInt32(0)}), 0);
}

llvm::Value* has_all(Emitter& e, llvm::Value* bits, uint32_t mask) {
  return e.builder.CreateICmpEQ(e.builder.CreateAnd(bits, mask), e.builder.getInt32(mask));
}

llvm::BasicBlock* new_block(Emitter& e, llvm::Function* function, const char* name) {
  return llvm::BasicBlock::Create(e.module.getContext(), name, function);
}

// A pointer that is read and written whole by any number of threads at once.
llvm::LoadInst* load_shared(Emitter& e, llvm::Value* address) {
  llvm::LoadInst* load = e.builder.CreateAlignedLoad(e.ptr, address, llvm::Align(8));
  load->setAtomic(llvm::AtomicOrdering::Monotonic);
  return load;
}

// The rest of a function that returns what cpuid says.
void emit_cpuid_features(Emitter& e, llvm::Function* function) {
  using namespace cpu;
  llvm::IRBuilder<>& b = e.builder;
  llvm::BasicBlock *entry = b.GetInsertBlock(), *look = new_block(e, function, "look"),
                   *exit = new_block(e, function, "exit");
  llvm::Value* has_leaf = b.CreateICmpUGE(cpuid(e, 0, Register::eax), b.getInt32(kLastLeafNeeded));
  llvm::Value* may_look = has_all(e, cpuid(e, 1, Register::ecx), kLeaf1EcxAvx2);
  b.CreateCondBr(b.CreateAnd(has_leaf, may_look), look, exit);

  b.SetInsertPoint(look);
  llvm::Value* leaf7 = cpuid(e, kLastLeafNeeded, Register::ebx);
  llvm::Value* extended = cpuid(e, kExtendedLeaf, Register::ecx);
  llvm::Value* saved = saved_register_states(e);
  llvm::Value* avx2 =
      b.CreateAnd(has_all(e, leaf7, kLeaf7EbxAvx2),
                  b.CreateAnd(has_all(e, extended, kExtendedEcxAvx2), has_all(e, saved, kSavedAvx2)));
  llvm::Value* avx512 = b.CreateAnd(has_all(e, leaf7, kLeaf7EbxAvx512), has_all(e, saved, kSavedAvx512));
  llvm::Value* with_avx2 =
      b.CreateSelect(avx512, b.getInt32(CARDINAL_FEATURE_AVX2_FMA | CARDINAL_FEATURE_AVX512),
                     b.getInt32(CARDINAL_FEATURE_AVX2_FMA));
  llvm::Value* found = b.CreateSelect(avx2, with_avx2, b.getInt32(0));
  b.CreateBr(exit);

  b.SetInsertPoint(exit);
  llvm::PHINode* features = b.CreatePHI(b.getInt32Ty(), 2);
  features->addIncoming(b.getInt32(0), entry);
  features->addIncoming(found, look);
  b.CreateRet(features);
}

}  // namespace

llvm::Function* emit_cpu_features(llvm::Module& module, const Target& any) {
  Emitter e(module, any);
  llvm::IRBuilder<>& b = e.builder;
  llvm::Function* function = e.begin_function("cpu_features", {}, b.getInt32Ty());
  if (is_aarch64(any))
    b.CreateRet(b.getInt32(CARDINAL_FEATURE_NEON));  // nothing to ask: every one has it
  else
    emit_cpuid_features(e, function);
  return function;
}

llvm::Function* emit_variant_choice(llvm::Module& module, const Target& any,
                                    const std::vector<Variant>& variants, llvm::Function* cpu_features,
                                    const std::string& symbol) {
  Emitter e(module, any);
  llvm::IRBuilder<>& b = e.builder;
  llvm::Constant* none = llvm::ConstantPointerNull::get(e.ptr);
  llvm::Function* function = e.begin_function(symbol + "_variant", {}, e.ptr);
  function->setLinkage(llvm::GlobalValue::ExternalLinkage);
  // cpuid takes a hundred cycles, under a hypervisor thousands: NET_run asks once. A network that has nothing
  // to choose from keeps no state.
  llvm::GlobalVariable* chosen = nullptr;
  if (variants.size() > 1) {
    chosen =
        new llvm::GlobalVariable(module, e.ptr, false, llvm::GlobalValue::PrivateLinkage, none, "chosen");
    llvm::BasicBlock *known = new_block(e, function, "known"), *ask = new_block(e, function, "ask");
    llvm::Value* earlier = load_shared(e, chosen);
    b.CreateCondBr(b.CreateIsNull(earlier), ask, known);
    b.SetInsertPoint(known);
    b.CreateRet(earlier);
    b.SetInsertPoint(ask);
  }
  llvm::Value *features = b.CreateCall(cpu_features), *best = none;
  for (const Variant& variant : variants)
    best = b.CreateSelect(has_all(e, features, variant.required_features), variant.table, best);
  if (chosen) b.CreateAlignedStore(best, chosen, llvm::Align(8))->setAtomic(llvm::AtomicOrdering::Monotonic);
  b.CreateRet(best);
  return function;
}

void emit_dispatch(llvm::Module& module, const Target& any, const Variant& first, llvm::Function* choice,
                   const std::string& symbol) {
  Emitter e(module, any);
  llvm::IRBuilder<>& b = e.builder;
  llvm::Function* function = e.begin_function(symbol + "_run", {e.ptr, e.ptr});
  function->setLinkage(llvm::GlobalValue::ExternalLinkage);
  llvm::Value* variant = b.CreateCall(choice);
  variant = b.CreateSelect(b.CreateIsNull(variant), first.table, variant);
  llvm::Value* member = b.CreateConstGEP1_64(b.getInt8Ty(), variant, offsetof(cardinal_model, run));
  auto* type = llvm::FunctionType::get(b.getVoidTy(), {e.ptr, e.ptr}, false);
  b.CreateCall(type, b.CreateLoad(e.ptr, member), {function->getArg(0), function->getArg(1)});
  e.end_function();
}

}  // namespace cardinal
