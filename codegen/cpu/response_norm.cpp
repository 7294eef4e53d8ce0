// Local response normalisation: x / (k + alpha / size * sum of the squares of `size` neighbouring channels)
// to the power of beta. A pixel's channels are taken block by block; the sums are made of shuffles of the
// block's squares and those of its neighbours.
#include "codegen/cpu/conv.h"
#include "codegen/cpu/epilogue.h"

namespace cardinal {

namespace {

// Lanes of block `block` that are channels: none of a block that does not exist.
llvm::Value* channel_lanes(Emitter& e, llvm::Value* block, int64_t channels) {
  llvm::SmallVector<llvm::Constant*, kChannelBlock> lanes;
  for (int lane = 0; lane < kChannelBlock; ++lane)
    lanes.push_back(e.builder.getInt64(static_cast<uint64_t>(lane)));
  // Unsigned: the channels of a block before the first are beyond the last.
  llvm::Value* first = e.builder.CreateVectorSplat(kChannelBlock, e.mul(block, kChannelBlock));
  llvm::Value* channel = e.builder.CreateAdd(first, llvm::ConstantVector::get(lanes));
  return e.builder.CreateICmpULT(channel, e.builder.CreateVectorSplat(kChannelBlock, e.integer(channels)));
}

// A block of the operand along a row.
struct SourceBlock {
  llvm::Value* row = nullptr;    // address of the row's first pixel
  llvm::Value* lanes = nullptr;  // which are channels
};

// Lane l of the result is lane l + offset of the blocks in a row, the middle one being this block.
llvm::Value* shifted(Emitter& e, const Values& blocks, int64_t offset) {
  const auto middle = static_cast<int64_t>(blocks.size() / 2);
  const int64_t position = middle * kChannelBlock + offset;
  const auto first = static_cast<size_t>(position / kChannelBlock);
  const int lane = static_cast<int>(position % kChannelBlock);
  if (lane == 0) return blocks[first];
  llvm::SmallVector<int, kChannelBlock> select;
  for (int i = 0; i < kChannelBlock; ++i) select.push_back(lane + i);
  return e.builder.CreateShuffleVector(blocks[first], blocks[first + 1], select);
}

llvm::Value* normalise(Emitter& e, const ResponseNormKernel& kernel, llvm::Value* x, const Values& squares) {
  const int64_t before = kernel.size / 2, after = (kernel.size - 1) / 2;
  llvm::Value* sum = e.splat(0.0);
  for (int64_t offset = -before; offset <= after; ++offset) sum = e.fadd(sum, shifted(e, squares, offset));
  llvm::Value* base = e.fma(sum, e.splat(kernel.alpha / static_cast<double>(kernel.size)), e.splat(kernel.k));
  return e.fmul(x, emit_exp(e, e.fmul(emit_log(e, base), e.splat(-kernel.beta))));
}

}  // namespace

void emit_response_norm(Emitter& e, const Step& step, const ResponseNormKernel& kernel,
                        const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const Shape& shape = out.shape;
  const int64_t reach = ceil_div(kernel.size / 2, kChannelBlock);  // in blocks, to either side
  std::vector<int> is_last(static_cast<size_t>(out.blocks()), 0);
  is_last.back() = last_block_lanes(out) < kChannelBlock;
  e.for_range(arguments.begin, arguments.end, 1, [&](llvm::Value* unit) {
    llvm::Value *plane = e.div(unit, shape.h()), *h = e.rem(unit, shape.h());
    llvm::Value *block = e.div(plane, shape.n()), *n = e.rem(plane, shape.n());
    std::vector<SourceBlock> sources;
    for (int64_t distance = -reach; distance <= reach; ++distance) {
      llvm::Value* source = e.add(block, distance);
      llvm::Value* existing = e.max(0, e.min(source, in.blocks() - 1));
      sources.push_back(
          {block_address(e, in, arguments.inputs[0], {n, existing, h}), channel_lanes(e, source, shape.c())});
    }
    llvm::Value* to = block_address(e, out, arguments.out, {n, block, h});
    emit_by_class(e, block, is_last, [&](int last) {
      e.for_range(0, shape.w(), 1, [&](llvm::Value* w) {
        llvm::Value* x = nullptr;
        Values squares;
        for (const SourceBlock& source : sources) {
          llvm::Value* value = e.load_block(in, e.element(source.row, e.mul(w, in.stride_w)));
          value = e.builder.CreateSelect(source.lanes, value, e.splat(0.0));
          if (squares.size() == sources.size() / 2) x = value;
          squares.push_back(e.fmul(value, value));
        }
        e.store_block(out, normalise(e, kernel, x, squares), e.element(to, e.mul(w, out.stride_w)),
                      last ? last_block_lanes(out) : int{kChannelBlock});
      });
    });
  });
}

}  // namespace cardinal
