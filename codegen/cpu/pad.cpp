// Padding of an image, row by row, 16 channels at a time: what lies left of the input's row, the row, what
// lies right of it. Sides may be negative.
#include <algorithm>

#include "codegen/cpu/conv.h"

namespace cardinal {

void emit_pad(Emitter& e, const Step& step, const PadKernel& kernel, const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const Shape& shape = out.shape;
  const int64_t begin = std::clamp<int64_t>(kernel.left, 0, shape.w());
  const int64_t end = std::clamp<int64_t>(kernel.left + in.shape.w(), begin, shape.w());
  std::vector<int> is_masked(static_cast<size_t>(out.blocks()), 0);
  is_masked.back() = masked(step);
  for_units(e, step, arguments, {shape.n(), shape.h()}, [&](const UnitIndex& at) {
    llvm::Value *block = at.outer, *n = at.image, *h = at.row;
    llvm::Value* row = e.sub(h, kernel.top);
    llvm::Value* from = block_address(e, in, arguments.inputs[0], {n, block, row});
    llvm::Value* to = block_address(e, out, arguments.out, {n, block, h});
    emit_by_class(e, block, is_masked, [&](int last) {
      const auto lanes = [&](const View& view) { return last ? last_block_lanes(view) : int{kChannelBlock}; };
      const auto fill = [&](int64_t first, int64_t last_column) {
        e.for_range(first, last_column, 1, [&](llvm::Value* w) {
          e.store_block(out, e.splat(kernel.value), e.element(to, e.mul(w, out.stride_w)), lanes(out));
        });
      };
      const auto copy = [&] {
        e.for_range(begin, end, 1, [&](llvm::Value* w) {
          llvm::Value* x =
              e.load_block(in, e.element(from, e.mul(e.sub(w, kernel.left), in.stride_w)), lanes(in));
          e.store_block(out, x, e.element(to, e.mul(w, out.stride_w)), lanes(out));
        });
      };
      fill(0, begin);
      // Unsigned: rows above the image are beyond its lower end.
      e.if_else(e.builder.CreateICmpULT(row, e.integer(in.shape.h())), copy, [&] { fill(begin, end); });
      fill(end, shape.w());
    });
  });
}

}  // namespace cardinal
