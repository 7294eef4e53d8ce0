// Convolution over the channels of each pixel: the taps multiply shuffles of a block and its neighbours.
#include "codegen/cpu/conv.h"
#include "codegen/cpu/neighbour_channels.h"

namespace cardinal {

void emit_channel_conv(Emitter& e, const Step& step, const ChannelConvKernel& kernel,
                       const KernelArguments& arguments) {
  const View& out = step.output;
  const Shape& shape = out.shape;
  const int64_t reach = kernel.size / 2;
  std::vector<int> is_last(static_cast<size_t>(out.blocks()), 0);
  is_last.back() = last_block_lanes(out) < kChannelBlock;
  for_units(e, step, arguments, {shape.n(), shape.h()}, [&](const UnitIndex& at) {
    llvm::Value *block = at.outer, *n = at.image, *h = at.row;
    const NeighbourChannels x(e, step.inputs[0], arguments.inputs[0], {n, block, h}, reach);
    llvm::Value* to = block_address(e, out, arguments.out, {n, block, h});
    emit_by_class(e, block, is_last, [&](int last) {
      e.for_range(0, shape.w(), 1, [&](llvm::Value* w) {
        const Values blocks = x.load(e, w);
        llvm::Value* sum = e.splat(0.0);
        for (int64_t tap = 0; tap < kernel.size; ++tap) {
          llvm::Value* weight = e.broadcast(e.element(arguments.weights[0], tap));
          sum = e.fma(NeighbourChannels::shifted(e, blocks, tap - reach), weight, sum);
        }
        e.store_block(out, sum, e.element(to, e.mul(w, out.stride_w)),
                      last ? last_block_lanes(out) : int{kChannelBlock});
      });
    });
  });
}

}  // namespace cardinal
