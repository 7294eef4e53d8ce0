#include "codegen/nvptx/warpgroup.h"

#include <fmt/format.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/IntrinsicsNVPTX.h>

namespace cardinal {

namespace {

llvm::CallInst* call(Emitter& e, llvm::Intrinsic::ID id, llvm::ArrayRef<llvm::Value*> arguments = {}) {
  return e.builder.CreateIntrinsic(id, llvm::ArrayRef<llvm::Type*>(), arguments);
}

llvm::Value* i32(Emitter& e, int64_t value) { return e.builder.getInt32(static_cast<uint32_t>(value)); }

llvm::Value* in_space(Emitter& e, llvm::Value* pointer, unsigned space) {
  return e.builder.CreateAddrSpaceCast(pointer, llvm::PointerType::get(e.builder.getContext(), space));
}

// "$0, $1, ..." with `count` registers from `first` on.
std::string registers(size_t first, size_t count) {
  std::string text;
  for (size_t i = 0; i < count; ++i) text += fmt::format("{}${}", i ? ", " : "", first + i);
  return text;
}

// An instruction that changes `sums` in place, or after which they may be changed or read. Its operands are
// the sums, then `inputs`. LLVM has no intrinsics for wgmma that say what happens to registers.
void change_sums(Emitter& e, llvm::MutableArrayRef<llvm::Value*> sums, llvm::ArrayRef<llvm::Value*> inputs,
                 const std::string& text) {
  std::string constraints;
  for (size_t i = 0; i < sums.size(); ++i) constraints += "=f,";
  for (size_t i = 0; i < inputs.size(); ++i) constraints += "l,";
  for (size_t i = 0; i < sums.size(); ++i) constraints += fmt::format("{},", i);
  Values arguments(inputs.begin(), inputs.end());
  arguments.append(sums.begin(), sums.end());
  llvm::SmallVector<llvm::Type*> members(sums.size(), e.f32), types;
  for (llvm::Value* argument : arguments) types.push_back(argument->getType());
  auto* result = llvm::StructType::get(e.module.getContext(), members);
  auto* code = llvm::InlineAsm::get(llvm::FunctionType::get(result, types, false), text,
                                    constraints + "~{memory}", true);
  llvm::CallInst* done = e.builder.CreateCall(code, arguments);
  done->addFnAttr(llvm::Attribute::Convergent);
  for (unsigned i = 0; i < sums.size(); ++i) sums[i] = e.builder.CreateExtractValue(done, i);
}

}  // namespace

void init_barrier(Emitter& e, llvm::Value* barrier, int64_t arrivals) {
  call(e, llvm::Intrinsic::nvvm_mbarrier_init_shared, {barrier, i32(e, arrivals)});
}

void arrive(Emitter& e, llvm::Value* barrier) {
  call(e, llvm::Intrinsic::nvvm_mbarrier_arrive_shared, {barrier});
}

void arrive_expecting(Emitter& e, llvm::Value* barrier, int64_t bytes) {
  call(e, llvm::Intrinsic::nvvm_mbarrier_arrive_expect_tx_scope_cta_space_cta, {barrier, i32(e, bytes)});
}

void arrive_after_copies(Emitter& e, llvm::Value* barrier) {
  call(e, llvm::Intrinsic::nvvm_cp_async_mbarrier_arrive_noinc_shared, {barrier});
}

void wait_for_phase(Emitter& e, llvm::Value* barrier, llvm::Value* parity) {
  llvm::Function* function = e.builder.GetInsertBlock()->getParent();
  auto* loop = llvm::BasicBlock::Create(e.module.getContext(), "wait", function);
  auto* over = llvm::BasicBlock::Create(e.module.getContext(), "over", function);
  e.builder.CreateBr(loop);
  e.builder.SetInsertPoint(loop);
  llvm::Value* is_over =
      call(e, llvm::Intrinsic::nvvm_mbarrier_try_wait_parity_scope_cta_space_cta, {barrier, parity});
  e.builder.CreateCondBr(is_over, over, loop);
  e.builder.SetInsertPoint(over);
}

void fence_async_proxy(Emitter& e) { call(e, llvm::Intrinsic::nvvm_fence_proxy_async_shared_cta); }

void copy_bulk(Emitter& e, llvm::Value* to, llvm::Value* from, int64_t bytes, llvm::Value* barrier) {
  constexpr unsigned kGlobalSpace = 1, kClusterSpace = 7;
  llvm::IRBuilder<>& b = e.builder;
  call(e, llvm::Intrinsic::nvvm_cp_async_bulk_global_to_shared_cluster,
       {in_space(e, to, kClusterSpace), barrier, in_space(e, from, kGlobalSpace), i32(e, bytes),
        b.getInt16(0), b.getInt64(0), b.getFalse(), b.getFalse()});  // no multicast, no cache hint
}

void wait_for_all_copies(Emitter& e) { call(e, llvm::Intrinsic::nvvm_cp_async_wait_all); }

void set_registers(Emitter& e, RegisterChange change, int count) {
  const bool take = change == RegisterChange::take;
  call(e,
       take ? llvm::Intrinsic::nvvm_setmaxnreg_inc_sync_aligned_u32
            : llvm::Intrinsic::nvvm_setmaxnreg_dec_sync_aligned_u32,
       {i32(e, count)});
}

void synchronise_some(Emitter& e, int id, int64_t threads) {
  call(e, llvm::Intrinsic::nvvm_barrier_cta_sync_aligned_count, {i32(e, id), i32(e, threads)});
}

// PTX ISA, "Matrix Descriptor Format": in units of 16 bytes, the address in bits 0 to 13, the leading
// dimension's stride in 16 to 29 (1, not used with a swizzle), that from 8 rows to the next in 32 to 45; in
// bits 62 and 63 the swizzle, 1 for 128 bytes.
llvm::Value* swizzled_matrix(Emitter& e, llvm::Value* address) {
  constexpr uint64_t kLeading = 1, kEightRows = 8 * 128 / 16, kSwizzle128 = 1;
  constexpr uint64_t kFixed = kLeading << 16 | kEightRows << 32 | kSwizzle128 << 62;
  constexpr uint32_t kAddressBits = (1u << 18) - 1;
  llvm::IRBuilder<>& b = e.builder;
  llvm::Value* low = b.CreateAnd(b.CreatePtrToInt(address, b.getInt32Ty()), kAddressBits);
  return b.CreateOr(b.CreateZExt(b.CreateLShr(low, 4), b.getInt64Ty()), b.getInt64(kFixed));
}

void begin_products(Emitter& e, llvm::MutableArrayRef<llvm::Value*> sums) {
  change_sums(e, sums, {}, "wgmma.fence.sync.aligned;");
}

void commit_products(Emitter& e) { call(e, llvm::Intrinsic::nvvm_wgmma_commit_group_sync_aligned); }

void wait_for_products(Emitter& e, int groups) {
  call(e, llvm::Intrinsic::nvvm_wgmma_wait_group_sync_aligned,
       {e.builder.getInt64(static_cast<uint64_t>(groups))});
}

void finish_products(Emitter& e, llvm::MutableArrayRef<llvm::Value*> sums) {
  change_sums(e, sums, {}, "wgmma.wait_group.sync.aligned 0;");
}

void multiply_matrices(Emitter& e, DType dtype, llvm::Value* a, llvm::Value* b,
                       llvm::MutableArrayRef<llvm::Value*> sums) {
  const char* type = dtype == DType::f16 ? "f16" : "bf16";
  // Adds to the sums; neither operand negated nor transposed.
  change_sums(e, sums, {a, b},
              fmt::format("wgmma.mma_async.sync.aligned.m64n{0}k16.f32.{1}.{1} {{{2}}}, {3}, 1, 1, 1, 0, 0;",
                          2 * sums.size(), type, registers(0, sums.size()), registers(sums.size(), 2)));
}

}  // namespace cardinal
