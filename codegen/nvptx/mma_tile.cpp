#include "codegen/nvptx/mma_tile.h"

#include "passes/gpu_conv_choice.h"

namespace cardinal {

llvm::Value* SharedRows::place(Emitter& e, llvm::Value* row, llvm::Value* vector) const {
  const int64_t shift = vectors == 8 ? 0 : 1;
  llvm::Value* key = e.builder.CreateAnd(e.builder.CreateLShr(row, shift), vectors - 1);
  return e.add(e.mul(row, bytes()), e.mul(e.builder.CreateXor(vector, key), kVectorBytes));
}

MmaTile::MmaTile(Emitter& e, DType dtype, int64_t m, int64_t n, int warps_m, int warps_n, SharedRows rows)
    : e_(e), dtype_(dtype), m_(m), n_(n), warps_m_(warps_m), warps_n_(warps_n), rows_(rows) {
  llvm::IRBuilder<>& b = e.builder;
  llvm::Value *thread = thread_index(e), *warp = e.div(thread, 32);
  lane_ = e.rem(thread, 32);
  warp_row_ = e.mul(e.rem(warp, warps_m), warp_m());
  warp_column_ = e.mul(e.div(warp, warps_m), warp_n());
  // Matrices of x: rows 0-7 and 8-15 of the first vector, then of the second. Those of w: both vectors of
  // rows 0-7, then of 8-15.
  llvm::Value* bit3 = b.CreateAnd(b.CreateLShr(lane_, 3), 1);
  llvm::Value* bit4 = b.CreateLShr(lane_, 4);
  llvm::Value* x_row = b.CreateAnd(lane_, 15);
  llvm::Value* w_row = e.add(b.CreateAnd(lane_, 7), e.mul(bit4, 8));
  for (int64_t k = 0; k < rows_.vectors; k += 2) {
    x_places_.push_back(e.add(e.mul(warp_row_, rows_.bytes()), rows_.place(e, x_row, e.add(bit4, k))));
    w_places_.push_back(e.add(e.mul(warp_column_, rows_.bytes()), rows_.place(e, w_row, e.add(bit3, k))));
  }
}

Values MmaTile::zeros() const {
  return Values(static_cast<size_t>(tiles_m() * tiles_n() * kSumsOfTile), llvm::ConstantFP::get(e_.f32, 0));
}

void MmaTile::multiply_step(llvm::Value* x, llvm::Value* w, llvm::MutableArrayRef<llvm::Value*> sums) {
  for (size_t k = 0; k < x_places_.size(); ++k) {
    const auto load = [&](llvm::Value* base, llvm::Value* place, int64_t row) {
      return load_operands(e_, dtype_, byte_offset(e_, byte_offset(e_, base, place), row * rows_.bytes()));
    };
    std::vector<Values> a, b;
    for (int64_t i = 0; i < tiles_m(); ++i) a.push_back(load(x, x_places_[k], i * 16));
    for (int64_t j = 0; j < tiles_n(); j += 2) b.push_back(load(w, w_places_[k], j * 8));
    for (int64_t i = 0; i < tiles_m(); ++i)
      for (int64_t j = 0; j < tiles_n(); ++j) {
        const auto weights = llvm::ArrayRef(b[static_cast<size_t>(j / 2)]).slice(j % 2 ? 2 : 0, 2);
        multiply_tile(e_, dtype_, a[static_cast<size_t>(i)], weights,
                      sums.slice(first_sum(i, j), kSumsOfTile));
      }
  }
}

void MmaTile::keep(llvm::ArrayRef<llvm::Value*> sums, llvm::Value* to) const {
  KeptSums(e_, to, m_, n_).keep(sums, {lane_, warp_row_, warp_column_, tiles_n(), 16});
}

void MmaTile::for_kept_vector(llvm::Value* from, KeptSums::Vector body) const {
  KeptSums(e_, from, m_, n_).for_vector(thread_index(e_), int64_t{32} * warps_m_ * warps_n_, body);
}

// ---- sums in shared memory

KeptSums::KeptSums(Emitter& e, llvm::Value* address, int64_t rows, int64_t columns)
    : e_(e), address_(address), rows_(rows), columns_(columns) {}

int64_t KeptSums::row_bytes() const { return (columns_ + kMmaSumsPad) * int64_t{sizeof(float)}; }

void KeptSums::keep(llvm::ArrayRef<llvm::Value*> sums, const Warp& warp) const {
  llvm::IRBuilder<>& b = e_.builder;
  llvm::Value* row = e_.add(warp.row, e_.div(warp.lane, 4));
  llvm::Value* column = e_.add(warp.column, e_.mul(e_.rem(warp.lane, 4), 2));
  llvm::Value* place = byte_offset(e_, address_, e_.add(e_.mul(row, row_bytes()), e_.mul(column, 4)));
  auto* pair = llvm::FixedVectorType::get(e_.f32, 2);
  const auto tiles = static_cast<int64_t>(sums.size()) / kSumsOfTile;
  for (int64_t tile = 0; tile < tiles; ++tile)
    for (int64_t half = 0; half < 2; ++half) {
      const int64_t i = tile / warp.tiles_n, j = tile % warp.tiles_n;
      const auto two = sums.slice(static_cast<size_t>(tile * kSumsOfTile + 2 * half), 2);
      llvm::Value* value = b.CreateInsertElement(llvm::PoisonValue::get(pair), two[0], uint64_t{0});
      value = b.CreateInsertElement(value, two[1], uint64_t{1});
      llvm::Value* to = byte_offset(e_, place, (i * warp.rows_apart + half * 8) * row_bytes() + j * 32);
      b.CreateAlignedStore(value, to, llvm::Align(8));
    }
}

void KeptSums::for_vector(llvm::Value* thread, int64_t threads, Vector body) const {
  const int64_t vectors = columns_ / kGpuVector;
  e_.for_range(thread, rows_ * vectors, threads, [&](llvm::Value* i) {
    llvm::Value *row = e_.div(i, vectors), *vector = e_.rem(i, vectors);
    llvm::Value* address =
        byte_offset(e_, address_, e_.add(e_.mul(row, row_bytes()), e_.mul(vector, kGpuVector * 4)));
    body(row, vector, address);
  });
}

}  // namespace cardinal
