// Group normalisation: the moments of each channel, and what the moments of a group's channels make of the
// weights. The result is x multiplied and added to, pointwise.
//
// A group's variance is the mean of its channels' variances plus the variance of their means, so that no sum
// of squares loses what an offset takes (Chan et al. 1979).
#include <llvm/IR/Intrinsics.h>

#include "codegen/cpu/conv.h"

namespace cardinal {

namespace {

// The sum over a channel's image of term(x), 16 channels at once. Several sums hide the latency of an
// addition.
llvm::Value* sum_over_image(Emitter& e, const View& view, llvm::Value* image, int lanes,
                            llvm::function_ref<llvm::Value*(llvm::Value* x, llvm::Value* sum)> add_term) {
  constexpr int kSums = 4;
  const bool one_row = view.stride_h == view.shape.w() * view.stride_w;
  const int64_t rows = one_row ? 1 : view.shape.h();
  const int64_t width = one_row ? view.shape.h() * view.shape.w() : view.shape.w();
  const int64_t unrolled = width - width % kSums;
  Values sums(kSums, e.splat(0.0));
  sums = e.for_range(0, rows, 1, sums, [&](llvm::Value* h, Values row_sums) {
    llvm::Value* row = e.element(image, e.mul(h, view.stride_h));
    const auto add_pixel = [&](llvm::Value* w, llvm::Value*& sum) {
      sum = add_term(e.load_block(view, e.element(row, e.mul(w, view.stride_w)), lanes), sum);
    };
    row_sums = e.for_range(0, unrolled, kSums, row_sums, [&](llvm::Value* w, Values inner) {
      for (int i = 0; i < kSums; ++i) add_pixel(e.add(w, i), inner[static_cast<size_t>(i)]);
      return inner;
    });
    return e.for_range(unrolled, width, 1, row_sums, [&](llvm::Value* w, Values inner) {
      add_pixel(w, inner[0]);
      return inner;
    });
  });
  return e.fadd(e.fadd(sums[0], sums[1]), e.fadd(sums[2], sums[3]));
}

}  // namespace

void emit_moments(Emitter& e, const Step& step, const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const Shape& shape = in.shape;
  const int tail = static_cast<int>(shape.c() % kChannelBlock);
  std::vector<int> is_partial(static_cast<size_t>(out.blocks()), 0);
  is_partial.back() = tail != 0;
  llvm::Value* share = e.splat(1.0 / static_cast<double>(shape.h() * shape.w()));
  for_units(e, step, arguments, {shape.n()}, [&](const UnitIndex& at) {
    llvm::Value *block = at.outer, *n = at.image;
    llvm::Value* image = block_address(e, in, arguments.inputs[0], {n, block});
    llvm::Value* to = block_address(e, out, arguments.out, {n, block});
    emit_by_class(e, block, is_partial, [&](int partial) {
      const int lanes = partial ? tail : int{kChannelBlock};  // the others are 0, not the view's pad lanes
      const auto mean_of = [&](auto term) {
        return e.fmul(sum_over_image(e, in, image, lanes, term), share);
      };
      llvm::Value* mean = mean_of([&](llvm::Value* x, llvm::Value* sum) { return e.fadd(sum, x); });
      llvm::Value* variance = mean_of([&](llvm::Value* x, llvm::Value* sum) {
        llvm::Value* difference = e.fsub(x, mean);
        return e.fma(difference, difference, sum);
      });
      e.store_block(out, mean, to);
      e.store_block(out, variance, e.element(to, out.stride_w));
    });
  });
}

namespace {

// The channels of an image in a tensor [N, C, 1, 2] in blocks: what is where.
struct ChannelPairs {
  const View& view;
  llvm::Value* image;
  llvm::Value* at(Emitter& e, llvm::Value* c, int64_t which) const {
    llvm::Value* block = e.element(image, e.mul(e.div(c, kChannelBlock), view.stride_block));
    return e.element(block, e.add(e.rem(c, kChannelBlock), which * view.stride_w));
  }
};

}  // namespace

void emit_group_factors(Emitter& e, const Step& step, const GroupFactorsKernel& kernel,
                        const KernelArguments& arguments) {
  const View &in = step.inputs[0], &out = step.output;
  const int64_t channels = out.shape.c(), width = channels / kernel.groups;
  llvm::Value* zero = llvm::ConstantFP::get(e.f32, 0);
  llvm::Value* share = llvm::ConstantFP::get(e.f32, 1.0 / static_cast<double>(width));
  e.for_range(arguments.begin, arguments.end, 1, [&](llvm::Value* unit) {
    llvm::Value *n = e.div(unit, kernel.groups), *group = e.rem(unit, kernel.groups);
    const ChannelPairs moments{in, block_address(e, in, arguments.inputs[0], {n})};
    const ChannelPairs factors{out, block_address(e, out, arguments.out, {n})};
    llvm::Value* first = e.mul(group, width);
    llvm::Value* end = e.add(first, width);
    const auto mean_of = [&](auto term) {
      llvm::Value* sum = e.for_range(
          first, end, 1, {zero}, [&](llvm::Value* c, Values sum) { return Values{e.fadd(sum[0], term(c))}; },
          Trips::at_least_one)[0];
      return e.fmul(sum, share);
    };
    const auto moment = [&](llvm::Value* c, int64_t which) { return e.load_scalar(moments.at(e, c, which)); };
    llvm::Value* mean = mean_of([&](llvm::Value* c) { return moment(c, 0); });
    llvm::Value* variance = mean_of([&](llvm::Value* c) {
      llvm::Value* difference = e.fsub(moment(c, 0), mean);
      return e.fma(difference, difference, moment(c, 1));
    });
    variance = e.fadd(variance, llvm::ConstantFP::get(e.f32, kernel.eps));
    llvm::Value* deviation = e.builder.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, variance);
    llvm::Value* inverse = e.fdiv(llvm::ConstantFP::get(e.f32, 1), deviation);
    const auto store = [&](llvm::Value* c, llvm::Value* factor, llvm::Value* summand) {
      e.store_scalar(factor, factors.at(e, c, 0));
      e.store_scalar(summand, factors.at(e, c, 1));
    };
    e.for_range(first, end, 1, [&](llvm::Value* c) {
      const auto weight = [&](int i) { return e.load_scalar(e.element(arguments.weights[i], c)); };
      llvm::Value* factor = e.fmul(weight(0), inverse);
      store(c, factor, e.fsub(weight(1), e.fmul(mean, factor)));
    });
    // The lanes beyond the channels, with the last group.
    e.if_then(e.builder.CreateICmpEQ(end, e.integer(channels)), [&] {
      e.for_range(channels, round_up(channels, kChannelBlock), 1,
                  [&](llvm::Value* c) { store(c, zero, zero); });
    });
  });
}

}  // namespace cardinal
