// Elementwise kernels: a thread computes 8 channels of a pixel.
#include "codegen/nvptx/kernels.h"

namespace cardinal {

void emit_gpu_pointwise(Emitter& e, const GpuKernel& kernel, const PointwiseKernel& pointwise) {
  using Base = PointwiseKernel::Base;
  const Base base = pointwise.base;
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    const auto input = [&](size_t i) { return load_vector(e, kernel.step.inputs[i], kernel.inputs[i], at); };
    const auto constants = [&](size_t i) { return load_constants(e, kernel.weights[i], at.vector); };
    llvm::Value* value = input(0);
    if (base == Base::add) value = e.fadd(value, input(1));
    if (base == Base::mul) value = e.fmul(value, input(1));
    if (base == Base::div) value = e.fdiv(value, input(1));
    if (base == Base::max) value = e.fmax(value, input(1));
    if (base == Base::min) value = e.fmin(value, input(1));
    if (base == Base::scale) value = e.fmul(value, constants(0));
    if (base == Base::affine) value = e.fma(value, constants(0), constants(1));
    if (base == Base::prelu)
      value = e.builder.CreateSelect(e.builder.CreateFCmpOLT(value, zero_vector(e)),
                                     e.fmul(value, constants(0)), value);
    const int operands = pointwise.has_two_operands() ? 2 : 1;
    value = finish_vector(e, kernel, pointwise.epilogue, operands, at, value);
    store_vector(e, kernel.step.output, kernel.out, at, value);
  });
}

// The parts of an image's sums are as many images, `n` images apart.
void emit_gpu_split_sum(Emitter& e, const GpuKernel& kernel, const SplitSumKernel& split) {
  const View& parts = kernel.step.inputs[0];
  const int64_t images = parts.shape.n() / split.parts;
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    llvm::Value* value = split.has_bias ? load_constants(e, kernel.weights[0], at.vector) : zero_vector(e);
    for (int64_t part = 0; part < split.parts; ++part)
      value = e.fadd(value, load_vector(e, parts, kernel.inputs[0],
                                        {e.add(at.n, part * images), at.h, at.w, at.vector}));
    value = finish_vector(e, kernel, split.epilogue, 1, at, value);
    store_vector(e, kernel.step.output, kernel.out, at, value);
  });
}

namespace {

// Element i of the vector that an image was flattened to.
llvm::Value* load_flattened(Emitter& e, const GpuKernel& kernel, FlattenOrder order, const Index& n,
                            llvm::Value* i) {
  const View& in = kernel.step.inputs[0];
  const int64_t height = in.shape.h(), width = in.shape.w(), channels = in.shape.c();
  const bool channels_last = order == FlattenOrder::hwc;
  llvm::Value* pixel = channels_last ? e.div(i, channels) : e.rem(i, height * width);
  llvm::Value* c = channels_last ? e.rem(i, channels) : e.div(i, height * width);
  return load_channel(e, in, kernel.inputs[0], {n, e.div(pixel, width), e.rem(pixel, width)}, c);
}

}  // namespace

void emit_gpu_reorder(Emitter& e, const GpuKernel& kernel, const ReorderKernel& reorder) {
  const View &in = kernel.step.inputs[0], &out = kernel.step.output;
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    if (in.shape == out.shape) {
      // A part of a concat that begins within a block may have more pad lanes than x.
      const bool beyond = channel_vectors(out) > channel_vectors(in);
      VectorIndex from = at;
      if (beyond) from.vector = e.min(at.vector, channel_vectors(in) - 1);
      return store_vector(e, out, kernel.out, at, load_vector(e, in, kernel.inputs[0], from));
    }
    llvm::Value* value = zero_vector(e);
    for (int64_t lane = 0; lane < kGpuVector; ++lane) {
      llvm::Value* i = e.min(e.add(e.mul(at.vector, kGpuVector), lane), out.shape.c() - 1);
      value = e.builder.CreateInsertElement(value, load_flattened(e, kernel, reorder.flatten, at.n, i),
                                            static_cast<uint64_t>(lane));
    }
    store_vector(e, out, kernel.out, at, value);
  });
}

}  // namespace cardinal
