// The tensor core's instructions on 16-bit values with f32 sums, and asynchronous copies into shared memory.
#pragma once

#include "codegen/nvptx/thread.h"

namespace cardinal {

// A fragment of a 16x16 tile of A has 4 registers of two values each in every lane, one of a 16x8 tile of B
// 2, and of sums 4 floats: row lane / 4 (and 8 rows further), columns lane % 4 * 2 and the next.
inline constexpr int kSumsOfTile = 4;

// Four 8x8 matrices of 16-bit values from shared memory; lane l gives the address of row l % 8 of matrix l
// / 8. Register i holds values 2 * (lane % 4) and the next of row lane / 4 of matrix i.
Values load_matrices(Emitter&, llvm::Value* address);

// sums += A * B for one 16x8x16 tile. a: 4 registers, b: 2, sums: 4 floats.
void multiply_tile(Emitter&, DType, llvm::ArrayRef<llvm::Value*> a, llvm::ArrayRef<llvm::Value*> b,
                   llvm::MutableArrayRef<llvm::Value*> sums);

// Copies 16 bytes from global to shared memory while the thread goes on; zeros if `exists` is false.
void copy_async(Emitter&, llvm::Value* to, llvm::Value* from, llvm::Value* exists = nullptr);
void commit_copies(Emitter&);                // those since the last commit are one group
void wait_for_copies(Emitter&, int groups);  // until at most so many groups of this thread are under way

}  // namespace cardinal
