// Convolution as a matrix product by wgmma. Shared memory is a ring of stages, each with a step's x and
// weights; two barriers of a stage say that it is full and that it is empty.
//
//   the first warpgroup, for each step:          the others, for each step:
//     wait until the stage is empty                wait until the stage is full
//     one thread: bulk copy of the weights         sums += x * weights, 64 pixels at a time
//     copies of x, 16 bytes a thread               wait for the products of the step before;
//     the copies' completion fills the stage       its stage is empty
//                                                sums to shared memory; there, 8 channels of a pixel at a
//                                                time: bias, epilogue, store
//
// x comes by cp.async, which computes addresses in the copying warps and needs no descriptor of the tensor
// from the driver; weights are packed as they lie in a stage.
#include "codegen/nvptx/kernels.h"
#include "codegen/nvptx/tensor_core.h"
#include "codegen/nvptx/warpgroup.h"
#include "passes/gpu_conv_wgmma.h"

namespace cardinal {

namespace {

constexpr int64_t kVectorBytes = 16, kVectors = kWgmmaRowBytes / kVectorBytes;
constexpr int64_t kProductRows = 64, kProductDepth = 16;  // of one wgmma
constexpr int64_t kBarrierBytes = 8;

class WgmmaConv {
 public:
  WgmmaConv(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv)
      : e_(e),
        kernel_(kernel),
        conv_(conv),
        s_(conv.shape),
        x_(kernel.step.inputs[0]),
        consumers_(kernel.step.launch.threads - kWarpgroupThreads),
        stage_bytes_(wgmma_stage_bytes(conv)),
        pixels_(s_.n * s_.oh * s_.ow),
        steps_(ceil_div(mma_reduction(s_), kWgmmaStep)),
        steps_of_part_(ceil_div(steps_, conv.split_k)) {}

  void emit() {
    locate();
    prepare_barriers();
    e_.if_else(e_.less(thread_, kWarpgroupThreads), [&] { produce(); }, [&] { consume(); });
  }

 private:
  void locate() {
    const int64_t tiles = ceil_div(s_.oc, conv_.tile_n);
    llvm::Value* tile = thread_block(e_, Axis::x);
    first_pixel_ = e_.mul(e_.div(tile, tiles), conv_.tile_m);
    first_channel_ = e_.mul(e_.rem(tile, tiles), conv_.tile_n);
    part_ = conv_.split_k > 1 ? thread_block(e_, Axis::z) : e_.integer(0);
    first_step_ = e_.mul(part_, steps_of_part_);
    part_steps_ = e_.value_of(steps_of_part_);
    if (steps_ % steps_of_part_ != 0) part_steps_ = e_.min(steps_of_part_, e_.sub(steps_, first_step_));
    thread_ = thread_index(e_);
    shared_ = shared_memory(e_);
  }

  // ---- the ring of stages

  struct Turn {
    llvm::Value *stage, *parity;  // how often the ring went round, modulo 2
  };

  llvm::Value* full(llvm::Value* stage) {
    return byte_offset(e_, shared_, e_.add(e_.mul(stage, kBarrierBytes), wgmma_barriers_offset(conv_)));
  }
  llvm::Value* empty(llvm::Value* stage) {
    return byte_offset(e_, full(stage), conv_.stages * kBarrierBytes);
  }
  llvm::Value* parity_of(llvm::Value* parity) {
    return e_.builder.CreateTrunc(parity, e_.builder.getInt32Ty());
  }

  // A stage is full when every copying thread's x has come, and the weights that one of them announced; it is
  // empty when every warp that multiplies is done with it.
  void prepare_barriers() {
    e_.if_then(e_.builder.CreateICmpEQ(thread_, e_.integer(0)), [&] {
      for (int64_t stage = 0; stage < conv_.stages; ++stage) {
        init_barrier(e_, full(e_.integer(stage)), kWarpgroupThreads + 1);
        init_barrier(e_, empty(e_.integer(stage)), consumers_ / 32);
      }
      fence_async_proxy(e_);
    });
    synchronise(e_);
  }

  // body(step, turn) for each step of the part, with values that it carries.
  Values for_steps(Values carried, llvm::function_ref<void(llvm::Value* step, const Turn&, Values&)> body) {
    carried.push_back(e_.integer(0));
    carried.push_back(e_.integer(0));
    carried = e_.for_range(
        0, part_steps_, 1, carried,
        [&](llvm::Value* step, Values now) {
          Turn turn;
          turn.parity = now.pop_back_val();
          turn.stage = now.pop_back_val();
          body(step, turn, now);
          llvm::Value* next = e_.add(turn.stage, 1);
          llvm::Value* is_end = e_.builder.CreateICmpEQ(next, e_.integer(conv_.stages));
          now.push_back(e_.builder.CreateSelect(is_end, e_.integer(0), next));
          now.push_back(e_.builder.CreateXor(turn.parity, e_.builder.CreateZExt(is_end, e_.index)));
          return now;
        },
        Trips::at_least_one);
    carried.pop_back_n(2);
    return carried;
  }

  // ---- the warpgroup that copies: a thread copies one vector of every 16th row

  static constexpr int64_t kRowsOfPass = kWarpgroupThreads / kVectors;

  struct PixelRow {
    llvm::Value* offset;      // of tap 0, in elements
    llvm::Value *top, *left;  // of the window
  };

  bool always_inside() const {
    return s_.pad_top == 0 && s_.pad_left == 0 &&
           (s_.oh - 1) * s_.stride_h + (s_.kh - 1) * s_.dilation_h < s_.ih &&
           (s_.ow - 1) * s_.stride_w + (s_.kw - 1) * s_.dilation_w < s_.iw;
  }
  bool beyond_the_last_pixel() const { return pixels_ % conv_.tile_m != 0; }

  // Of a pixel beyond the last the window is far above the image.
  PixelRow pixel_row(llvm::Value* pixel) {
    llvm::Value *row = e_.div(pixel, s_.ow), *image = e_.div(row, s_.oh);
    llvm::Value* top = e_.sub(e_.mul(e_.rem(row, s_.oh), s_.stride_h), s_.pad_top);
    llvm::Value* left = e_.sub(e_.mul(e_.rem(pixel, s_.ow), s_.stride_w), s_.pad_left);
    llvm::Value* offset = e_.add(e_.mul(top, x_.stride_h), e_.mul(left, x_.stride_w));
    offset = e_.add(offset, e_.mul(image, x_.stride_n));
    if (beyond_the_last_pixel()) {
      constexpr int64_t kFarAbove = -(int64_t{1} << 28);
      top = e_.builder.CreateSelect(e_.less(pixel, pixels_), top, e_.integer(kFarAbove));
    }
    return {offset, top, left};
  }

  void produce() {
    set_registers(e_, RegisterChange::give, producer_registers());
    llvm::Value* row = e_.div(thread_, kVectors);
    copied_vector_ = e_.rem(thread_, kVectors);
    // The rows of all passes are the same modulo 8.
    llvm::Value* key = e_.builder.CreateAnd(row, kWgmmaSwizzleRows - 1);
    llvm::Value* place = e_.mul(e_.builder.CreateXor(copied_vector_, key), kVectorBytes);
    copy_place_ = e_.add(e_.mul(row, kWgmmaRowBytes), place);
    for (int64_t i = 0; i < conv_.tile_m; i += kRowsOfPass)
      pixel_rows_.push_back(pixel_row(e_.add(first_pixel_, e_.add(row, i))));
    llvm::Value* is_first = e_.builder.CreateICmpEQ(thread_, e_.integer(0));
    for_steps({}, [&](llvm::Value* step, const Turn& turn, Values&) {
      wait_for_phase(e_, empty(turn.stage), parity_of(e_.builder.CreateXor(turn.parity, 1)));
      llvm::Value* stage = byte_offset(e_, shared_, e_.mul(turn.stage, stage_bytes_));
      step = e_.add(first_step_, step);
      e_.if_then(is_first, [&] { copy_weights(step, stage, full(turn.stage)); });
      copy_pixels(step, byte_offset(e_, stage, copy_place_));
      arrive_after_copies(e_, full(turn.stage));
    });
    wait_for_all_copies(e_);
  }

  void copy_weights(llvm::Value* step, llvm::Value* stage, llvm::Value* barrier) {
    const int64_t bytes = conv_.tile_n * kWgmmaRowBytes;
    llvm::Value* row = e_.add(e_.mul(step, wgmma_weight_rows(conv_)), first_channel_);
    arrive_expecting(e_, barrier, bytes);
    copy_bulk(e_, byte_offset(e_, stage, conv_.tile_m * kWgmmaRowBytes),
              byte_offset(e_, kernel_.weights[0], e_.mul(row, kWgmmaRowBytes)), bytes, barrier);
  }

  void copy_pixels(llvm::Value* step, llvm::Value* place) {
    llvm::Value* vector = e_.add(e_.mul(step, kVectors), copied_vector_);
    const int64_t tap_vectors = mma_tap_channels(s_) / kGpuVector;
    const bool one_tap = s_.kh * s_.kw == 1;
    llvm::Value* tap = one_tap ? e_.integer(0) : e_.div(vector, tap_vectors);
    llvm::Value* channel = e_.mul(one_tap ? vector : e_.rem(vector, tap_vectors), kGpuVector);
    llvm::Value *ky = e_.mul(e_.div(tap, s_.kw), s_.dilation_h),
                *kx = e_.mul(e_.rem(tap, s_.kw), s_.dilation_w);
    llvm::Value* tap_offset = e_.add(e_.mul(ky, x_.stride_h), e_.mul(kx, x_.stride_w));
    tap_offset = e_.add(tap_offset, channel);
    llvm::Value* in_reduction =
        mma_reduction(s_) % kWgmmaStep == 0 ? nullptr : e_.less(vector, mma_reduction(s_) / kGpuVector);
    for (size_t i = 0; i < pixel_rows_.size(); ++i) {
      const PixelRow& row = pixel_rows_[i];
      llvm::Value* from = element(e_, x_, kernel_.inputs[0], e_.add(row.offset, tap_offset));
      llvm::Value* to = byte_offset(e_, place, static_cast<int64_t>(i) * kRowsOfPass * kWgmmaRowBytes);
      copy_async(e_, to, from, exists(row, ky, kx, in_reduction));
    }
  }

  // Null: always.
  llvm::Value* exists(const PixelRow& row, llvm::Value* ky, llvm::Value* kx, llvm::Value* in_reduction) {
    llvm::Value* result = in_reduction;
    const auto require = [&](llvm::Value* condition) {
      result = result ? e_.builder.CreateAnd(result, condition) : condition;
    };
    if (!always_inside() || beyond_the_last_pixel())
      require(e_.builder.CreateICmpULT(e_.add(row.top, ky), e_.integer(s_.ih)));
    if (!always_inside()) require(e_.builder.CreateICmpULT(e_.add(row.left, kx), e_.integer(s_.iw)));
    return result;
  }

  // ---- the warpgroups that multiply

  int64_t columns() const { return conv_.tile_n / conv_.warps_n; }
  int64_t rows() const { return conv_.tile_m / (conv_.warps_m / 4); }
  int64_t products() const { return rows() / kProductRows; }

  // Registers are launched with in equal shares, whole multiples of 8, of the 64 Ki of a multiprocessor.
  int64_t launched_registers() const {
    constexpr int64_t kRegisters = int64_t{64} << 10;
    return kRegisters / wgmma_resident(conv_) / kernel_.step.launch.threads / 8 * 8;
  }
  static constexpr int kProducerRegisters = 40;
  int producer_registers() const { return kProducerRegisters; }
  int consumer_registers() const {
    const int64_t spared = (launched_registers() - kProducerRegisters) * kWarpgroupThreads / consumers_;
    return static_cast<int>((launched_registers() + spared) / 8 * 8);
  }

  void consume() {
    set_registers(e_, RegisterChange::take, consumer_registers());
    consumer_ = e_.sub(thread_, kWarpgroupThreads);
    lane_ = e_.rem(consumer_, 32);
    llvm::Value* group = e_.div(consumer_, kWarpgroupThreads);
    group_row_ = e_.mul(e_.rem(group, conv_.warps_m / 4), rows());
    group_column_ = e_.mul(e_.div(group, conv_.warps_m / 4), columns());
    Values sums = reduce();
    finish_products(e_, sums);
    keep_sums(sums);
    finish();
  }

  // Matrices of stage 0.
  llvm::Value* matrix(Index row) {
    return swizzled_matrix(e_, byte_offset(e_, shared_, e_.mul(row, kWgmmaRowBytes)));
  }

  Values reduce() {
    constexpr int64_t kUnit = 16;  // bytes, of addresses of matrices
    llvm::Value *x = matrix(group_row_), *weights = matrix(e_.add(group_column_, conv_.tile_m));
    Values sums(static_cast<size_t>(products() * columns() / 2), llvm::ConstantFP::get(e_.f32, 0));
    return for_steps(sums, [&](llvm::Value* step, const Turn& turn, Values& now) {
      wait_for_phase(e_, full(turn.stage), parity_of(turn.parity));
      // cp.async wrote x through the generic proxy.
      fence_async_proxy(e_);
      begin_products(e_, now);
      llvm::Value* stage = e_.builder.CreateZExt(e_.mul(turn.stage, stage_bytes_ / kUnit), e_.i64);
      multiply_step(e_.builder.CreateAdd(x, stage), e_.builder.CreateAdd(weights, stage), now);
      commit_products(e_);
      wait_for_products(e_, 1);
      release_before(step, turn);
    });
  }

  void multiply_step(llvm::Value* x, llvm::Value* weights, Values& sums) {
    constexpr uint64_t kNextDepth = kProductDepth * 2 / 16, kNextRows = kProductRows * kWgmmaRowBytes / 16;
    const auto moved = [&](llvm::Value* matrix, uint64_t by) {
      return by == 0 ? matrix : e_.builder.CreateAdd(matrix, e_.builder.getInt64(by));
    };
    const auto count = static_cast<size_t>(columns() / 2);
    for (uint64_t k = 0; k < kWgmmaStep / kProductDepth; ++k)
      for (uint64_t i = 0; i < static_cast<uint64_t>(products()); ++i)
        multiply_matrices(e_, conv_.dtype, moved(x, i * kNextRows + k * kNextDepth),
                          moved(weights, k * kNextDepth),
                          llvm::MutableArrayRef<llvm::Value*>(sums).slice(i * count, count));
  }

  // The stage of the step before: its products are complete.
  void release_before(llvm::Value* step, const Turn& turn) {
    llvm::IRBuilder<>& b = e_.builder;
    llvm::Value* is_first_stage = b.CreateICmpEQ(turn.stage, e_.integer(0));
    llvm::Value* before = b.CreateSelect(is_first_stage, e_.integer(conv_.stages - 1), e_.sub(turn.stage, 1));
    llvm::Value* releases =
        b.CreateAnd(b.CreateICmpEQ(lane_, e_.integer(0)), b.CreateICmpSGT(step, e_.integer(0)));
    e_.if_then(releases, [&] { arrive(e_, empty(before)); });
  }

  // ---- results

  int64_t sums_row_bytes() const { return (conv_.tile_n + kMmaSumsPad) * int64_t{sizeof(float)}; }

  // Over the stages, which all of these warps must be done with.
  void keep_sums(llvm::ArrayRef<llvm::Value*> sums) {
    synchronise_consumers();
    llvm::IRBuilder<>& b = e_.builder;
    llvm::Value* warp = e_.rem(e_.div(consumer_, 32), 4);
    llvm::Value* row = e_.add(e_.add(group_row_, e_.mul(warp, 16)), e_.div(lane_, 4));
    llvm::Value* column = e_.add(group_column_, e_.mul(e_.rem(lane_, 4), 2));
    llvm::Value* place = byte_offset(e_, shared_, e_.add(e_.mul(row, sums_row_bytes()), e_.mul(column, 4)));
    auto* pair = llvm::FixedVectorType::get(e_.f32, 2);
    size_t next = 0;
    for (int64_t i = 0; i < products(); ++i)
      for (int64_t j = 0; j < columns() / 8; ++j)
        for (int64_t half = 0; half < 2; ++half) {
          llvm::Value* value = b.CreateInsertElement(llvm::PoisonValue::get(pair), sums[next++], uint64_t{0});
          value = b.CreateInsertElement(value, sums[next++], uint64_t{1});
          llvm::Value* to = byte_offset(e_, place, (i * kProductRows + half * 8) * sums_row_bytes() + j * 32);
          b.CreateAlignedStore(value, to, llvm::Align(8));
        }
    synchronise_consumers();
  }

  void synchronise_consumers() { synchronise_some(e_, 1, consumers_); }

  void finish() {
    const int64_t vectors = conv_.tile_n / kGpuVector;
    e_.for_range(consumer_, conv_.tile_m * vectors, consumers_, [&](llvm::Value* i) {
      llvm::Value *row = e_.div(i, vectors), *vector = e_.rem(i, vectors);
      llvm::Value* pixel = e_.add(first_pixel_, row);
      llvm::Value* channel_vector = e_.add(e_.div(first_channel_, kGpuVector), vector);
      llvm::Value* wanted = e_.less(channel_vector, channel_vectors(kernel_.step.output));
      if (beyond_the_last_pixel()) wanted = e_.builder.CreateAnd(wanted, e_.less(pixel, pixels_));
      e_.if_then(wanted, [&] {
        llvm::Value* from =
            byte_offset(e_, shared_, e_.add(e_.mul(row, sums_row_bytes()), e_.mul(vector, 32)));
        store(pixel, channel_vector, from);
      });
    });
  }

  void store(llvm::Value* pixel, llvm::Value* vector, llvm::Value* sums) {
    llvm::Value* value = e_.builder.CreateAlignedLoad(zero_vector(e_)->getType(), sums, llvm::Align(32));
    if (conv_.has_bias) value = e_.fadd(value, load_constants(e_, kernel_.weights[1], vector));
    llvm::Value* row = e_.div(pixel, s_.ow);
    VectorIndex at{e_.div(row, s_.oh), e_.rem(row, s_.oh), e_.rem(pixel, s_.ow), vector};
    if (conv_.split_k > 1) at.n = e_.add(at.n, e_.mul(part_, s_.n));
    value = finish_vector(e_, kernel_, conv_.epilogue, 1, at, value);
    store_vector(e_, kernel_.step.output, kernel_.out, at, value);
  }

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const ConvShape& s_;
  const View& x_;
  const int64_t consumers_, stage_bytes_, pixels_, steps_, steps_of_part_;  // consumers in threads
  llvm::Value *first_pixel_, *first_channel_, *part_, *first_step_, *part_steps_, *thread_, *shared_;
  llvm::Value *copied_vector_, *copy_place_;
  std::vector<PixelRow> pixel_rows_;
  llvm::Value *consumer_, *lane_, *group_row_, *group_column_;  // the thread among those that multiply
};

}  // namespace

void emit_gpu_conv_wgmma(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  WgmmaConv(e, kernel, conv).emit();
}

}  // namespace cardinal
