// A tile of a matrix product in the registers of a thread block, whose operands' rows are in shared memory.
#pragma once

#include "codegen/nvptx/tensor_core.h"

namespace cardinal {

inline constexpr int64_t kVectorBytes = 16;  // what one asynchronous copy moves

// Rows in shared memory: `vectors` (4 or 8) vectors of 16 bytes, in an order that changes from row to row, so
// that the tensor core's loads meet every bank once.
struct SharedRows {
  int64_t vectors = 4;
  int64_t bytes() const { return vectors * kVectorBytes; }
  // Bytes from row 0 to a vector of `row`. Multiples of 8 rows may be added to the result.
  llvm::Value* place(Emitter&, llvm::Value* row, llvm::Value* vector) const;
};

// The sums of a tile in shared memory, as f32, row by row.
class KeptSums {
 public:
  KeptSums(Emitter&, llvm::Value* address, int64_t rows, int64_t columns);
  // Those of a warp, by tiles of 16 x 8 in the tensor core's order: tiles_n beside each other, the next
  // `rows_apart` rows below. All threads must be done with what is there, and nobody may read before all have
  // kept theirs.
  struct Warp {
    llvm::Value *lane, *row, *column;  // of its first tile
    int64_t tiles_n, rows_apart;
  };
  void keep(llvm::ArrayRef<llvm::Value*> sums, const Warp&) const;
  // After that: body(row, vector, its address) for each vector of 8 sums, dealt out to the threads.
  using Vector = llvm::function_ref<void(llvm::Value* row, llvm::Value* vector, llvm::Value* address)>;
  void for_vector(llvm::Value* thread, int64_t threads, Vector body) const;

 private:
  int64_t row_bytes() const;

  Emitter& e_;
  llvm::Value* address_;
  const int64_t rows_, columns_;
};

// m x n sums, which warps_m x warps_n warps share.
class MmaTile {
 public:
  // Emits what all products need, so it must stand where it dominates them.
  MmaTile(Emitter&, DType, int64_t m, int64_t n, int warps_m, int warps_n, SharedRows);

  Values zeros() const;
  // sums += x * w over the values of one row: m rows of x from address `x` on, n rows of w from `w` on.
  void multiply_step(llvm::Value* x, llvm::Value* w, llvm::MutableArrayRef<llvm::Value*> sums);
  // The sums into shared memory, and from there to all threads, see KeptSums.
  void keep(llvm::ArrayRef<llvm::Value*> sums, llvm::Value* to) const;
  void for_kept_vector(llvm::Value* from, KeptSums::Vector body) const;

 private:
  int64_t warp_m() const { return m_ / warps_m_; }
  int64_t warp_n() const { return n_ / warps_n_; }
  int64_t tiles_m() const { return warp_m() / 16; }
  int64_t tiles_n() const { return warp_n() / 8; }
  size_t first_sum(int64_t i, int64_t j) const {
    return static_cast<size_t>((i * tiles_n() + j) * kSumsOfTile);
  }

  Emitter& e_;
  const DType dtype_;
  const int64_t m_, n_;
  const int warps_m_, warps_n_;
  const SharedRows rows_;
  llvm::Value *lane_, *warp_row_, *warp_column_;
  Values x_places_, w_places_;  // of fragments, by two vectors of a row
};

}  // namespace cardinal
