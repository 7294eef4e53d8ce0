#include "codegen/cpu/pixel_channels.h"

namespace cardinal {

namespace {

llvm::Value* block_at(Emitter& e, const Pixel& pixel, Index block) {
  return e.element(pixel.address, e.mul(block, pixel.view.stride_block));
}

}  // namespace

BlockIndex pixel_index(Emitter& e, const Shape& shape, llvm::Value* unit) {
  llvm::Value* row = e.div(unit, shape.w());
  return {e.div(row, shape.h()), 0, e.rem(row, shape.h()), e.rem(unit, shape.w())};
}

llvm::Value* reduce_lanes(Emitter& e, llvm::Value* value,
                          llvm::function_ref<llvm::Value*(llvm::Value*, llvm::Value*)> join) {
  for (int half = kChannelBlock / 2; half > 0; half /= 2) {
    llvm::SmallVector<int, kChannelBlock> upper;
    for (int lane = 0; lane < kChannelBlock; ++lane) upper.push_back((lane + half) % kChannelBlock);
    value = join(value, e.builder.CreateShuffleVector(value, upper));
  }
  return e.builder.CreateExtractElement(value, uint64_t{0});
}

llvm::Value* over_blocks(Emitter& e, const Shape& shape, llvm::Value* value,
                         llvm::function_ref<llvm::Value*(Index block, int lanes, llvm::Value*)> body) {
  const int tail = static_cast<int>(shape.c() % kChannelBlock);
  const int64_t whole_blocks = shape.c() / kChannelBlock;
  value = e.for_range(0, whole_blocks, 1, {value}, [&](llvm::Value* block, Values carried) {
    return Values{body(block, kChannelBlock, carried[0])};
  })[0];
  return tail ? body(whole_blocks, tail, value) : value;
}

llvm::Value* load_channels(Emitter& e, const Pixel& pixel, Index block, int lanes, double missing) {
  llvm::Value* value = e.load_block(pixel.view, block_at(e, pixel, block), lanes);
  if (lanes == kChannelBlock) return value;
  llvm::SmallVector<int, kChannelBlock> select;
  for (int lane = 0; lane < kChannelBlock; ++lane)
    select.push_back(lane < lanes ? lane : kChannelBlock + lane);
  return e.builder.CreateShuffleVector(value, e.splat(missing), select);
}

void store_channels(Emitter& e, const Pixel& pixel, llvm::Value* value, Index block, int lanes) {
  e.store_block(pixel.view, value, block_at(e, pixel, block),
                lanes == kChannelBlock ? lanes : last_block_lanes(pixel.view));
}

}  // namespace cardinal
