// Kernels: one function per distinct step, emitted mechanically from the plan.
//
// A kernel is `void name(ptr out, ptr in0, ..., ptr weights0, ..., ptr scratch, ptr next, i64 begin, i64
// end)`, internal to the module. It computes units [begin, end) of its step; plan.h says for each kernel what
// a unit is. The pointers are view bases: the view's offset is already added, in0... are Step::inputs and
// weights0... Step::weights in order. Those of steps with scratch have `scratch`. Kernels that fetch weights
// ahead (fetched_floats) have `next`, what is to be fetched in the end. A kernel depends on the step's
// kernel, views and weights' sizes only, never on where buffers are, so equal steps share one function.
#pragma once

#include <string>

#include "codegen/emitter.h"

namespace cardinal {

llvm::Function* emit_kernel(Emitter&, const Step&, llvm::StringRef name);

// Equal for two steps exactly if they may share a kernel function.
std::string kernel_key(const Step&);

// The parameters of the kernel function being emitted.
struct KernelArguments {
  llvm::Value *out = nullptr, *second_out = nullptr;
  llvm::SmallVector<llvm::Value*, 4> inputs, weights;
  llvm::Value *scratch = nullptr, *next = nullptr, *begin = nullptr, *end = nullptr;
};

// One emitter per kernel: each is called with the builder in the entry block of the kernel's function, whose
// name it may use as the prefix for functions of its own, and leaves it where `ret void` is to be.
void emit_conv_direct(Emitter&, const Step&, const ConvKernel&, const KernelArguments&);
void emit_conv_lanes(Emitter&, const Step&, const ConvKernel&, const KernelArguments&);
void emit_winograd(Emitter&, const Step&, const WinogradKernel&, const KernelArguments&);
void emit_strassen_sums(Emitter&, const Step&, const StrassenSumsKernel&, const KernelArguments&);
void emit_strassen(Emitter&, const Step&, const StrassenKernel&, const KernelArguments&);
void emit_pool(Emitter&, const Step&, const PoolKernel&, const KernelArguments&);
void emit_pointwise(Emitter&, const Step&, const PointwiseKernel&, const KernelArguments&);
void emit_reorder(Emitter&, const Step&, const ReorderKernel&, const KernelArguments&);
void emit_gather(Emitter&, const Step&, const GatherKernel&, const KernelArguments&);
void emit_resize(Emitter&, const Step&, const ResizeKernel&, const KernelArguments&);
void emit_moments(Emitter&, const Step&, const KernelArguments&);
void emit_group_factors(Emitter&, const Step&, const GroupFactorsKernel&, const KernelArguments&);
void emit_channel_conv(Emitter&, const Step&, const ChannelConvKernel&, const KernelArguments&);
void emit_adaptive_pool(Emitter&, const Step&, const AdaptivePoolKernel&, const KernelArguments&);
void emit_pad(Emitter&, const Step&, const PadKernel&, const KernelArguments&);
void emit_softmax(Emitter&, const Step&, const SoftmaxKernel&, const KernelArguments&);
void emit_channel_pool(Emitter&, const Step&, const ChannelPoolKernel&, const KernelArguments&);
void emit_layer_norm(Emitter&, const Step&, const LayerNormKernel&, const KernelArguments&);
void emit_response_norm(Emitter&, const Step&, const ResponseNormKernel&, const KernelArguments&);

}  // namespace cardinal
