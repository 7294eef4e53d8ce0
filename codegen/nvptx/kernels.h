// Kernels of a GPU: one function per distinct step, emitted mechanically from the plan.
//
// A kernel is `ptx_kernel void name(ptr out, ptr second_out if there is one, ptr in0, ..., ptr weights0,
// ...)`, launched as Step::launch says. The pointers are view bases: the view's offset is already added.
#pragma once

#include "codegen/nvptx/thread.h"

namespace cardinal {

llvm::Function* emit_gpu_kernel(llvm::Module&, const Target&, const Step&, llvm::StringRef name);

// One emitter per kernel, called with the builder in the entry block of the kernel's function, which it
// leaves where `ret void` is to be.
void emit_gpu_pointwise(Emitter&, const GpuKernel&, const PointwiseKernel&);
void emit_gpu_split_sum(Emitter&, const GpuKernel&, const SplitSumKernel&);
void emit_gpu_reorder(Emitter&, const GpuKernel&, const ReorderKernel&);
void emit_gpu_gather(Emitter&, const GpuKernel&, const GatherKernel&);
void emit_gpu_resize(Emitter&, const GpuKernel&, const ResizeKernel&);
void emit_gpu_pad(Emitter&, const GpuKernel&, const PadKernel&);
void emit_gpu_pool(Emitter&, const GpuKernel&, const PoolKernel&);
void emit_gpu_adaptive_pool(Emitter&, const GpuKernel&, const AdaptivePoolKernel&);
void emit_gpu_global_average(Emitter&, const GpuKernel&);
void emit_gpu_moments(Emitter&, const GpuKernel&);
void emit_gpu_group_factors(Emitter&, const GpuKernel&, const GroupFactorsKernel&);
void emit_gpu_channel_pool(Emitter&, const GpuKernel&, const ChannelPoolKernel&);
void emit_gpu_softmax(Emitter&, const GpuKernel&, const SoftmaxKernel&);
void emit_gpu_layer_norm(Emitter&, const GpuKernel&, const LayerNormKernel&);
void emit_gpu_channel_conv(Emitter&, const GpuKernel&, const ChannelConvKernel&);
void emit_gpu_response_norm(Emitter&, const GpuKernel&, const ResponseNormKernel&);
void emit_gpu_conv_simt(Emitter&, const GpuKernel&, const GpuConvKernel&);
void emit_gpu_conv_depthwise(Emitter&, const GpuKernel&, const GpuConvKernel&);
void emit_gpu_conv_patch(Emitter&, const GpuKernel&, const GpuConvKernel&);
void emit_gpu_conv_mma(Emitter&, const GpuKernel&, const GpuConvKernel&);
void emit_gpu_conv_wgmma(Emitter&, const GpuKernel&, const GpuConvKernel&);
void emit_gpu_conv_pair(Emitter&, const GpuKernel&, const GpuConvPairKernel&);

}  // namespace cardinal
