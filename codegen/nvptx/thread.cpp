#include "codegen/nvptx/thread.h"

#include <llvm/IR/IntrinsicsNVPTX.h>

#include <numeric>

#include "codegen/epilogue.h"

namespace cardinal {

namespace {

llvm::Value* special_register(Emitter& e, llvm::Intrinsic::ID id) {
  return e.builder.CreateZExt(
      e.builder.CreateIntrinsic(id, llvm::ArrayRef<llvm::Type*>(), llvm::ArrayRef<llvm::Value*>()), e.index);
}

llvm::Type* vector_of(llvm::Type* type) { return llvm::FixedVectorType::get(type, kGpuVector); }

// Of a view whose channels are evenly spaced over all blocks.
bool even_channels(const View& view) { return view.stride_block == kChannelBlock * view.stride_c; }

// Elements from channel 0 of a pixel to channel c.
Index channel_offset(Emitter& e, const View& view, llvm::Value* c) {
  if (view.first_channel != 0) c = e.add(c, view.first_channel);
  if (even_channels(view)) return e.mul(c, view.stride_c);
  return e.add(e.mul(e.div(c, kChannelBlock), view.stride_block),
               e.mul(e.rem(c, kChannelBlock), view.stride_c));
}

llvm::Value* pixel_address(Emitter& e, const View& view, llvm::Value* base, const VectorIndex& at) {
  llvm::Value* offset = e.add(e.mul(at.n, view.stride_n), e.mul(at.h, view.stride_h));
  return element(e, view, base, e.add(offset, e.mul(at.w, view.stride_w)));
}

llvm::Value* widen(Emitter& e, llvm::Value* value) {
  llvm::Type* f32 = value->getType()->isVectorTy() ? vector_of(e.f32) : e.f32;
  return value->getType() == f32 ? value : e.builder.CreateFPExt(value, f32);
}

llvm::Value* narrow(Emitter& e, llvm::Value* value, DType dtype) {
  if (dtype == DType::f32) return value;
  llvm::Type* type = element_type(e, dtype);
  return e.builder.CreateFPTrunc(value, value->getType()->isVectorTy() ? vector_of(type) : type);
}

llvm::Value* load_element(Emitter& e, const View& view, llvm::Value* address) {
  const llvm::Align align(static_cast<uint64_t>(dtype_bytes(view.dtype)));
  return widen(e, e.builder.CreateAlignedLoad(element_type(e, view.dtype), address, align));
}

// Whether vectors end where the view's lanes end: those of an operand without pad lanes may be fewer than the
// result's.
Index existing_vector(Emitter& e, const View& view, Index vector) {
  return view.padded ? vector : e.min(vector, channel_vectors(view) - 1);
}

}  // namespace

// ---- threads

llvm::Value* thread_block(Emitter& e, Axis axis) {
  constexpr llvm::Intrinsic::ID kIds[] = {llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_x,
                                          llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_y,
                                          llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_z};
  return special_register(e, kIds[static_cast<int>(axis)]);
}

llvm::Value* thread_index(Emitter& e) {
  return special_register(e, llvm::Intrinsic::nvvm_read_ptx_sreg_tid_x);
}

void synchronise(Emitter& e) {
  e.builder.CreateIntrinsic(llvm::Intrinsic::nvvm_barrier_cta_sync_aligned_all, {}, {e.builder.getInt32(0)});
}

llvm::Value* exchange(Emitter& e, llvm::Value* value, int mask) {
  constexpr uint32_t kAllLanes = 0xffffffff, kWholeWarp = 31;
  return e.builder.CreateIntrinsic(
      llvm::Intrinsic::nvvm_shfl_sync_bfly_f32, {},
      {e.builder.getInt32(kAllLanes), value, e.builder.getInt32(static_cast<uint32_t>(mask)),
       e.builder.getInt32(kWholeWarp)});
}

llvm::Value* shared_memory(Emitter& e) {
  constexpr unsigned kSharedSpace = 3;
  constexpr const char* kName = "cardinal_shared";
  if (llvm::GlobalVariable* found = e.module.getGlobalVariable(kName)) return found;
  auto* type = llvm::ArrayType::get(e.builder.getInt8Ty(), 0);
  auto* shared = new llvm::GlobalVariable(e.module, type, false, llvm::GlobalValue::ExternalLinkage, nullptr,
                                          kName, nullptr, llvm::GlobalValue::NotThreadLocal, kSharedSpace);
  shared->setAlignment(llvm::Align(1024));
  return shared;
}

llvm::Value* byte_offset(Emitter& e, llvm::Value* base, Index bytes) {
  if (bytes.is_constant() && bytes.constant() == 0) return base;
  return e.builder.CreateGEP(e.builder.getInt8Ty(), base, e.value_of(bytes));
}

void for_item(Emitter& e, int64_t items, llvm::function_ref<void(llvm::Value*)> body) {
  llvm::Value* item = e.add(e.mul(thread_block(e, Axis::x), kItemThreads), thread_index(e));
  if (items % kItemThreads == 0) return body(item);
  e.if_then(e.less(item, items), [&] { body(item); });
}

void for_warp_item(Emitter& e, int64_t items, llvm::function_ref<void(llvm::Value*, llvm::Value*)> body) {
  constexpr int64_t kWarp = 32, kWarps = kItemThreads / kWarp;
  llvm::Value* thread = thread_index(e);
  llvm::Value* item = e.add(e.mul(thread_block(e, Axis::x), kWarps), e.div(thread, kWarp));
  llvm::Value* lane = e.rem(thread, kWarp);
  if (items % kWarps == 0) return body(item, lane);
  e.if_then(e.less(item, items), [&] { body(item, lane); });
}

// ---- elements of views

llvm::Type* element_type(Emitter& e, DType dtype) {
  switch (dtype) {
    case DType::f16:
      return e.builder.getHalfTy();
    case DType::bf16:
      return e.builder.getBFloatTy();
    case DType::f32:
      break;
  }
  return e.f32;
}

llvm::Value* element(Emitter& e, const View& view, llvm::Value* base, Index offset) {
  if (offset.is_constant() && offset.constant() == 0) return base;
  return e.builder.CreateGEP(element_type(e, view.dtype), base, e.value_of(offset));
}

bool dense_vectors(const View& view) {
  return view.stride_c == 1 && view.first_channel % kGpuVector == 0 &&
         existing_channels(view) % kGpuVector == 0;
}

// Buffers are aligned to 16 bytes at least, whoever made them.
int64_t vector_alignment(const View& view) {
  int64_t bytes = 16;
  for (int64_t distance :
       {view.offset, view.stride_n, view.stride_block, view.stride_h, view.stride_w, kGpuVector})
    bytes = std::gcd(bytes, distance * dtype_bytes(view.dtype));
  return bytes;
}

llvm::Value* vector_address(Emitter& e, const View& view, llvm::Value* base, const VectorIndex& at) {
  const Index offset = channel_offset(e, view, e.mul(at.vector, kGpuVector));
  return element(e, view, pixel_address(e, view, base, at), offset);
}

llvm::Value* load_vector(Emitter& e, const View& view, llvm::Value* base, const VectorIndex& at) {
  llvm::IRBuilder<>& b = e.builder;
  if (view.stride_c == 0) return e.splat(load_element(e, view, pixel_address(e, view, base, at)), kGpuVector);
  if (dense_vectors(view)) {
    const llvm::Align align(static_cast<uint64_t>(vector_alignment(view)));
    llvm::Value* address =
        vector_address(e, view, base, {at.n, at.h, at.w, existing_vector(e, view, at.vector)});
    return widen(e, b.CreateAlignedLoad(vector_of(element_type(e, view.dtype)), address, align));
  }
  llvm::Value* value = zero_vector(e);
  llvm::Value* first = e.mul(at.vector, kGpuVector);
  for (int64_t lane = 0; lane < kGpuVector; ++lane) {
    llvm::Value* c = e.min(e.add(first, lane), existing_channels(view) - 1);
    value = b.CreateInsertElement(value, load_channel(e, view, base, at, c), static_cast<uint64_t>(lane));
  }
  return value;
}

void store_vector(Emitter& e, const View& view, llvm::Value* base, const VectorIndex& at,
                  llvm::Value* value) {
  llvm::IRBuilder<>& b = e.builder;
  value = narrow(e, value, view.dtype);
  if (dense_vectors(view)) {
    const llvm::Align align(static_cast<uint64_t>(vector_alignment(view)));
    b.CreateAlignedStore(value, vector_address(e, view, base, at), align);
    return;
  }
  llvm::Value *first = e.mul(at.vector, kGpuVector), *pixel = pixel_address(e, view, base, at);
  const int64_t channels = existing_channels(view);
  const llvm::Align align(static_cast<uint64_t>(dtype_bytes(view.dtype)));
  for (int64_t lane = 0; lane < kGpuVector; ++lane) {
    llvm::Value* c = e.add(first, lane);
    const auto store = [&] {
      b.CreateAlignedStore(b.CreateExtractElement(value, static_cast<uint64_t>(lane)),
                           element(e, view, pixel, channel_offset(e, view, c)), align);
    };
    const int64_t lanes_always = channels % kGpuVector == 0 ? kGpuVector : channels % kGpuVector;
    lane < lanes_always ? store() : e.if_then(e.less(c, channels), store);
  }
}

llvm::Value* load_channel(Emitter& e, const View& view, llvm::Value* base, const VectorIndex& pixel,
                          llvm::Value* c) {
  return load_element(e, view,
                      element(e, view, pixel_address(e, view, base, pixel), channel_offset(e, view, c)));
}

llvm::Value* load_constants(Emitter& e, llvm::Value* weights, Index vector) {
  llvm::Value* address = e.builder.CreateGEP(e.f32, weights, e.mul(vector, kGpuVector));
  return e.builder.CreateAlignedLoad(vector_of(e.f32), address, llvm::Align(32));
}

llvm::Value* zero_vector(Emitter& e) { return llvm::Constant::getNullValue(vector_of(e.f32)); }

void for_output_vector(Emitter& e, const GpuKernel& kernel,
                       llvm::function_ref<void(const VectorIndex&)> body) {
  const View& out = kernel.step.output;
  const Shape& s = out.shape;
  const int64_t vectors = channel_vectors(out), pixels = s.n() * s.h() * s.w();
  for_item(e, pixels * vectors, [&](llvm::Value* item) {
    const bool by_pixel = out.vector_channels();
    llvm::Value* vector = by_pixel ? e.rem(item, vectors) : e.rem(e.div(item, s.h() * s.w()), vectors);
    llvm::Value* pixel = by_pixel ? e.div(item, vectors) : e.rem(item, s.h() * s.w());
    llvm::Value* n = by_pixel ? e.div(pixel, s.h() * s.w()) : e.div(item, s.h() * s.w() * vectors);
    llvm::Value* row = e.div(pixel, s.w());
    body({n, e.rem(row, s.h()), e.rem(pixel, s.w()), vector});
  });
}

llvm::Value* finish_vector(Emitter& e, const GpuKernel& kernel, const Epilogue& epilogue, int first_operand,
                           const VectorIndex& at, llvm::Value* value) {
  return emit_epilogue(e, epilogue, value, [&](int i) {
    const auto operand = static_cast<size_t>(first_operand + i);
    return load_vector(e, kernel.step.inputs[operand], kernel.inputs[operand], at);
  });
}

}  // namespace cardinal
