#include "codegen/nvptx/kernels.h"

#include <fmt/format.h>

#include <algorithm>

#include "passes/gpu_conv_wgmma.h"
#include "passes/gpu_pair_choice.h"

namespace cardinal {

namespace {

// Addresses and numbers of items in 32 bits where they fit, with room for a tile beyond the end.
unsigned index_bits(const Step& step) {
  constexpr int64_t kMost = int64_t{1} << 30;
  const auto fits = [](const View& v) {
    const Shape& s = v.shape;
    const int64_t last =
        s.n() * v.stride_n + v.blocks() * v.stride_block + s.h() * v.stride_h + s.w() * v.stride_w;
    return last < kMost && s.elements() < kMost;
  };
  const bool outputs = fits(step.output) && (!step.second_output || fits(*step.second_output));
  return outputs && std::all_of(step.inputs.begin(), step.inputs.end(), fits) ? 32 : 64;
}

// Bounds registers: by how many thread blocks a multiprocessor must have room for, 168 a thread, or 128 where
// two of 256 threads fit. Without a number ptxas 13.0 spills single registers where it has hundreds left;
// with 128 it spills in one of two hundred patch kernels.
void bound_registers(llvm::Function* function, const Step& step) {
  int64_t blocks = step.launch.threads > 128 ? 1 : 3;
  const auto* conv = std::get_if<GpuConvKernel>(&step.kernel);
  if (conv && conv->algorithm == GpuConvKernel::Algorithm::wgmma) blocks = wgmma_resident(*conv);
  if (const auto* pair = std::get_if<GpuConvPairKernel>(&step.kernel)) {
    blocks = pair_thread_blocks(*pair);
    if (blocks == 1) return function->addFnAttr("nvvm.maxnreg", "168");
  }
  function->addFnAttr("nvvm.minctasm", std::to_string(blocks));
}

// The builder is left in the entry block.
GpuKernel begin_kernel(Emitter& e, const Step& step, llvm::StringRef name) {
  const llvm::SmallVector<llvm::Type*> parameters(
      1 + step.second_output.has_value() + step.inputs.size() + step.weights.size(), e.ptr);
  auto* type = llvm::FunctionType::get(e.builder.getVoidTy(), parameters, false);
  auto* function = llvm::Function::Create(type, llvm::GlobalValue::ExternalLinkage, name, e.module);
  function->setCallingConv(llvm::CallingConv::PTX_Kernel);
  function->setDoesNotThrow();
  function->addFnAttr("nvvm.reqntid", fmt::format("{},1,1", step.launch.threads));
  bound_registers(function, step);
  e.builder.SetInsertPoint(llvm::BasicBlock::Create(e.module.getContext(), "entry", function));
  unsigned next = 0;
  GpuKernel kernel{step, function->getArg(next++)};
  if (step.second_output) kernel.second_out = function->getArg(next++);
  for (size_t i = 0; i < step.inputs.size(); ++i) kernel.inputs.push_back(function->getArg(next++));
  for (size_t i = 0; i < step.weights.size(); ++i) {
    // Nobody writes weights while kernels run: they may be loaded through the read-only cache.
    function->addParamAttr(next, llvm::Attribute::NoAlias);
    function->addParamAttr(next, llvm::Attribute::ReadOnly);
    kernel.weights.push_back(function->getArg(next++));
  }
  return kernel;
}

struct Emit {
  Emitter& e;
  const GpuKernel& kernel;
  void operator()(const GpuConvKernel& k) const {
    switch (k.algorithm) {
      case GpuConvKernel::Algorithm::simt:
        return emit_gpu_conv_simt(e, kernel, k);
      case GpuConvKernel::Algorithm::depthwise:
        return emit_gpu_conv_depthwise(e, kernel, k);
      case GpuConvKernel::Algorithm::patch:
        return emit_gpu_conv_patch(e, kernel, k);
      case GpuConvKernel::Algorithm::mma:
        return emit_gpu_conv_mma(e, kernel, k);
      case GpuConvKernel::Algorithm::wgmma:
        return emit_gpu_conv_wgmma(e, kernel, k);
    }
  }
  void operator()(const PoolKernel& k) const {
    if (k.mode == PoolKernel::Mode::global_average)
      emit_gpu_global_average(e, kernel);
    else
      emit_gpu_pool(e, kernel, k);
  }
  void operator()(const GpuConvPairKernel& k) const { emit_gpu_conv_pair(e, kernel, k); }
  void operator()(const SplitSumKernel& k) const { emit_gpu_split_sum(e, kernel, k); }
  void operator()(const PointwiseKernel& k) const { emit_gpu_pointwise(e, kernel, k); }
  void operator()(const ReorderKernel& k) const { emit_gpu_reorder(e, kernel, k); }
  void operator()(const GatherKernel& k) const { emit_gpu_gather(e, kernel, k); }
  void operator()(const ResizeKernel& k) const { emit_gpu_resize(e, kernel, k); }
  void operator()(const PadKernel& k) const { emit_gpu_pad(e, kernel, k); }
  void operator()(const AdaptivePoolKernel& k) const { emit_gpu_adaptive_pool(e, kernel, k); }
  void operator()(const MomentsKernel&) const { emit_gpu_moments(e, kernel); }
  void operator()(const GroupFactorsKernel& k) const { emit_gpu_group_factors(e, kernel, k); }
  void operator()(const ChannelPoolKernel& k) const { emit_gpu_channel_pool(e, kernel, k); }
  void operator()(const SoftmaxKernel& k) const { emit_gpu_softmax(e, kernel, k); }
  void operator()(const LayerNormKernel& k) const { emit_gpu_layer_norm(e, kernel, k); }
  void operator()(const ChannelConvKernel& k) const { emit_gpu_channel_conv(e, kernel, k); }
  void operator()(const ResponseNormKernel& k) const { emit_gpu_response_norm(e, kernel, k); }
  void operator()(const ConvKernel&) const { llvm_unreachable("a kernel for a CPU"); }
  void operator()(const WinogradKernel&) const { llvm_unreachable("a kernel for a CPU"); }
  void operator()(const StrassenSumsKernel&) const { llvm_unreachable("a kernel for a CPU"); }
  void operator()(const StrassenKernel&) const { llvm_unreachable("a kernel for a CPU"); }
};

}  // namespace

llvm::Function* emit_gpu_kernel(llvm::Module& module, const Target& target, const Step& step,
                                llvm::StringRef name) {
  Emitter e(module, target, index_bits(step));
  const GpuKernel kernel = begin_kernel(e, step, name);
  std::visit(Emit{e, kernel}, step.kernel);
  e.builder.CreateRetVoid();
  return e.builder.GetInsertBlock()->getParent();
}

}  // namespace cardinal
