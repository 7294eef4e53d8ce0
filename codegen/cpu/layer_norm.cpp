// Layer normalisation over the channels of each pixel, in three passes over its blocks: the mean; the
// variance, from differences to the mean, which a sum of squares would lose; the result. It may overwrite the
// operand.
#include <llvm/IR/Intrinsics.h>

#include "codegen/cpu/kernels.h"
#include "codegen/cpu/pixel_channels.h"

namespace cardinal {

namespace {

// The mean over all channels, in all lanes.
llvm::Value* mean_of(Emitter& e, llvm::Value* sums, int64_t channels) {
  llvm::Value* sum = reduce_lanes(e, sums, [&](auto* a, auto* b) { return e.fadd(a, b); });
  return e.splat(e.fmul(sum, e.constant_like(sum, 1.0 / static_cast<double>(channels))));
}

// x - mean, 0 in the lanes beyond the channels.
llvm::Value* centred(Emitter& e, const Pixel& in, Index block, int lanes, llvm::Value* mean) {
  llvm::Value* difference = e.fsub(load_channels(e, in, block, lanes, 0), mean);
  if (lanes == kChannelBlock) return difference;
  llvm::SmallVector<int, kChannelBlock> select;
  for (int lane = 0; lane < kChannelBlock; ++lane)
    select.push_back(lane < lanes ? lane : kChannelBlock + lane);
  return e.builder.CreateShuffleVector(difference, e.splat(0.0), select);
}

}  // namespace

void emit_layer_norm(Emitter& e, const Step& step, const LayerNormKernel& kernel,
                     const KernelArguments& arguments) {
  const Shape& shape = step.output.shape;
  e.for_range(arguments.begin, arguments.end, 1, [&](llvm::Value* unit) {
    const BlockIndex at = pixel_index(e, shape, unit);
    const Pixel in{step.inputs[0], block_address(e, step.inputs[0], arguments.inputs[0], at)};
    const Pixel out{step.output, block_address(e, step.output, arguments.out, at)};
    llvm::Value* mean = over_blocks(e, shape, e.splat(0.0), [&](Index block, int lanes, llvm::Value* sum) {
      return e.fadd(sum, load_channels(e, in, block, lanes, 0));
    });
    mean = mean_of(e, mean, shape.c());
    llvm::Value* variance =
        over_blocks(e, shape, e.splat(0.0), [&](Index block, int lanes, llvm::Value* sum) {
          llvm::Value* difference = centred(e, in, block, lanes, mean);
          return e.fma(difference, difference, sum);
        });
    variance = e.fadd(mean_of(e, variance, shape.c()), e.splat(kernel.eps));
    llvm::Value* deviation = e.builder.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, variance);
    llvm::Value* factor = e.fdiv(e.splat(1.0), deviation);
    over_blocks(e, shape, factor, [&](Index block, int lanes, llvm::Value* factor) {
      const auto constants = [&](int i) {
        constexpr int64_t kBlockBytes = kChannelBlock * sizeof(float);
        return e.load_block(e.element(arguments.weights[i], e.mul(block, kChannelBlock)), kBlockBytes);
      };
      llvm::Value* normal = e.fmul(centred(e, in, block, lanes, mean), factor);
      store_channels(e, out, e.fma(normal, constants(0), constants(1)), block, lanes);
      return factor;
    });
  });
}

}  // namespace cardinal
