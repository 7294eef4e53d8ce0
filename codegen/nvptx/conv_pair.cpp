// A convolution and the 1x1 convolution that reads its result, in one kernel:
//
//   for each chunk of the first's output channels:                     rolled
//     the second's weights for the chunk are sent on their way
//     sums = x * the first's weights                                   mma_reduction.h
//     8 channels of a pixel at a time: bias, epilogue, store, and into the chunk in shared memory
//     the first steps of the next chunk's reduction are sent on their way
//     second sums += chunk * the second's weights
//   second sums: bias, epilogue, store
//
// The chunk and the weights lie in panels of tile_k channels, whose rows are those of a reduction's step.
#include "codegen/nvptx/mma_reduction.h"
#include "passes/gpu_pair_choice.h"

namespace cardinal {

namespace {

class ConvPair {
 public:
  ConvPair(Emitter& e, const GpuKernel& kernel, const GpuConvPairKernel& pair)
      : e_(e),
        kernel_(kernel),
        first_(pair.first),
        second_(pair.second),
        rows_(MmaReduction::rows_of(pair.first)),
        pixels_(first_.shape.n * first_.shape.oh * first_.shape.ow),
        second_weights_(first_.has_bias ? 2 : 1) {
    const PairMemory memory = pair_memory(pair);
    shared_ = shared_memory(e);
    chunk_ = byte_offset(e, shared_, memory.chunk);
    weights_ = byte_offset(e, shared_, memory.weights);
  }

  void emit() {
    first_pixel_ = e_.mul(thread_block(e_, Axis::x), first_.tile_m);
    MmaReduction reduction(e_, kernel_, first_, first_pixel_, e_.integer(0));
    MmaTile tile(e_, second_.dtype, second_.tile_m, second_.tile_n, second_.warps_m, second_.warps_n, rows_);
    const int64_t chunks = ceil_div(first_.shape.oc, first_.tile_n);
    const int64_t count = ceil_div(mma_reduction(first_.shape), first_.tile_k);
    const ReductionSteps steps{e_.integer(0), e_.integer(count), count};
    reduction.start(e_.integer(0), steps);
    const Values sums = e_.for_range(0, chunks, 1, tile.zeros(), [&](llvm::Value* chunk, Values second) {
      llvm::Value* first_channel = e_.mul(chunk, first_.tile_n);
      synchronise(e_);  // all threads are done with the chunk before
      copy_weights(first_channel);
      const Values first = reduction.sums(first_channel, steps);
      reduction.tile().keep(first, shared_);
      synchronise(e_);
      finish_first(reduction.tile(), first_channel);
      synchronise(e_);
      llvm::Value* next = e_.add(first_channel, first_.tile_n);
      if (chunks > 1)
        e_.if_then(e_.less(next, chunks * first_.tile_n), [&] { reduction.start(next, steps); });
      for (int64_t panel = 0; panel < panels(); ++panel)
        tile.multiply_step(byte_offset(e_, chunk_, panel * panel_bytes(first_.tile_m)),
                           byte_offset(e_, weights_, panel * panel_bytes(second_.tile_n)), second);
      return second;
    });
    synchronise(e_);
    tile.keep(sums, shared_);
    synchronise(e_);
    finish_second(tile);
  }

 private:
  int64_t panels() const { return first_.tile_n / first_.tile_k; }
  int64_t panel_bytes(int64_t rows) const { return rows * rows_.bytes(); }

  // Where vector `vector` of row `row` is in panels of `rows` rows.
  llvm::Value* place(llvm::Value* row, llvm::Value* vector, int64_t rows) const {
    llvm::Value* panel = e_.mul(e_.div(vector, rows_.vectors), panel_bytes(rows));
    return e_.add(panel, rows_.place(e_, row, e_.rem(vector, rows_.vectors)));
  }

  void copy_weights(llvm::Value* first_channel) {
    const int64_t vectors = first_.tile_n / kGpuVector, row = mma_weight_row(second_.shape);
    const bool whole = round_up(first_.shape.oc, first_.tile_n) <= row;
    e_.for_range(thread_index(e_), second_.tile_n * vectors, kPairThreads, [&](llvm::Value* i) {
      llvm::Value *oc = e_.div(i, vectors), *vector = e_.rem(i, vectors);
      llvm::Value* to = byte_offset(e_, weights_, place(oc, vector, second_.tile_n));
      // Rows beyond the last channel are never stored.
      llvm::Value* channel = e_.add(first_channel, e_.mul(vector, kGpuVector));
      llvm::Value* offset = e_.add(e_.mul(e_.min(oc, second_.shape.oc - 1), row), channel);
      llvm::Value* from =
          e_.builder.CreateGEP(element_type(e_, second_.dtype), kernel_.weights[second_weights_], offset);
      copy_async(e_, to, from, whole ? nullptr : e_.less(channel, row));
    });
    commit_copies(e_);
  }

  llvm::Value* exists(llvm::Value* vector, llvm::Value* pixel, const View& out) const {
    llvm::Value* result = e_.less(vector, channel_vectors(out));
    if (pixels_ % first_.tile_m != 0) result = e_.builder.CreateAnd(result, e_.less(pixel, pixels_));
    return result;
  }

  // What does not exist is 0 in the chunk: the second's weights are, too, and NaNs would spread.
  void finish_first(const MmaTile& tile, llvm::Value* first_channel) {
    tile.for_kept_vector(shared_, [&](llvm::Value* row, llvm::Value* vector, llvm::Value* sums) {
      const View& out = kernel_.step.output;
      llvm::Value* to = byte_offset(e_, chunk_, place(row, vector, first_.tile_m));
      const auto keep = [&](llvm::Value* value) {
        auto* narrow = llvm::FixedVectorType::get(element_type(e_, first_.dtype), kGpuVector);
        e_.builder.CreateAlignedStore(e_.builder.CreateFPTrunc(value, narrow), to, llvm::Align(kVectorBytes));
      };
      llvm::Value* pixel = e_.add(first_pixel_, row);
      llvm::Value* channels = e_.add(e_.div(first_channel, kGpuVector), vector);
      e_.if_else(
          exists(channels, pixel, out),
          [&] {
            llvm::Value* value = load_constants(e_, sums, 0);
            if (first_.has_bias) value = e_.fadd(value, load_constants(e_, kernel_.weights[1], channels));
            const VectorIndex at = pixel_index(e_, first_.shape, pixel, channels);
            value = finish_vector(e_, kernel_, first_.epilogue, 1, at, value);
            store_vector(e_, out, kernel_.out, at, value);
            keep(value);
          },
          [&] { keep(zero_vector(e_)); });
    });
  }

  void finish_second(const MmaTile& tile) {
    const View& out = *kernel_.step.second_output;
    tile.for_kept_vector(shared_, [&](llvm::Value* row, llvm::Value* vector, llvm::Value* sums) {
      llvm::Value* pixel = e_.add(first_pixel_, row);
      e_.if_then(exists(vector, pixel, out), [&] {
        llvm::Value* value = load_constants(e_, sums, 0);
        if (second_.has_bias)
          value = e_.fadd(value, load_constants(e_, kernel_.weights[second_weights_ + 1], vector));
        const VectorIndex at = pixel_index(e_, second_.shape, pixel, vector);
        value = finish_vector(e_, kernel_, second_.epilogue, 0, at, value);
        store_vector(e_, out, kernel_.second_out, at, value);
      });
    });
  }

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel &first_, &second_;
  const SharedRows rows_;
  const int64_t pixels_;
  const size_t second_weights_;  // their number
  llvm::Value *shared_, *chunk_, *weights_, *first_pixel_;
};

}  // namespace

void emit_gpu_conv_pair(Emitter& e, const GpuKernel& kernel, const GpuConvPairKernel& pair) {
  ConvPair(e, kernel, pair).emit();
}

}  // namespace cardinal
