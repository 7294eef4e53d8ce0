// Softmax over the channels of each pixel, in three passes over its blocks: the largest value; exponentials
// and their sum; division, or for its logarithm subtraction. The result may overwrite the operand.
#include "codegen/cpu/kernels.h"
#include "codegen/cpu/pixel_channels.h"
#include "codegen/epilogue.h"

namespace cardinal {

namespace {

void softmax_pixel(Emitter& e, const Pixel& in, const Pixel& out, bool log) {
  const Shape& shape = out.view.shape;
  constexpr double kLowest = -3.0e38;  // finite, below any logit that matters; its exponential is 0

  llvm::Value* largest =
      over_blocks(e, shape, e.splat(kLowest), [&](Index block, int lanes, llvm::Value* so_far) {
        return e.fmax(load_channels(e, in, block, lanes, kLowest), so_far);
      });
  largest = e.splat(reduce_lanes(e, largest, [&](auto* a, auto* b) { return e.fmax(a, b); }));

  llvm::Value* sum = over_blocks(e, shape, e.splat(0.0), [&](Index block, int lanes, llvm::Value* so_far) {
    llvm::Value* power = emit_exp(e, e.fsub(load_channels(e, in, block, lanes, kLowest), largest));
    if (!log) store_channels(e, out, power, block, lanes);
    return e.fadd(so_far, power);
  });
  sum = reduce_lanes(e, sum, [&](auto* a, auto* b) { return e.fadd(a, b); });

  if (log) {
    llvm::Value* shift = e.fadd(largest, e.splat(emit_log(e, sum)));
    over_blocks(e, shape, shift, [&](Index block, int lanes, llvm::Value* shift) {
      store_channels(e, out, e.fsub(load_channels(e, in, block, lanes, 0), shift), block, lanes);
      return shift;
    });
    return;
  }
  llvm::Value* scale = e.splat(e.fdiv(e.constant_like(sum, 1.0), sum));
  over_blocks(e, shape, scale, [&](Index block, int lanes, llvm::Value* factor) {
    store_channels(e, out, e.fmul(load_channels(e, out, block, lanes, 0), factor), block, lanes);
    return factor;
  });
}

}  // namespace

void emit_softmax(Emitter& e, const Step& step, const SoftmaxKernel& kernel,
                  const KernelArguments& arguments) {
  e.for_range(arguments.begin, arguments.end, 1, [&](llvm::Value* unit) {
    const BlockIndex at = pixel_index(e, step.output.shape, unit);
    softmax_pixel(e, {step.inputs[0], block_address(e, step.inputs[0], arguments.inputs[0], at)},
                  {step.output, block_address(e, step.output, arguments.out, at)}, kernel.log);
  });
}

}  // namespace cardinal
