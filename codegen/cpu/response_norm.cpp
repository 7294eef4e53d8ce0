// Local response normalisation: x / (k + alpha / size * sum of the squares of `size` neighbouring channels)
// to the power of beta. A pixel's channels are taken block by block; the sums are made of shuffles of the
// block's squares and those of its neighbours.
#include "codegen/cpu/conv.h"
#include "codegen/cpu/neighbour_channels.h"
#include "codegen/epilogue.h"

namespace cardinal {

namespace {

llvm::Value* normalise(Emitter& e, const ResponseNormKernel& kernel, const Values& blocks) {
  const int64_t before = kernel.size / 2, after = (kernel.size - 1) / 2;
  Values squares;
  for (llvm::Value* block : blocks) squares.push_back(e.fmul(block, block));
  llvm::Value* sum = e.splat(0.0);
  for (int64_t offset = -before; offset <= after; ++offset)
    sum = e.fadd(sum, NeighbourChannels::shifted(e, squares, offset));
  llvm::Value* base = e.fma(sum, e.splat(kernel.alpha / static_cast<double>(kernel.size)), e.splat(kernel.k));
  llvm::Value* x = blocks[blocks.size() / 2];
  return e.fmul(x, emit_exp(e, e.fmul(emit_log(e, base), e.splat(-kernel.beta))));
}

}  // namespace

void emit_response_norm(Emitter& e, const Step& step, const ResponseNormKernel& kernel,
                        const KernelArguments& arguments) {
  const View& out = step.output;
  const Shape& shape = out.shape;
  std::vector<int> is_last(static_cast<size_t>(out.blocks()), 0);
  is_last.back() = last_block_lanes(out) < kChannelBlock;
  for_units(e, step, arguments, {shape.n(), shape.h()}, [&](const UnitIndex& at) {
    llvm::Value *block = at.outer, *n = at.image, *h = at.row;
    const NeighbourChannels x(e, step.inputs[0], arguments.inputs[0], {n, block, h}, kernel.size / 2);
    llvm::Value* to = block_address(e, out, arguments.out, {n, block, h});
    emit_by_class(e, block, is_last, [&](int last) {
      e.for_range(0, shape.w(), 1, [&](llvm::Value* w) {
        e.store_block(out, normalise(e, kernel, x.load(e, w)), e.element(to, e.mul(w, out.stride_w)),
                      last ? last_block_lanes(out) : int{kChannelBlock});
      });
    });
  });
}

}  // namespace cardinal
