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
#include "codegen/nvptx/conv_tile.h"
#include "codegen/nvptx/kernels.h"
#include "codegen/nvptx/warpgroup.h"
#include "passes/gpu_conv_wgmma.h"

namespace cardinal {

namespace {

constexpr SharedRows kRows{kWgmmaRowBytes / kVectorBytes};
constexpr int64_t kProductRows = 64, kProductDepth = 16;  // of one wgmma
constexpr int64_t kBarrierBytes = 8;

class WgmmaConv {
 public:
  WgmmaConv(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv)
      : e_(e),
        kernel_(kernel),
        conv_(conv),
        consumers_(kernel.step.launch.threads - kWarpgroupThreads),
        stage_bytes_(wgmma_stage_bytes(conv)),
        tile_(e, kernel, conv),
        thread_(thread_index(e)),
        shared_(shared_memory(e)) {}

  void emit() {
    prepare_barriers();
    e_.if_else(e_.less(thread_, kWarpgroupThreads), [&] { produce(); }, [&] { consume(); });
  }

 private:
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
        0, tile_.steps.count, 1, carried,
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

  // ---- the warpgroup that copies

  void produce() {
    set_registers(e_, RegisterChange::give, producer_registers());
    const RowCopies copies(e_, kRows, thread_, kWarpgroupThreads);
    const WindowCopies windows(e_, kernel_, conv_, copies, tile_.first_pixel, tile_.group);
    llvm::Value* is_first = e_.builder.CreateICmpEQ(thread_, e_.integer(0));
    for_steps({}, [&](llvm::Value* step, const Turn& turn, Values&) {
      wait_for_phase(e_, empty(turn.stage), parity_of(e_.builder.CreateXor(turn.parity, 1)));
      llvm::Value* stage = byte_offset(e_, shared_, e_.mul(turn.stage, stage_bytes_));
      step = e_.add(tile_.steps.first, step);
      e_.if_then(is_first, [&] { copy_weights(step, stage, full(turn.stage)); });
      windows.copy(step, byte_offset(e_, stage, copies.place));
      arrive_after_copies(e_, full(turn.stage));
    });
    wait_for_all_copies(e_);
  }

  void copy_weights(llvm::Value* step, llvm::Value* stage, llvm::Value* barrier) {
    const int64_t bytes = conv_.tile_n * kWgmmaRowBytes;
    llvm::Value* row = e_.add(e_.mul(step, wgmma_weight_rows(conv_)), tile_.first_channel);
    arrive_expecting(e_, barrier, bytes);
    copy_bulk(e_, byte_offset(e_, stage, conv_.tile_m * kWgmmaRowBytes),
              byte_offset(e_, kernel_.weights[0], e_.mul(row, kWgmmaRowBytes)), bytes, barrier);
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
    finish(sums);
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

  // Through shared memory, over the stages, which all of these warps must be done with.
  void finish(llvm::ArrayRef<llvm::Value*> sums) {
    const KeptSums kept(e_, shared_, conv_.tile_m, conv_.tile_n);
    llvm::Value* warp = e_.rem(e_.div(consumer_, 32), 4);
    synchronise_consumers();
    kept.keep(sums,
              {lane_, e_.add(group_row_, e_.mul(warp, 16)), group_column_, columns() / 8, kProductRows});
    synchronise_consumers();
    kept.for_vector(consumer_, consumers_, [&](llvm::Value* row, llvm::Value* vector, llvm::Value* at) {
      tile_.finish(row, vector, at);
    });
  }

  void synchronise_consumers() { synchronise_some(e_, 1, consumers_); }

  Emitter& e_;
  const GpuKernel& kernel_;
  const GpuConvKernel& conv_;
  const int64_t consumers_, stage_bytes_;  // consumers in threads
  const ConvTile tile_;
  llvm::Value *thread_, *shared_;
  llvm::Value *consumer_, *lane_, *group_row_, *group_column_;  // the thread among those that multiply
};

}  // namespace

void emit_gpu_conv_wgmma(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv) {
  WgmmaConv(e, kernel, conv).emit();
}

}  // namespace cardinal
