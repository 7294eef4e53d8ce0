// The channels around those of a block, of one pixel: what local response normalisation and convolution over
// channels share.
#pragma once

#include "codegen/cpu/kernels.h"

namespace cardinal {

// The blocks around a block along a row of an image, as many to either side as `reach` channels take. The
// last block of the view must be whole.
class NeighbourChannels {
 public:
  NeighbourChannels(Emitter&, const View&, llvm::Value* base, const BlockIndex& row, int64_t reach);

  // The blocks at a pixel of the row, 0 in lanes that are no channels. The middle one is the block itself.
  Values load(Emitter&, llvm::Value* w) const;
  // Lane l of the result is lane l + offset of the blocks in a row, counted from the middle one's first.
  static llvm::Value* shifted(Emitter&, const Values& blocks, int64_t offset);

 private:
  struct Source {
    llvm::Value* row = nullptr;    // address of the row's first pixel
    llvm::Value* lanes = nullptr;  // which are channels
  };
  const View& view_;
  std::vector<Source> sources_;
};

}  // namespace cardinal
