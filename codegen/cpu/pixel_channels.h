// Walking over the channels of one pixel, block by block: what softmax and layer normalisation share.
#pragma once

#include "codegen/emitter.h"

namespace cardinal {

// The blocks of a pixel of a view.
struct Pixel {
  const View& view;
  llvm::Value* address;
};

// The pixel that is unit `unit` of a step whose units are the pixels of an image.
BlockIndex pixel_index(Emitter&, const Shape&, llvm::Value* unit);

// All lanes combined, by halves.
llvm::Value* reduce_lanes(Emitter&, llvm::Value* value,
                          llvm::function_ref<llvm::Value*(llvm::Value*, llvm::Value*)> join);

// Carries `value` through all blocks; `body` also learns how many lanes of its block are channels.
llvm::Value* over_blocks(Emitter&, const Shape&, llvm::Value* value,
                         llvm::function_ref<llvm::Value*(Index block, int lanes, llvm::Value*)> body);

// The channels of a block, `missing` in the lanes beyond them.
llvm::Value* load_channels(Emitter&, const Pixel&, Index block, int lanes, double missing);
// Whatever the lanes beyond the channels hold is stored where they exist.
void store_channels(Emitter&, const Pixel&, llvm::Value* value, Index block, int lanes);

}  // namespace cardinal
