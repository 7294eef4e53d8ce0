// Kernels whose results are made of other pixels: pooling, padding, resizing, gathering. A thread computes 8
// channels of a pixel.
#include <algorithm>
#include <limits>

#include "codegen/nvptx/kernels.h"

namespace cardinal {

namespace {

// Unsigned: what lies before the image is beyond its end.
llvm::Value* inside(Emitter& e, llvm::Value* position, int64_t size) {
  return e.builder.CreateICmpULT(position, e.integer(size));
}

llvm::Value* clamped(Emitter& e, llvm::Value* position, int64_t size) {
  return e.max(0, e.min(position, size - 1));
}

llvm::Value* select_vector(Emitter& e, llvm::Value* condition, llvm::Value* value, double otherwise) {
  return e.builder.CreateSelect(condition, value, e.constant_like(value, otherwise));
}

struct Range {
  Index begin = 0, end = 0;
};

// The taps of a window that starts at `start` which are inside an axis of that size.
Range valid_taps(Emitter& e, llvm::Value* start, int64_t taps, int64_t dilation, int64_t size,
                 bool all_valid) {
  if (all_valid) return {0, taps};
  const auto taps_before = [&](int64_t limit) {
    llvm::Value* distance = e.max(e.sub(limit, start), 0);
    return e.min(e.div(e.add(distance, dilation - 1), dilation), taps);
  };
  return {taps_before(0), taps_before(size)};
}

// A window along one axis.
struct WindowAxis {
  int64_t taps, stride, dilation, pad, pad_end, input, output;
  bool inside() const { return pad == 0 && (output - 1) * stride + (taps - 1) * dilation < input; }
  llvm::Value* start(Emitter& e, Index i) const { return e.sub(e.mul(i, stride), pad); }
  Range valid(Emitter& e, Index i) const {
    return valid_taps(e, start(e, i), taps, dilation, input, inside());
  }
  // As an average counts them; what ceil_mode adds beyond the declared padding does not count.
  llvm::Value* counted(Emitter& e, Index i, const Range& valid, bool include_pad) const {
    if (!include_pad) return e.sub(valid.end, valid.begin);
    llvm::Value* room = e.sub(input + pad_end + dilation - 1, start(e, i));
    return e.min(taps, e.div(room, dilation));
  }
};

llvm::Value* combine(Emitter& e, bool max, llvm::Value* a, llvm::Value* b) {
  return max ? e.fmax(a, b) : e.fadd(a, b);
}

// Over rows and columns of x, each a range of steps of `row_step` and `column_step` from a pixel.
llvm::Value* reduce_window(Emitter& e, const GpuKernel& kernel, bool max, const Range& rows,
                           const Range& columns,
                           llvm::function_ref<VectorIndex(llvm::Value* row, llvm::Value* column)> at) {
  llvm::Value* start = e.constant_like(zero_vector(e), max ? -std::numeric_limits<double>::infinity() : 0.0);
  return e.for_range(rows.begin, rows.end, 1, {start}, [&](llvm::Value* row, Values acc) {
    return e.for_range(columns.begin, columns.end, 1, acc, [&](llvm::Value* column, Values acc) {
      llvm::Value* x = load_vector(e, kernel.step.inputs[0], kernel.inputs[0], at(row, column));
      return Values{combine(e, max, acc[0], x)};
    });
  })[0];
}

llvm::Value* divide(Emitter& e, llvm::Value* sum, llvm::Value* rows, llvm::Value* columns) {
  llvm::Value* size = e.builder.CreateSIToFP(e.mul(rows, columns), e.f32);
  return e.fmul(sum, e.splat(e.fdiv(e.constant_like(size, 1.0), size), kGpuVector));
}

}  // namespace

void emit_gpu_pool(Emitter& e, const GpuKernel& kernel, const PoolKernel& pool) {
  const ConvShape& s = pool.shape;
  const bool max = pool.mode == PoolKernel::Mode::max;
  const WindowAxis vertical{s.kh, s.stride_h, s.dilation_h, s.pad_top, pool.pad_bottom, s.ih, s.oh};
  const WindowAxis horizontal{s.kw, s.stride_w, s.dilation_w, s.pad_left, pool.pad_right, s.iw, s.ow};
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    const Range rows = vertical.valid(e, at.h), columns = horizontal.valid(e, at.w);
    llvm::Value *top = vertical.start(e, at.h), *left = horizontal.start(e, at.w);
    llvm::Value* value =
        reduce_window(e, kernel, max, rows, columns, [&](llvm::Value* row, llvm::Value* column) {
          return VectorIndex{at.n, e.add(top, e.mul(row, s.dilation_h)),
                             e.add(left, e.mul(column, s.dilation_w)), at.vector};
        });
    if (!max)
      value = divide(e, value, vertical.counted(e, at.h, rows, pool.count_include_pad),
                     horizontal.counted(e, at.w, columns, pool.count_include_pad));
    store_vector(e, kernel.step.output, kernel.out, at, value);
  });
}

namespace {

// adaptive_bin of a bin known at run time.
Range bin_range(Emitter& e, Index i, int64_t bins, int64_t size) {
  return {e.div(e.mul(i, size), bins), e.div(e.add(e.mul(e.add(i, 1), size), bins - 1), bins)};
}

}  // namespace

void emit_gpu_adaptive_pool(Emitter& e, const GpuKernel& kernel, const AdaptivePoolKernel& pool) {
  const Shape &in = kernel.step.inputs[0].shape, &out = kernel.step.output.shape;
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    const Range rows = bin_range(e, at.h, out.h(), in.h()), columns = bin_range(e, at.w, out.w(), in.w());
    llvm::Value* value = reduce_window(
        e, kernel, pool.max, rows, columns,
        [&](llvm::Value* row, llvm::Value* column) { return VectorIndex{at.n, row, column, at.vector}; });
    if (!pool.max) value = divide(e, value, e.sub(rows.end, rows.begin), e.sub(columns.end, columns.begin));
    store_vector(e, kernel.step.output, kernel.out, at, value);
  });
}

void emit_gpu_pad(Emitter& e, const GpuKernel& kernel, const PadKernel& pad) {
  const View& in = kernel.step.inputs[0];
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    llvm::Value *h = e.sub(at.h, pad.top), *w = e.sub(at.w, pad.left);
    const VectorIndex from{at.n, clamped(e, h, in.shape.h()), clamped(e, w, in.shape.w()), at.vector};
    llvm::Value* is_inside = e.builder.CreateAnd(inside(e, h, in.shape.h()), inside(e, w, in.shape.w()));
    llvm::Value* value = select_vector(e, is_inside, load_vector(e, in, kernel.inputs[0], from), pad.value);
    store_vector(e, kernel.step.output, kernel.out, at, value);
  });
}

namespace {

// The float at `i` of a table in read-only data.
llvm::Value* float_entry(Emitter& e, const std::vector<float>& values, llvm::Value* i) {
  auto* data = llvm::ConstantDataArray::get(e.module.getContext(), values);
  auto* table = new llvm::GlobalVariable(e.module, data->getType(), true, llvm::GlobalValue::PrivateLinkage,
                                         data, "resize_weight");
  return e.load_scalar(e.builder.CreateGEP(e.f32, table, i));
}

struct AxisTaps {
  llvm::Value *first, *second, *weight;
};

AxisTaps axis_taps(Emitter& e, const std::vector<ResizeTap>& taps, Index i) {
  std::vector<int64_t> first, second;
  std::vector<float> weights;
  for (const ResizeTap& tap : taps) {
    first.push_back(tap.first);
    second.push_back(tap.second);
    weights.push_back(static_cast<float>(tap.weight));
  }
  llvm::Value* at = e.value_of(i);
  return {e.table_entry(first, at, "resize_first"), e.table_entry(second, at, "resize_second"),
          e.splat(float_entry(e, weights, at), kGpuVector)};
}

bool interpolates(const std::vector<ResizeTap>& taps) {
  return std::any_of(taps.begin(), taps.end(), [](const ResizeTap& tap) { return tap.weight != 0; });
}

}  // namespace

void emit_gpu_resize(Emitter& e, const GpuKernel& kernel, const ResizeKernel& resize) {
  const bool blends_rows = interpolates(resize.taps.rows), blends_columns = interpolates(resize.taps.columns);
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    const AxisTaps rows = axis_taps(e, resize.taps.rows, at.h),
                   columns = axis_taps(e, resize.taps.columns, at.w);
    const auto pixel = [&](llvm::Value* h, llvm::Value* w) {
      return load_vector(e, kernel.step.inputs[0], kernel.inputs[0], {at.n, h, w, at.vector});
    };
    const auto blend = [&](llvm::Value* a, llvm::Value* b, llvm::Value* weight) {
      return e.fma(e.fsub(b, a), weight, a);
    };
    const auto along = [&](llvm::Value* h) {
      llvm::Value* x = pixel(h, columns.first);
      return blends_columns ? blend(x, pixel(h, columns.second), columns.weight) : x;
    };
    llvm::Value* value = along(rows.first);
    if (blends_rows) value = blend(value, along(rows.second), rows.weight);
    store_vector(e, kernel.step.output, kernel.out, at, value);
  });
}

namespace {

// Tables by channel of the result; the last entry also serves pad lanes.
struct GatherTables {
  std::vector<int64_t> channel, dh, dw;
};

GatherTables gather_tables(const Gathering& gathering) {
  GatherTables tables;
  for (const ChannelSource& source : gathering.sources) {
    tables.channel.push_back(source.channel);
    tables.dh.push_back(source.dh);
    tables.dw.push_back(source.dw);
  }
  return tables;
}

}  // namespace

void emit_gpu_gather(Emitter& e, const GpuKernel& kernel, const GatherKernel& gather) {
  const View &in = kernel.step.inputs[0], &out = kernel.step.output;
  const Gathering& gathering = gather.gathering;
  const GatherTables tables = gather_tables(gathering);
  llvm::Value* fill = llvm::ConstantFP::get(e.f32, gathering.fill);
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    llvm::Value* value = zero_vector(e);
    for (int64_t lane = 0; lane < kGpuVector; ++lane) {
      llvm::Value* c = e.min(e.add(e.mul(at.vector, kGpuVector), lane), out.shape.c() - 1);
      llvm::Value* source = e.table_entry(tables.channel, c, "gather_channel");
      llvm::Value* h = e.add(e.mul(at.h, gathering.step.h), e.table_entry(tables.dh, c, "gather_dh"));
      llvm::Value* w = e.add(e.mul(at.w, gathering.step.w), e.table_entry(tables.dw, c, "gather_dw"));
      llvm::Value* exists = inside(e, source, in.shape.c());  // not kNoChannel
      exists = e.builder.CreateAnd(exists, inside(e, h, in.shape.h()));
      exists = e.builder.CreateAnd(exists, inside(e, w, in.shape.w()));
      llvm::Value* x = load_channel(e, in, kernel.inputs[0],
                                    {at.n, clamped(e, h, in.shape.h()), clamped(e, w, in.shape.w())},
                                    clamped(e, source, in.shape.c()));
      value = e.builder.CreateInsertElement(value, e.builder.CreateSelect(exists, x, fill),
                                            static_cast<uint64_t>(lane));
    }
    store_vector(e, out, kernel.out, at, value);
  });
}

}  // namespace cardinal
