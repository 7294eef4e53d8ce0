#include "codegen/nvptx/mma_reduction.h"

#include "passes/gpu_conv_choice.h"

namespace cardinal {

MmaReduction::MmaReduction(Emitter& e, const GpuKernel& kernel, const GpuConvKernel& conv,
                           llvm::Value* first_pixel, llvm::Value* group)
    : e_(e),
      kernel_(kernel),
      conv_(conv),
      s_(conv.shape),
      tile_(e, conv.dtype, conv.tile_m, conv.tile_n, conv.warps_m, conv.warps_n, rows_of(conv)),
      copies_(e, rows_of(conv), thread_index(e), kernel.step.launch.threads),
      windows_(e, kernel, conv, copies_, first_pixel, group),
      group_(group),
      shared_(shared_memory(e)) {}

void MmaReduction::find_weights(llvm::Value* first_channel) {
  const int64_t vector_values = kVectorBytes / dtype_bytes(conv_.dtype);
  weight_rows_.clear();
  for (int64_t i = 0; i < conv_.tile_n; i += copies_.rows_of_pass) {
    // Rows beyond the last channel are never stored.
    llvm::Value* channel = e_.min(e_.add(first_channel, e_.add(copies_.row, i)), group_channels() - 1);
    channel = e_.add(channel, e_.mul(group_, group_channels()));
    llvm::Value* offset = e_.add(e_.mul(channel, mma_weight_row(s_)), e_.mul(copies_.vector, vector_values));
    weight_rows_.push_back(e_.builder.CreateGEP(element_type(e_, conv_.dtype), kernel_.weights[0], offset));
  }
}

// Copies a step's x and weights into the stage that begins at `stage`.
void MmaReduction::copy_step(llvm::Value* step, llvm::Value* stage) {
  llvm::Value* place = byte_offset(e_, byte_offset(e_, shared_, stage), copies_.place);
  windows_.copy(step, place);
  llvm::Value* weights = byte_offset(e_, place, conv_.tile_m * copies_.rows.bytes());
  for (size_t i = 0; i < weight_rows_.size(); ++i) {
    llvm::Value* from =
        e_.builder.CreateGEP(element_type(e_, conv_.dtype), weight_rows_[i], e_.mul(step, conv_.tile_k));
    copy_async(e_, copies_.pass(weights, i), from);
  }
}

llvm::Value* MmaReduction::next_stage(llvm::Value* stage) {
  llvm::Value* next = e_.add(stage, stage_bytes());
  llvm::Value* is_end = e_.builder.CreateICmpEQ(next, e_.integer(conv_.stages * stage_bytes()));
  return e_.builder.CreateSelect(is_end, e_.integer(0), next);
}

void MmaReduction::start(llvm::Value* first_channel, const ReductionSteps& steps) {
  find_weights(first_channel);
  for (int64_t step = 0; step + 1 < conv_.stages; ++step) {
    const auto copy = [&] { copy_step(e_.add(steps.first, step), e_.integer(step * stage_bytes())); };
    step < steps.fewest ? copy() : e_.if_then(e_.builder.CreateICmpSGT(steps.count, e_.integer(step)), copy);
    commit_copies(e_);
  }
}

Values MmaReduction::sums(llvm::Value* first_channel, const ReductionSteps& steps) {
  find_weights(first_channel);
  Values carried = tile_.zeros();
  carried.push_back(e_.integer(0));                                   // the stage that is read
  carried.push_back(e_.integer((conv_.stages - 1) * stage_bytes()));  // the one that is written
  carried = e_.for_range(
      0, steps.count, 1, carried,
      [&](llvm::Value* step, Values now) {
        llvm::Value *write = now.pop_back_val(), *read = now.pop_back_val();
        wait_for_copies(e_, conv_.stages - 2);
        synchronise(e_);
        llvm::Value* ahead = e_.add(step, conv_.stages - 1);
        e_.if_then(e_.less(ahead, steps.count), [&] { copy_step(e_.add(steps.first, ahead), write); });
        commit_copies(e_);
        llvm::Value* x = byte_offset(e_, shared_, read);
        tile_.multiply_step(x, byte_offset(e_, x, conv_.tile_m * copies_.rows.bytes()), now);
        now.push_back(next_stage(read));
        now.push_back(next_stage(write));
        return now;
      },
      Trips::at_least_one);
  carried.pop_back_n(2);
  wait_for_copies(e_, 0);
  synchronise(e_);
  return carried;
}

}  // namespace cardinal
