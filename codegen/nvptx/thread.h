// What kernels of a GPU are written in: the threads of a launch, and vectors of 8 channels of a view.
//
// Values are computed in f32 whatever type they are stored in. Kernels are emitted with an emitter of their
// own, whose indices are as narrow as their tensors allow: a GPU computes addresses in 32 bits.
#pragma once

#include "codegen/emitter.h"
#include "passes/gpu_launch.h"

namespace cardinal {

// The step a kernel is emitted for, and the kernel's parameters: the outputs, the inputs, the weights.
struct GpuKernel {
  const Step& step;
  llvm::Value* out = nullptr;
  llvm::Value* second_out = nullptr;  // of a GpuConvPairKernel
  Values inputs, weights;
};

// ---- threads

enum class Axis : uint8_t { x, y, z };
llvm::Value* thread_block(Emitter&, Axis);  // its number in the grid
llvm::Value* thread_index(Emitter&);        // within the thread block, which has one axis
void synchronise(Emitter&);                 // all threads of the block
// The value of the lane whose number differs in the bits of `mask`; `value` is a float.
llvm::Value* exchange(Emitter&, llvm::Value* value, int mask);

// The dynamic shared memory of the module, as bytes.
llvm::Value* shared_memory(Emitter&);
llvm::Value* byte_offset(Emitter&, llvm::Value* base, Index bytes);

// body(item) for the item of this thread, if there is one: items are dealt out in order.
void for_item(Emitter&, int64_t items, llvm::function_ref<void(llvm::Value* item)> body);
// The same with a warp for each item; `lane` is the thread's number within it.
void for_warp_item(Emitter&, int64_t items,
                   llvm::function_ref<void(llvm::Value* item, llvm::Value* lane)> body);

// ---- elements of views

// Where a vector of 8 channels is: channels [8 * vector, 8 * vector + 8) of pixel (n, h, w).
struct VectorIndex {
  Index n = 0, h = 0, w = 0, vector = 0;
};

llvm::Type* element_type(Emitter&, DType);
llvm::Value* element(Emitter&, const View&, llvm::Value* base, Index offset);  // in elements of the view
llvm::Value* vector_address(Emitter&, const View&, llvm::Value* base, const VectorIndex&);
// Whether vectors of the view are 8 elements that follow each other.
bool dense_vectors(const View&);
// Bytes that they are aligned to.
int64_t vector_alignment(const View&);

// Eight floats. Lanes beyond the last channel hold a finite value of no meaning; that of a broadcast operand
// is in all lanes.
llvm::Value* load_vector(Emitter&, const View&, llvm::Value* base, const VectorIndex&);
// Lanes beyond the last channel are stored only where the view has them.
void store_vector(Emitter&, const View&, llvm::Value* base, const VectorIndex&, llvm::Value* value);
// One channel, 0 <= c < C, as a float.
llvm::Value* load_channel(Emitter&, const View&, llvm::Value* base, const VectorIndex& pixel, llvm::Value* c);

// Eight values of a packed channel vector.
llvm::Value* load_constants(Emitter&, llvm::Value* weights, Index vector);
llvm::Value* zero_vector(Emitter&);

// for_item over the vectors of the step's output: next to each other in memory for threads next to each
// other.
void for_output_vector(Emitter&, const GpuKernel&, llvm::function_ref<void(const VectorIndex&)> body);
// Applies an epilogue whose operands are the step's inputs from `first_operand` on.
llvm::Value* finish_vector(Emitter&, const GpuKernel&, const Epilogue&, int first_operand, const VectorIndex&,
                           llvm::Value* value);

}  // namespace cardinal
