// Softmax over the channels of each pixel, in three passes over its blocks: the largest value; exponentials
// and their sum; division. The result may overwrite the operand.
#include "codegen/cpu/epilogue.h"
#include "codegen/cpu/kernels.h"

namespace cardinal {

namespace {

// The blocks of a pixel of one of the views.
struct Pixel {
  const View& view;
  llvm::Value* address;
};

llvm::Value* block_at(Emitter& e, const Pixel& pixel, Index block) {
  return e.element(pixel.address, e.mul(block, pixel.view.stride_block));
}

// All lanes combined, by halves.
llvm::Value* reduce(Emitter& e, llvm::Value* value,
                    llvm::function_ref<llvm::Value*(llvm::Value*, llvm::Value*)> join) {
  for (int half = kChannelBlock / 2; half > 0; half /= 2) {
    llvm::SmallVector<int, kChannelBlock> upper;
    for (int lane = 0; lane < kChannelBlock; ++lane) upper.push_back((lane + half) % kChannelBlock);
    value = join(value, e.builder.CreateShuffleVector(value, upper));
  }
  return e.builder.CreateExtractElement(value, uint64_t{0});
}

// Carries `value` through all blocks; `body` also learns how many lanes of its block are channels.
llvm::Value* over_blocks(Emitter& e, const Shape& shape, llvm::Value* value,
                         llvm::function_ref<llvm::Value*(Index block, int lanes, llvm::Value*)> body) {
  const int tail = static_cast<int>(shape.c() % kChannelBlock);
  const int64_t whole_blocks = shape.c() / kChannelBlock;
  value = e.for_range(0, whole_blocks, 1, {value}, [&](llvm::Value* block, Values carried) {
    return Values{body(block, kChannelBlock, carried[0])};
  })[0];
  return tail ? body(whole_blocks, tail, value) : value;
}

// The channels of a block, `missing` in the lanes beyond them.
llvm::Value* load_channels(Emitter& e, const Pixel& pixel, Index block, int lanes, double missing) {
  llvm::Value* value = e.load_block(pixel.view, block_at(e, pixel, block), lanes);
  if (lanes == kChannelBlock) return value;
  llvm::SmallVector<int, kChannelBlock> select;
  for (int lane = 0; lane < kChannelBlock; ++lane)
    select.push_back(lane < lanes ? lane : kChannelBlock + lane);
  return e.builder.CreateShuffleVector(value, e.splat(missing), select);
}

void softmax_pixel(Emitter& e, const Pixel& in, const Pixel& out) {
  const Shape& shape = out.view.shape;
  constexpr double kLowest = -3.0e38;  // finite, below any logit that matters; its exponential is 0
  const auto store = [&](llvm::Value* value, Index block, int lanes) {
    e.store_block(out.view, value, block_at(e, out, block),
                  lanes == kChannelBlock ? lanes : last_block_lanes(out.view));
  };

  llvm::Value* largest =
      over_blocks(e, shape, e.splat(kLowest), [&](Index block, int lanes, llvm::Value* so_far) {
        return e.fmax(load_channels(e, in, block, lanes, kLowest), so_far);
      });
  largest = e.splat(reduce(e, largest, [&](auto* a, auto* b) { return e.fmax(a, b); }));

  llvm::Value* sum = over_blocks(e, shape, e.splat(0.0), [&](Index block, int lanes, llvm::Value* so_far) {
    llvm::Value* power = emit_exp(e, e.fsub(load_channels(e, in, block, lanes, kLowest), largest));
    store(power, block, lanes);
    return e.fadd(so_far, power);
  });
  sum = reduce(e, sum, [&](auto* a, auto* b) { return e.fadd(a, b); });

  llvm::Value* scale = e.splat(e.fdiv(e.constant_like(sum, 1.0), sum));
  over_blocks(e, shape, scale, [&](Index block, int lanes, llvm::Value* factor) {
    store(e.fmul(load_channels(e, out, block, lanes, 0), factor), block, lanes);
    return factor;
  });
}

}  // namespace

void emit_softmax(Emitter& e, const Step& step, const SoftmaxKernel&, const KernelArguments& arguments) {
  const Shape& shape = step.output.shape;
  e.for_range(arguments.begin, arguments.end, 1, [&](llvm::Value* pixel) {
    llvm::Value* row = e.div(pixel, shape.w());
    const BlockIndex at{e.div(row, shape.h()), 0, e.rem(row, shape.h()), e.rem(pixel, shape.w())};
    softmax_pixel(e, {step.inputs[0], block_address(e, step.inputs[0], arguments.inputs[0], at)},
                  {step.output, block_address(e, step.output, arguments.out, at)});
  });
}

}  // namespace cardinal
