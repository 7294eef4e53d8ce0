#include "codegen/cpu/neighbour_channels.h"

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

}  // namespace

NeighbourChannels::NeighbourChannels(Emitter& e, const View& view, llvm::Value* base, const BlockIndex& row,
                                     int64_t reach)
    : view_(view) {
  const int64_t blocks = ceil_div(reach, kChannelBlock);
  for (int64_t distance = -blocks; distance <= blocks; ++distance) {
    llvm::Value* source = e.add(row.block, distance);
    llvm::Value* existing = e.max(0, e.min(source, view.blocks() - 1));
    sources_.push_back(
        {block_address(e, view, base, {row.n, existing, row.h}), channel_lanes(e, source, view.shape.c())});
  }
}

Values NeighbourChannels::load(Emitter& e, llvm::Value* w) const {
  Values blocks;
  for (const Source& source : sources_) {
    llvm::Value* value = e.load_block(view_, e.element(source.row, e.mul(w, view_.stride_w)));
    blocks.push_back(e.builder.CreateSelect(source.lanes, value, e.splat(0.0)));
  }
  return blocks;
}

llvm::Value* NeighbourChannels::shifted(Emitter& e, const Values& blocks, int64_t offset) {
  const auto middle = static_cast<int64_t>(blocks.size() / 2);
  const int64_t position = middle * kChannelBlock + offset;
  const auto first = static_cast<size_t>(position / kChannelBlock);
  const int lane = static_cast<int>(position % kChannelBlock);
  if (lane == 0) return blocks[first];
  llvm::SmallVector<int, kChannelBlock> select;
  for (int i = 0; i < kChannelBlock; ++i) select.push_back(lane + i);
  return e.builder.CreateShuffleVector(blocks[first], blocks[first + 1], select);
}

}  // namespace cardinal
