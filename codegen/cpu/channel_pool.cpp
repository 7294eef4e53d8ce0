// The mean or the maximum over the channels of each pixel.
#include <limits>

#include "codegen/cpu/kernels.h"
#include "codegen/cpu/pixel_channels.h"

namespace cardinal {

void emit_channel_pool(Emitter& e, const Step& step, const ChannelPoolKernel& kernel,
                       const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const double nothing = kernel.max ? std::numeric_limits<float>::lowest() : 0.0;
  const auto join = [&](llvm::Value* a, llvm::Value* b) { return kernel.max ? e.fmax(a, b) : e.fadd(a, b); };
  e.for_range(arguments.begin, arguments.end, 1, [&](llvm::Value* unit) {
    const BlockIndex at = pixel_index(e, out.shape, unit);
    const Pixel from{in, block_address(e, in, arguments.inputs[0], at)};
    llvm::Value* all =
        over_blocks(e, in.shape, e.splat(nothing), [&](Index block, int lanes, llvm::Value* so_far) {
          return join(load_channels(e, from, block, lanes, nothing), so_far);
        });
    llvm::Value* result = e.splat(reduce_lanes(e, all, join));
    if (!kernel.max) result = e.fmul(result, e.splat(1.0 / static_cast<double>(in.shape.c())));
    store_channels(e, {out, block_address(e, out, arguments.out, at)}, result, 0, 1);
  });
}

}  // namespace cardinal
