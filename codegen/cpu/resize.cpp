// Rows and columns between those of an image, 16 channels at a time. Where a pixel of the result lies is
// known when the kernel is emitted: tables say which rows and columns it is made of, and by how much.
#include <algorithm>

#include "codegen/cpu/conv.h"

namespace cardinal {

namespace {

bool interpolates(const std::vector<ResizeTap>& taps) {
  return std::any_of(taps.begin(), taps.end(), [](const ResizeTap& tap) { return tap.weight != 0; });
}

// The float at `i` of a table in read-only data.
llvm::Value* float_entry(Emitter& e, const std::vector<float>& values, llvm::Value* i) {
  auto* data = llvm::ConstantDataArray::get(e.module.getContext(), values);
  auto* table = new llvm::GlobalVariable(e.module, data->getType(), true, llvm::GlobalValue::PrivateLinkage,
                                         data, "resize_weight");
  table->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
  return e.load_scalar(e.element(table, i));
}

// One axis at a result position.
struct AxisTap {
  llvm::Value *first = nullptr, *second = nullptr;  // in elements of the operand
  llvm::Value* weight = nullptr;                    // a block; null if the second is nowhere needed
};

AxisTap axis_tap(Emitter& e, const std::vector<ResizeTap>& taps, int64_t stride, llvm::Value* i) {
  std::vector<int64_t> first, second;
  std::vector<float> weights;
  for (const ResizeTap& tap : taps) {
    first.push_back(tap.first * stride);
    second.push_back(tap.second * stride);
    weights.push_back(static_cast<float>(tap.weight));
  }
  AxisTap out{e.table_entry(first, i, "resize_first")};
  if (!interpolates(taps)) return out;
  out.second = e.table_entry(second, i, "resize_second");
  out.weight = e.splat(float_entry(e, weights, i));
  return out;
}

// a + (b - a) * weight.
llvm::Value* blend(Emitter& e, llvm::Value* a, llvm::Value* b, llvm::Value* weight) {
  return e.fma(e.fsub(b, a), weight, a);
}

}  // namespace

void emit_resize(Emitter& e, const Step& step, const ResizeKernel& kernel, const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const Shape& shape = out.shape;
  std::vector<int> is_masked(static_cast<size_t>(out.blocks()), 0);
  is_masked.back() = masked(step);
  for_units(e, step, arguments, {shape.n(), shape.h()}, [&](const UnitIndex& at) {
    llvm::Value *block = at.outer, *n = at.image, *h = at.row;
    llvm::Value* image = block_address(e, in, arguments.inputs[0], {n, block});
    llvm::Value* to = block_address(e, out, arguments.out, {n, block, h});
    const AxisTap row = axis_tap(e, kernel.taps.rows, in.stride_h, h);
    emit_by_class(e, block, is_masked, [&](int last) {
      const auto lanes = [&](const View& view) { return last ? last_block_lanes(view) : int{kChannelBlock}; };
      e.for_range(0, shape.w(), 1, [&](llvm::Value* w) {
        const AxisTap column = axis_tap(e, kernel.taps.columns, in.stride_w, w);
        const auto along = [&](llvm::Value* line) {
          const auto pixel = [&](llvm::Value* at) {
            return e.load_block(in, e.element(e.element(image, line), at), lanes(in));
          };
          llvm::Value* x = pixel(column.first);
          return column.weight ? blend(e, x, pixel(column.second), column.weight) : x;
        };
        llvm::Value* value = along(row.first);
        if (row.weight) value = blend(e, value, along(row.second), row.weight);
        e.store_block(out, value, e.element(to, e.mul(w, out.stride_w)), lanes(out));
      });
    });
  });
}

}  // namespace cardinal
