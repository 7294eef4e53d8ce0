// Elementwise kernels: copy, add, mul, div, max, min, prelu, channel_scale and channel_affine with their
// epilogues.
//
// Rows of pixels that follow each other in memory in every view are run through as one line. A vector holds
// 16 channels of a pixel, or, where channels are strided and pixels are not, 16 pixels of a channel.
#include <algorithm>

#include "codegen/cpu/window.h"
#include "codegen/epilogue.h"

namespace cardinal {

namespace {

constexpr int64_t kBlockBytes = kChannelBlock * sizeof(float);

struct Operand {
  const View& view;
  llvm::Value* base;
};

struct Pointwise {
  const PointwiseKernel& kernel;
  Operand out;
  std::vector<Operand> inputs;
  const KernelArguments& arguments;

  bool has_channel_constants() const { return !arguments.weights.empty(); }
};

bool is_broadcast(const View& view) { return view.stride_h == 0 && view.stride_w == 0; }

template <class Predicate>
bool all_views(const Pointwise& p, Predicate predicate) {
  return predicate(p.out.view) &&
         std::all_of(p.inputs.begin(), p.inputs.end(), [&](const Operand& in) { return predicate(in.view); });
}

// Whether pixel w of row h is pixel h * W + w of one long row, in every view.
bool rows_are_contiguous(const Pointwise& p) {
  const int64_t width = p.out.view.shape.w();
  return all_views(p, [&](const View& view) { return view.stride_h == width * view.stride_w; });
}

// The result for values loaded by `input(i)` and `channel_constant(i)`, of any width.
llvm::Value* compute(Emitter& e, const Pointwise& p, llvm::function_ref<llvm::Value*(int)> input,
                     llvm::function_ref<llvm::Value*(int)> channel_constant) {
  using Base = PointwiseKernel::Base;
  const int base_inputs = p.kernel.has_two_operands() ? 2 : 1;
  llvm::Value* value = input(0);
  switch (p.kernel.base) {
    case Base::copy:
      break;
    case Base::add:
      value = e.fadd(value, input(1));
      break;
    case Base::mul:
      value = e.fmul(value, input(1));
      break;
    case Base::div:
      value = e.fdiv(value, input(1));
      break;
    case Base::max:
      value = e.fmax(value, input(1));
      break;
    case Base::min:
      value = e.fmin(value, input(1));
      break;
    case Base::scale:
      value = e.fmul(value, channel_constant(0));
      break;
    case Base::affine:
      value = e.fma(value, channel_constant(0), channel_constant(1));
      break;
    case Base::prelu: {
      llvm::Value* is_negative = e.builder.CreateFCmpOLT(value, e.constant_like(value, 0.0));
      value = e.builder.CreateSelect(is_negative, e.fmul(value, channel_constant(0)), value);
      break;
    }
  }
  return emit_epilogue(e, p.kernel.epilogue, value, [&](int i) { return input(base_inputs + i); });
}

// ---- a line of pixels in 16-channel blocks

// Which lanes of a block are channels, where a quotient of the others might not be finite; nullptr where it
// does not matter.
llvm::Value* divided_lanes(Emitter& e, const Pointwise& p, const BlockIndex& start) {
  const int64_t channels = p.out.view.shape.c();
  if (p.kernel.base != PointwiseKernel::Base::div || channels % kChannelBlock == 0) return nullptr;
  llvm::SmallVector<llvm::Constant*, kChannelBlock> lanes;
  for (int lane = 0; lane < kChannelBlock; ++lane) lanes.push_back(e.builder.getInt64(lane));
  llvm::Value* left = e.sub(channels, e.mul(start.block, kChannelBlock));
  return e.builder.CreateICmpSLT(llvm::ConstantVector::get(lanes),
                                 e.builder.CreateVectorSplat(kChannelBlock, left));
}

// Pixels [begin, end) of the line that starts at row `h` of block `block`. Operands and constants that do not
// change along the line are loaded once.
void block_line(Emitter& e, const Pointwise& p, const BlockIndex& start, Index begin, Index end,
                bool last_block) {
  const auto lanes = [&](const View& view) {
    return last_block ? last_block_lanes(view) : int{kChannelBlock};
  };
  const auto line = [&](const Operand& operand) {
    return block_address(e, operand.view, operand.base, start);
  };

  llvm::Value* out_line = line(p.out);
  Values lines, fixed, constants;
  for (const Operand& in : p.inputs) {
    lines.push_back(line(in));
    fixed.push_back(is_broadcast(in.view) ? e.load_block(in.view, lines.back(), lanes(in.view)) : nullptr);
  }
  if (p.has_channel_constants())
    for (llvm::Value* weights : p.arguments.weights)
      constants.push_back(e.load_block(e.element(weights, e.mul(start.block, kChannelBlock)), kBlockBytes));

  llvm::Value* divided = divided_lanes(e, p, start);
  const auto pixel = [&](Index w) {
    const auto at = [&](const View& view, llvm::Value* address) {
      return e.element(address, e.mul(w, view.stride_w));
    };
    const auto input = [&](int i) {
      const View& view = p.inputs[i].view;
      llvm::Value* value = fixed[i] ? fixed[i] : e.load_block(view, at(view, lines[i]), lanes(view));
      return divided && i == 1 ? e.builder.CreateSelect(divided, value, e.splat(1.0)) : value;
    };
    llvm::Value* value = compute(e, p, input, [&](int i) { return constants[i]; });
    e.store_block(p.out.view, value, at(p.out.view, out_line), lanes(p.out.view));
  };

  // Enough independent pixels in flight to hide the latency of an activation's polynomial without spilling.
  const int unroll = e.target.vector_registers / 8;
  llvm::Value* length = e.sub(end, begin);
  llvm::Value* unrolled_end = e.sub(end, e.rem(length, unroll));
  e.for_range(begin, unrolled_end, unroll, [&](llvm::Value* w) {
    for (int i = 0; i < unroll; ++i) pixel(e.add(w, i));
  });
  e.for_range(unrolled_end, end, 1, pixel);
}

// Both variants of the last block where some view's is masked.
void block_line(Emitter& e, const Pointwise& p, const BlockIndex& start, Index begin, Index end) {
  const bool masked = !all_views(p, [](const View& view) { return last_block_lanes(view) == kChannelBlock; });
  const int64_t last = p.out.view.blocks() - 1;
  if (!masked) return block_line(e, p, start, begin, end, false);
  if (last == 0) return block_line(e, p, start, begin, end, true);
  e.if_else(
      e.less(start.block, last), [&] { block_line(e, p, start, begin, end, false); },
      [&] { block_line(e, p, start, begin, end, true); });
}

// ---- a line of one channel

void channel_line(Emitter& e, const Pointwise& p, const BlockIndex& start, Index begin, Index end,
                  llvm::Value* lane) {
  const auto line = [&](const Operand& operand) {
    return e.element(block_address(e, operand.view, operand.base, start), e.mul(lane, operand.view.stride_c));
  };
  llvm::Value* out_line = line(p.out);
  Values lines, fixed, constants;
  for (const Operand& in : p.inputs) {
    lines.push_back(line(in));
    fixed.push_back(is_broadcast(in.view) ? e.load_scalar(lines.back()) : nullptr);
  }
  if (p.has_channel_constants())
    for (llvm::Value* weights : p.arguments.weights)
      constants.push_back(e.load_scalar(e.element(weights, e.add(e.mul(start.block, kChannelBlock), lane))));

  // 16 pixels at once, then one by one.
  const auto pixels = [&](llvm::Value* w, bool vector) {
    const auto widened = [&](llvm::Value* scalar) { return vector ? e.splat(scalar) : scalar; };
    const auto at = [&](const View& view, llvm::Value* address) {
      return e.element(address, e.mul(w, view.stride_w));
    };
    const auto input = [&](int i) {
      if (fixed[i]) return widened(fixed[i]);
      llvm::Value* address = at(p.inputs[i].view, lines[i]);
      return vector ? e.load_block(address, sizeof(float)) : e.load_scalar(address);
    };
    llvm::Value* value = compute(e, p, input, [&](int i) { return widened(constants[i]); });
    llvm::Value* address = at(p.out.view, out_line);
    vector ? e.store_block(value, address, sizeof(float)) : e.store_scalar(value, address);
  };
  const bool dense = all_views(p, [](const View& view) { return view.stride_w == 1 || is_broadcast(view); });
  llvm::Value* vector_end = e.value_of(begin);
  if (dense) {
    vector_end = e.sub(end, e.rem(e.sub(end, begin), kChannelBlock));
    e.for_range(begin, vector_end, kChannelBlock, [&](llvm::Value* w) { pixels(w, true); });
  }
  e.for_range(vector_end, end, 1, [&](llvm::Value* w) { pixels(w, false); });
}

void channel_lines(Emitter& e, const Pointwise& p, const BlockIndex& start, Index begin, Index end) {
  const int64_t channels = p.out.view.shape.c();
  llvm::Value* lanes = e.min(kChannelBlock, e.sub(channels, e.mul(start.block, kChannelBlock)));
  e.for_range(
      0, lanes, 1, [&](llvm::Value* lane) { channel_line(e, p, start, begin, end, lane); },
      Trips::at_least_one);
}

}  // namespace

void emit_pointwise(Emitter& e, const Step& step, const PointwiseKernel& kernel,
                    const KernelArguments& arguments) {
  Pointwise p{kernel, {step.output, arguments.out}, {}, arguments};
  for (size_t i = 0; i < step.inputs.size(); ++i) p.inputs.push_back({step.inputs[i], arguments.inputs[i]});
  const Shape& shape = step.output.shape;
  const int64_t rows = shape.h(), width = shape.w();
  const bool contiguous = rows_are_contiguous(p);
  const auto line =
      all_views(p, [](const View& view) { return view.vector_channels() || view.stride_c == 0; })
          ? static_cast<void (*)(Emitter&, const Pointwise&, const BlockIndex&, Index, Index)>(block_line)
          : channel_lines;

  // Units are rows; those of one block of one image are taken together.
  Strips(e, step).for_runs(arguments.begin, arguments.end, [&](const Strips::Run& run) {
    llvm::Value *begin = e.add(run.first, run.begin), *end = e.add(run.first, run.end);
    const bool one_image = shape.n() == 1;
    const Index first_image = one_image ? Index(0) : e.div(begin, rows);
    const Index end_image = one_image ? Index(1) : e.div(e.add(end, rows - 1), rows);
    e.for_range(first_image, end_image, 1, [&](llvm::Value* image) {
      llvm::Value* first_row = e.mul(image, rows);
      llvm::Value* row_begin = e.max(0, e.sub(begin, first_row));
      llvm::Value* row_end = e.min(rows, e.sub(end, first_row));
      BlockIndex start{image, run.channel};
      if (contiguous) return line(e, p, start, e.mul(row_begin, width), e.mul(row_end, width));
      e.for_range(row_begin, row_end, 1, [&](llvm::Value* row) {
        start.h = row;
        line(e, p, start, 0, width);
      });
    });
  });
}

}  // namespace cardinal
