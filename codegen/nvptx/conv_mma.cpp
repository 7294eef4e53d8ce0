// Convolution as a matrix product on tensor cores: see mma_reduction.h. Its sums go through shared memory;
// there, 8 channels of a pixel at a time: bias, epilogue, store.
#include "codegen/nvptx/mma_reduction.h"
#include "passes/gpu_conv_choice.h"

namespace cardinal {

namespace {

class MmaConv {
 public:
  MmaConv(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv)
      : e_(e),
        kernel_(kernel),
        conv_(conv),
        s_(conv.shape),
        pixels_(s_.n * s_.oh * s_.ow),
        steps_(ceil_div(mma_reduction(s_), conv.tile_k)),
        steps_of_part_(ceil_div(steps_, conv.split_k)) {}

  void emit() {
    const int64_t tiles = ceil_div(group_channels(), conv_.tile_n);
    llvm::Value* tile = thread_block(e_, Axis::x);
    first_pixel_ = e_.mul(e_.div(tile, tiles), conv_.tile_m);
    first_channel_ = e_.mul(e_.rem(tile, tiles), conv_.tile_n);
    group_ = s_.groups > 1 ? thread_block(e_, Axis::y) : e_.integer(0);
    part_ = conv_.split_k > 1 ? thread_block(e_, Axis::z) : e_.integer(0);
    MmaReduction reduction(e_, kernel_, conv_, first_pixel_, group_);
    llvm::Value* first_step = e_.mul(part_, steps_of_part_);
    llvm::Value* steps = e_.value_of(steps_of_part_);
    if (steps_ % steps_of_part_ != 0) steps = e_.min(steps_of_part_, e_.sub(steps_, first_step));
    const int64_t fewest = steps_ - (conv_.split_k - 1) * steps_of_part_;
    const MmaReduction::Steps part{first_step, steps, fewest};
    reduction.start(first_channel_, part);
    const Values sums = reduction.sums(first_channel_, part);
    reduction.tile().keep(sums, shared_memory(e_));
    synchronise(e_);
    finish(reduction.tile());
  }

 private:
  int64_t group_channels() const { return s_.oc / s_.groups; }

  void finish(const MmaTile& tile) {
    tile.for_kept_vector(shared_memory(e_), [&](llvm::Value* row, llvm::Value* vector, llvm::Value* sums) {
      llvm::Value* pixel = e_.add(first_pixel_, row);
      llvm::Value* channel_vector = e_.add(e_.div(first_channel_, kGpuVector), vector);
      llvm::Value* wanted = e_.less(channel_vector, group_vectors());
      if (pixels_ % conv_.tile_m != 0) wanted = e_.builder.CreateAnd(wanted, e_.less(pixel, pixels_));
      e_.if_then(wanted, [&] {
        store(pixel, e_.add(channel_vector, e_.mul(group_, group_channels() / kGpuVector)), sums);
      });
    });
  }

  // Those of the last group include pad lanes.
  Index group_vectors() {
    const int64_t all = channel_vectors(kernel_.step.output);
    if (s_.groups == 1) return all;
    const int64_t own = group_channels() / kGpuVector, last = all - (s_.groups - 1) * own;
    if (last == own) return own;
    return e_.builder.CreateSelect(e_.builder.CreateICmpEQ(group_, e_.integer(s_.groups - 1)),
                                   e_.integer(last), e_.integer(own));
  }

  void store(llvm::Value* pixel, llvm::Value* vector, llvm::Value* sums) {
    llvm::Value* value = load_constants(e_, sums, 0);
    if (conv_.has_bias) value = e_.fadd(value, load_constants(e_, kernel_.weights[1], vector));
    VectorIndex at = pixel_index(e_, s_, pixel, vector);
    if (conv_.split_k > 1) at.n = e_.add(at.n, e_.mul(part_, s_.n));
    value = finish_vector(e_, kernel_, conv_.epilogue, 1, at, value);
    store_vector(e_, kernel_.step.output, kernel_.out, at, value);
  }

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const ConvShape& s_;
  const int64_t pixels_, steps_, steps_of_part_;
  llvm::Value *first_pixel_, *first_channel_, *group_, *part_;  // the channel within the group
};

}  // namespace

void emit_gpu_conv_mma(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  MmaConv(e, kernel, conv).emit();
}

}  // namespace cardinal
