// Reductions over an image: a thread block takes 8 vectors of channels, 16 threads each add up every 16th
// pixel, and shared memory puts their sums together in a fixed order.
#include <llvm/IR/Intrinsics.h>

#include "codegen/nvptx/kernels.h"

namespace cardinal {

namespace {

constexpr int64_t kVectors = 8, kShares = 16;  // as launched: see gpu_launch.cpp

struct ImageReduction {
  Emitter& e;
  const GpuKernel& kernel;
  llvm::Value *n, *vector, *share,
      *own;  // `vector` may be beyond the last; `own`: where this thread's sum goes

  // The sum of term(x) over the image, for every thread of the vector. All threads must call it.
  llvm::Value* sum(llvm::function_ref<llvm::Value*(llvm::Value* x, llvm::Value* sum)> add_term) const {
    const View& in = kernel.step.inputs[0];
    const int64_t width = in.shape.w(), pixels = in.shape.h() * width;
    llvm::Value* existing = e.min(vector, channel_vectors(kernel.step.output) - 1);
    llvm::Value* mine =
        e.for_range(share, pixels, kShares, {zero_vector(e)}, [&](llvm::Value* pixel, Values sums) {
          llvm::Value* x =
              load_vector(e, in, kernel.inputs[0], {n, e.div(pixel, width), e.rem(pixel, width), existing});
          return Values{add_term(x, sums[0])};
        })[0];
    synchronise(e);  // sums of an earlier call have been read
    e.builder.CreateAlignedStore(mine, own, llvm::Align(32));
    synchronise(e);
    llvm::Value* total = zero_vector(e);
    for (int64_t i = 0; i < kShares; ++i) {
      llvm::Value* from =
          byte_offset(e, place(e.rem(thread_index(e), kVectors)), i * kVectors * kGpuVector * 4);
      total = e.fadd(total, e.builder.CreateAlignedLoad(total->getType(), from, llvm::Align(32)));
    }
    return total;
  }

  llvm::Value* place(llvm::Value* thread) const {
    return byte_offset(e, shared_memory(e), e.mul(thread, kGpuVector * 4));
  }

  // One thread of each vector that exists stores the results.
  void store(llvm::function_ref<void()> body) const {
    llvm::Value* exists = e.less(vector, channel_vectors(kernel.step.output));
    e.if_then(e.builder.CreateAnd(exists, e.builder.CreateICmpEQ(share, e.integer(0))), body);
  }
};

ImageReduction image_reduction(Emitter& e, const GpuKernel& kernel) {
  llvm::Value* thread = thread_index(e);
  llvm::Value* vector = e.add(e.mul(thread_block(e, Axis::x), kVectors), e.rem(thread, kVectors));
  ImageReduction r{e, kernel, thread_block(e, Axis::y), vector, e.div(thread, kVectors), nullptr};
  r.own = r.place(thread);
  return r;
}

}  // namespace

void emit_gpu_global_average(Emitter& e, const GpuKernel& kernel) {
  const Shape& in = kernel.step.inputs[0].shape;
  const ImageReduction r = image_reduction(e, kernel);
  llvm::Value* sum = r.sum([&](llvm::Value* x, llvm::Value* sum) { return e.fadd(sum, x); });
  llvm::Value* mean = e.fmul(sum, e.constant_like(sum, 1.0 / static_cast<double>(in.h() * in.w())));
  r.store([&] { store_vector(e, kernel.step.output, kernel.out, {r.n, 0, 0, r.vector}, mean); });
}

void emit_gpu_moments(Emitter& e, const GpuKernel& kernel) {
  const Shape& in = kernel.step.inputs[0].shape;
  const double share = 1.0 / static_cast<double>(in.h() * in.w());
  const ImageReduction r = image_reduction(e, kernel);
  llvm::Value* mean = r.sum([&](llvm::Value* x, llvm::Value* sum) { return e.fadd(sum, x); });
  mean = e.fmul(mean, e.constant_like(mean, share));
  llvm::Value* variance = r.sum([&](llvm::Value* x, llvm::Value* sum) {
    llvm::Value* difference = e.fsub(x, mean);
    return e.fma(difference, difference, sum);
  });
  variance = e.fmul(variance, e.constant_like(variance, share));
  r.store([&] {
    store_vector(e, kernel.step.output, kernel.out, {r.n, 0, 0, r.vector}, mean);
    store_vector(e, kernel.step.output, kernel.out, {r.n, 0, 1, r.vector}, variance);
  });
}

namespace {

// One value of a channel in a tensor [N, C, 1, 2] in blocks of f32.
llvm::Value* pair_address(Emitter& e, const View& view, llvm::Value* base, llvm::Value* n, llvm::Value* c,
                          int64_t which) {
  llvm::Value* offset = e.add(e.mul(n, view.stride_n), e.mul(e.div(c, kChannelBlock), view.stride_block));
  offset = e.add(offset, e.add(e.rem(c, kChannelBlock), which * view.stride_w));
  return e.builder.CreateGEP(e.f32, base, offset);
}

}  // namespace

// A warp for each group of an image; see codegen/cpu/group_norm.cpp for the formula.
void emit_gpu_group_factors(Emitter& e, const GpuKernel& kernel, const GroupFactorsKernel& factors) {
  constexpr int64_t kWarp = 32;
  const View &in = kernel.step.inputs[0], &out = kernel.step.output;
  const int64_t channels = out.shape.c(), width = channels / factors.groups;
  llvm::Value* zero = llvm::ConstantFP::get(e.f32, 0);
  for_warp_item(e, out.shape.n() * factors.groups, [&](llvm::Value* item, llvm::Value* lane) {
    llvm::Value *n = e.div(item, factors.groups), *group = e.rem(item, factors.groups);
    llvm::Value *first = e.mul(group, width), *end = e.add(first, width);
    const auto moment = [&](llvm::Value* c, int64_t which) {
      return e.load_scalar(pair_address(e, in, kernel.inputs[0], n, c, which));
    };
    const auto mean_of = [&](auto term) {
      llvm::Value* sum =
          e.for_range(e.add(first, lane), end, kWarp, {zero},
                      [&](llvm::Value* c, Values sums) { return Values{e.fadd(sums[0], term(c))}; })[0];
      for (int mask = kWarp / 2; mask > 0; mask /= 2) sum = e.fadd(sum, exchange(e, sum, mask));
      return e.fmul(sum, e.constant_like(sum, 1.0 / static_cast<double>(width)));
    };
    llvm::Value* mean = mean_of([&](llvm::Value* c) { return moment(c, 0); });
    llvm::Value* variance = mean_of([&](llvm::Value* c) {
      llvm::Value* difference = e.fsub(moment(c, 0), mean);
      return e.fma(difference, difference, moment(c, 1));
    });
    variance = e.fadd(variance, e.constant_like(variance, factors.eps));
    llvm::Value* inverse = e.fdiv(e.constant_like(variance, 1.0),
                                  e.builder.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, variance));
    const auto store = [&](llvm::Value* c, llvm::Value* factor, llvm::Value* summand) {
      e.store_scalar(factor, pair_address(e, out, kernel.out, n, c, 0));
      e.store_scalar(summand, pair_address(e, out, kernel.out, n, c, 1));
    };
    e.for_range(e.add(first, lane), end, kWarp, [&](llvm::Value* c) {
      const auto weight = [&](size_t i) {
        return e.load_scalar(e.builder.CreateGEP(e.f32, kernel.weights[i], c));
      };
      llvm::Value* factor = e.fmul(weight(0), inverse);
      store(c, factor, e.fsub(weight(1), e.fmul(mean, factor)));
    });
    // The lanes beyond the channels, with the last group.
    e.if_then(e.builder.CreateICmpEQ(end, e.integer(channels)), [&] {
      e.for_range(e.add(channels, lane), round_up(channels, kChannelBlock), kWarp,
                  [&](llvm::Value* c) { store(c, zero, zero); });
    });
  });
}

}  // namespace cardinal
