#include "codegen/nvptx/tensor_core.h"

#include <llvm/IR/IntrinsicsNVPTX.h>

namespace cardinal {

namespace {

// The other lanes of a warp take part: the call must not be moved into a branch.
llvm::CallInst* convergent(llvm::CallInst* call) {
  call->addFnAttr(llvm::Attribute::Convergent);
  return call;
}

}  // namespace

Values load_matrices(Emitter& e, llvm::Value* address) {
  llvm::CallInst* call = e.builder.CreateIntrinsic(llvm::Intrinsic::nvvm_ldmatrix_sync_aligned_m8n8_x4_b16,
                                                   {address->getType()}, {address});
  convergent(call);
  Values registers;
  for (unsigned i = 0; i < 4; ++i) registers.push_back(e.builder.CreateExtractValue(call, i));
  return registers;
}

Values load_operands(Emitter& e, DType dtype, llvm::Value* address) {
  Values registers = load_matrices(e, address);
  if (dtype != DType::f32) return registers;
  for (llvm::Value*& value : registers)
    value = e.builder.CreateIntrinsic(llvm::Intrinsic::nvvm_f2tf32_rna, {},
                                      {e.builder.CreateBitCast(value, e.f32)});
  return registers;
}

namespace {

llvm::Intrinsic::ID product_of(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_f32_f32;
    case DType::bf16:
      return llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_bf16;
    case DType::f32:
      break;
  }
  return llvm::Intrinsic::nvvm_mma_m16n8k8_row_col_tf32;
}

}  // namespace

void multiply_tile(Emitter& e, DType dtype, llvm::ArrayRef<llvm::Value*> a, llvm::ArrayRef<llvm::Value*> b,
                   llvm::MutableArrayRef<llvm::Value*> sums) {
  Values arguments;
  auto* halves = llvm::FixedVectorType::get(e.builder.getHalfTy(), 2);
  for (llvm::ArrayRef<llvm::Value*> registers : {a, b})
    for (llvm::Value* value : registers)
      arguments.push_back(dtype == DType::f16 ? e.builder.CreateBitCast(value, halves) : value);
  arguments.append(sums.begin(), sums.end());
  llvm::CallInst* call = convergent(e.builder.CreateIntrinsic(product_of(dtype), {}, arguments));
  for (unsigned i = 0; i < sums.size(); ++i) sums[i] = e.builder.CreateExtractValue(call, i);
}

void copy_async(Emitter& e, llvm::Value* to, llvm::Value* from, llvm::Value* exists) {
  llvm::IRBuilder<>& b = e.builder;
  constexpr unsigned kGlobalSpace = 1;
  from = b.CreateAddrSpaceCast(from, llvm::PointerType::get(b.getContext(), kGlobalSpace));
  if (!exists) {
    b.CreateIntrinsic(llvm::Intrinsic::nvvm_cp_async_cg_shared_global_16, {}, {to, from});
    return;
  }
  llvm::Value* bytes = b.CreateSelect(exists, b.getInt32(16), b.getInt32(0));
  b.CreateIntrinsic(llvm::Intrinsic::nvvm_cp_async_cg_shared_global_16_s, {}, {to, from, bytes});
}

void commit_copies(Emitter& e) {
  e.builder.CreateIntrinsic(llvm::Intrinsic::nvvm_cp_async_commit_group, llvm::ArrayRef<llvm::Type*>(),
                            llvm::ArrayRef<llvm::Value*>());
}

void wait_for_copies(Emitter& e, int groups) {
  e.builder.CreateIntrinsic(llvm::Intrinsic::nvvm_cp_async_wait_group, {},
                            {e.builder.getInt32(static_cast<uint32_t>(groups))});
}

}  // namespace cardinal
