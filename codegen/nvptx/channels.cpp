// Kernels over the channels of each pixel. Softmax and layer normalisation have a warp for each pixel: its
// lanes take every 32nd vector of channels, and put their sums together by exchanges.
#include <llvm/IR/Intrinsics.h>

#include "codegen/epilogue.h"
#include "codegen/nvptx/kernels.h"

namespace cardinal {

namespace {

constexpr int64_t kWarp = 32;

// A pixel and the warp's lane.
struct WarpPixel {
  Emitter& e;
  const GpuKernel& kernel;
  VectorIndex at;
  llvm::Value* lane;

  const Shape& shape() const { return kernel.step.output.shape; }

  // Carries a vector through those of this lane.
  llvm::Value* over_vectors(llvm::Value* start,
                            llvm::function_ref<llvm::Value*(llvm::Value* vector, llvm::Value*)> body) const {
    return e.for_range(
        lane, channel_vectors(kernel.step.output), kWarp, {start},
        [&](llvm::Value* vector, Values carried) { return Values{body(vector, carried[0])}; })[0];
  }

  // `value` in lanes that are channels, `otherwise` in the others.
  llvm::Value* channels_of(llvm::Value* vector, llvm::Value* value, double otherwise) const {
    if (shape().c() % kGpuVector == 0 && channel_vectors(kernel.step.output) * kGpuVector == shape().c())
      return value;
    llvm::Value* first = e.mul(vector, kGpuVector);
    for (int64_t i = 0; i < kGpuVector; ++i) {
      llvm::Value* x = e.builder.CreateExtractElement(value, static_cast<uint64_t>(i));
      x = e.builder.CreateSelect(e.less(e.add(first, i), shape().c()), x, e.constant_like(x, otherwise));
      value = e.builder.CreateInsertElement(value, x, static_cast<uint64_t>(i));
    }
    return value;
  }

  llvm::Value* load(llvm::Value* vector, double otherwise) const {
    llvm::Value* x = load_vector(e, kernel.step.inputs[0], kernel.inputs[0], {at.n, at.h, at.w, vector});
    return channels_of(vector, x, otherwise);
  }

  void store(llvm::Value* vector, llvm::Value* value) const {
    store_vector(e, kernel.step.output, kernel.out, {at.n, at.h, at.w, vector}, value);
  }

  // One value of all lanes' vectors.
  llvm::Value* reduce(llvm::Value* vector,
                      llvm::function_ref<llvm::Value*(llvm::Value*, llvm::Value*)> join) const {
    llvm::Value* value = e.builder.CreateExtractElement(vector, uint64_t{0});
    for (uint64_t i = 1; i < kGpuVector; ++i) value = join(value, e.builder.CreateExtractElement(vector, i));
    for (int mask = kWarp / 2; mask > 0; mask /= 2) value = join(value, exchange(e, value, mask));
    return value;
  }
  llvm::Value* sum(llvm::Value* vector) const {
    return reduce(vector, [&](llvm::Value* a, llvm::Value* b) { return e.fadd(a, b); });
  }
};

void for_pixel(Emitter& e, const GpuKernel& kernel, llvm::function_ref<void(const WarpPixel&)> body) {
  const Shape& s = kernel.step.output.shape;
  for_warp_item(e, s.n() * s.h() * s.w(), [&](llvm::Value* pixel, llvm::Value* lane) {
    llvm::Value* row = e.div(pixel, s.w());
    body({e, kernel, {e.div(row, s.h()), e.rem(row, s.h()), e.rem(pixel, s.w())}, lane});
  });
}

}  // namespace

void emit_gpu_softmax(Emitter& e, const GpuKernel& kernel, const SoftmaxKernel& softmax) {
  constexpr double kLowest = -3.0e38;  // finite, below any logit that matters; its exponential is 0
  for_pixel(e, kernel, [&](const WarpPixel& p) {
    llvm::Value* largest = p.over_vectors(
        e.constant_like(zero_vector(e), kLowest),
        [&](llvm::Value* vector, llvm::Value* so_far) { return e.fmax(p.load(vector, kLowest), so_far); });
    largest = p.reduce(largest, [&](llvm::Value* a, llvm::Value* b) { return e.fmax(a, b); });
    llvm::Value* shift = e.splat(largest, kGpuVector);
    llvm::Value* sum = p.over_vectors(zero_vector(e), [&](llvm::Value* vector, llvm::Value* so_far) {
      return e.fadd(so_far, emit_exp(e, e.fsub(p.load(vector, kLowest), shift)));
    });
    sum = p.sum(sum);
    llvm::Value* factor = e.splat(e.fdiv(e.constant_like(sum, 1.0), sum), kGpuVector);
    if (softmax.log) shift = e.fadd(shift, e.splat(emit_log(e, sum), kGpuVector));
    p.over_vectors(factor, [&](llvm::Value* vector, llvm::Value* factor) {
      llvm::Value* difference = e.fsub(p.load(vector, 0), shift);
      p.store(vector,
              p.channels_of(vector, softmax.log ? difference : e.fmul(emit_exp(e, difference), factor), 0));
      return factor;
    });
  });
}

// A thread for each pixel.
void emit_gpu_channel_pool(Emitter& e, const GpuKernel& kernel, const ChannelPoolKernel& pool) {
  const View& in = kernel.step.inputs[0];
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    const auto channel = [&](llvm::Value* c) { return load_channel(e, in, kernel.inputs[0], at, c); };
    llvm::Value* value =
        e.for_range(1, in.shape.c(), 1, {channel(e.integer(0))}, [&](llvm::Value* c, Values so_far) {
          return Values{pool.max ? e.fmax(channel(c), so_far[0]) : e.fadd(so_far[0], channel(c))};
        })[0];
    if (!pool.max) value = e.fmul(value, e.constant_like(value, 1.0 / static_cast<double>(in.shape.c())));
    store_vector(e, kernel.step.output, kernel.out, at, e.splat(value, kGpuVector));
  });
}

void emit_gpu_layer_norm(Emitter& e, const GpuKernel& kernel, const LayerNormKernel& norm) {
  const double share = 1.0 / static_cast<double>(kernel.step.output.shape.c());
  for_pixel(e, kernel, [&](const WarpPixel& p) {
    llvm::Value* mean = p.sum(p.over_vectors(zero_vector(e), [&](llvm::Value* vector, llvm::Value* sum) {
      return e.fadd(sum, p.load(vector, 0));
    }));
    mean = e.splat(e.fmul(mean, e.constant_like(mean, share)), kGpuVector);
    llvm::Value* variance = p.sum(p.over_vectors(zero_vector(e), [&](llvm::Value* vector, llvm::Value* sum) {
      llvm::Value* difference = p.channels_of(vector, e.fsub(p.load(vector, 0), mean), 0);
      return e.fma(difference, difference, sum);
    }));
    variance = e.fma(variance, e.constant_like(variance, share), e.constant_like(variance, norm.eps));
    llvm::Value* deviation = e.builder.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, variance);
    llvm::Value* factor = e.splat(e.fdiv(e.constant_like(variance, 1.0), deviation), kGpuVector);
    p.over_vectors(factor, [&](llvm::Value* vector, llvm::Value* factor) {
      llvm::Value* normal = e.fmul(e.fsub(p.load(vector, 0), mean), factor);
      llvm::Value* scale = load_constants(e, kernel.weights[0], vector);
      p.store(vector, e.fma(normal, scale, load_constants(e, kernel.weights[1], vector)));
      return factor;
    });
  });
}

namespace {

// term(c) of the neighbouring channels c + offset, begin <= offset < end, added up for each channel; 0 beyond
// the channels.
llvm::Value* sum_over_neighbours(Emitter& e, const GpuKernel& kernel, const VectorIndex& at, int64_t begin,
                                 int64_t end,
                                 llvm::function_ref<llvm::Value*(llvm::Value* x, int64_t offset)> term) {
  const View& in = kernel.step.inputs[0];
  std::vector<llvm::Value*> neighbours;  // from channel 8 * vector + begin on
  for (int64_t i = begin; i < end - 1 + kGpuVector; ++i) {
    llvm::Value* c = e.add(e.mul(at.vector, kGpuVector), i);
    llvm::Value* exists = e.builder.CreateICmpULT(c, e.integer(in.shape.c()));
    llvm::Value* x = load_channel(e, in, kernel.inputs[0], at, e.max(0, e.min(c, in.shape.c() - 1)));
    neighbours.push_back(e.builder.CreateSelect(exists, x, e.constant_like(x, 0.0)));
  }
  llvm::Value* sums = zero_vector(e);
  for (int64_t lane = 0; lane < kGpuVector; ++lane) {
    llvm::Value* sum = llvm::ConstantFP::get(e.f32, 0);
    for (int64_t offset = begin; offset < end; ++offset)
      sum = e.fadd(sum, term(neighbours[static_cast<size_t>(lane + offset - begin)], offset));
    sums = e.builder.CreateInsertElement(sums, sum, static_cast<uint64_t>(lane));
  }
  return sums;
}

}  // namespace

void emit_gpu_channel_conv(Emitter& e, const GpuKernel& kernel, const ChannelConvKernel& conv) {
  const int64_t reach = conv.size / 2;
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    std::vector<llvm::Value*> taps;
    for (int64_t tap = 0; tap < conv.size; ++tap)
      taps.push_back(e.load_scalar(e.builder.CreateGEP(e.f32, kernel.weights[0], e.integer(tap))));
    llvm::Value* sums = sum_over_neighbours(
        e, kernel, at, -reach, conv.size - reach,
        [&](llvm::Value* x, int64_t offset) { return e.fmul(x, taps[static_cast<size_t>(offset + reach)]); });
    store_vector(e, kernel.step.output, kernel.out, at, sums);
  });
}

void emit_gpu_response_norm(Emitter& e, const GpuKernel& kernel, const ResponseNormKernel& norm) {
  for_output_vector(e, kernel, [&](const VectorIndex& at) {
    llvm::Value* squares = sum_over_neighbours(e, kernel, at, -(norm.size / 2), (norm.size - 1) / 2 + 1,
                                               [&](llvm::Value* x, int64_t) { return e.fmul(x, x); });
    llvm::Value* base = e.fma(squares, e.constant_like(squares, norm.alpha / static_cast<double>(norm.size)),
                              e.constant_like(squares, norm.k));
    llvm::Value* x = load_vector(e, kernel.step.inputs[0], kernel.inputs[0], at);
    llvm::Value* power = emit_exp(e, e.fmul(emit_log(e, base), e.constant_like(base, -norm.beta)));
    store_vector(e, kernel.step.output, kernel.out, at, e.fmul(x, power));
  });
}

}  // namespace cardinal
