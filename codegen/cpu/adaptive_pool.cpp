// Pooling over bins of varying size: a rolled loop over each bin, 16 channels at a time.
#include <limits>

#include "codegen/cpu/conv.h"

namespace cardinal {

namespace {

struct Range {
  llvm::Value *begin, *end;
};

// adaptive_bin of a bin known at run time.
Range bin_range(Emitter& e, llvm::Value* i, int64_t bins, int64_t size) {
  return {e.div(e.mul(i, size), bins), e.div(e.add(e.mul(e.add(i, 1), size), bins - 1), bins)};
}

llvm::Value* reduce_bin(Emitter& e, bool max, const View& view, int lanes, llvm::Value* plane, Range rows,
                        Range columns) {
  llvm::Value* start = e.splat(max ? -std::numeric_limits<double>::infinity() : 0.0);
  return e.for_range(
      rows.begin, rows.end, 1, {start},
      [&](llvm::Value* h, Values acc) {
        llvm::Value* row = e.element(plane, e.mul(h, view.stride_h));
        return e.for_range(
            columns.begin, columns.end, 1, acc,
            [&](llvm::Value* w, Values acc) {
              llvm::Value* x = e.load_block(view, e.element(row, e.mul(w, view.stride_w)), lanes);
              return Values{max ? e.fmax(acc[0], x) : e.fadd(acc[0], x)};
            },
            Trips::at_least_one);
      },
      Trips::at_least_one)[0];
}

llvm::Value* divide_by_size(Emitter& e, llvm::Value* sum, Range rows, Range columns) {
  llvm::Value* pixels = e.mul(e.sub(rows.end, rows.begin), e.sub(columns.end, columns.begin));
  llvm::Value* size = e.builder.CreateSIToFP(pixels, e.f32);
  return e.fmul(sum, e.splat(e.fdiv(e.constant_like(size, 1.0), size)));
}

}  // namespace

void emit_adaptive_pool(Emitter& e, const Step& step, const AdaptivePoolKernel& kernel,
                        const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const Shape& shape = out.shape;
  std::vector<int> is_masked(static_cast<size_t>(out.blocks()), 0);
  is_masked.back() = masked(step);
  for_units(e, step, arguments, {shape.n(), shape.h()}, [&](const UnitIndex& at) {
    llvm::Value *block = at.outer, *n = at.image, *oh = at.row;
    const Range rows = bin_range(e, oh, shape.h(), in.shape.h());
    llvm::Value* from = block_address(e, in, arguments.inputs[0], {n, block});
    llvm::Value* to = block_address(e, out, arguments.out, {n, block, oh});
    emit_by_class(e, block, is_masked, [&](int last) {
      const auto lanes = [&](const View& view) { return last ? last_block_lanes(view) : int{kChannelBlock}; };
      e.for_range(0, shape.w(), 1, [&](llvm::Value* ow) {
        const Range columns = bin_range(e, ow, shape.w(), in.shape.w());
        llvm::Value* value = reduce_bin(e, kernel.max, in, lanes(in), from, rows, columns);
        if (!kernel.max) value = divide_by_size(e, value, rows, columns);
        e.store_block(out, value, e.element(to, e.mul(ow, out.stride_w)), lanes(out));
      });
    });
  });
}

}  // namespace cardinal
