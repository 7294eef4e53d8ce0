// The tensor core's instructions with f32 sums, and asynchronous copies into shared memory.
#pragma once

#include "codegen/nvptx/thread.h"

namespace cardinal {

// In a step a tensor core multiplies a 16xK tile of A and a Kx8 tile of B, whose rows, or columns, are two
// vectors of 16 bytes: K is 16 for values of 16 bits and 8 for f32, of which it takes 11 bits (tf32). Of A's
// tile a lane has 4 registers, of B's 2, and of the sums 4 floats: row lane / 4 (and 8 rows further), columns
// lane % 4 * 2 and the next.
inline constexpr int kSumsOfTile = 4;

// Four 8x8 matrices of 16-bit values from shared memory; lane l gives the address of row l % 8 of matrix l
// / 8. Register i holds values 2 * (lane % 4) and the next of row lane / 4 of matrix i.
Values load_matrices(Emitter&, llvm::Value* address);
// The same as operands of multiply_tile: f32 values, each in the place of two of 16 bits, are rounded to
// tf32.
Values load_operands(Emitter&, DType, llvm::Value* address);

// sums += A * B for one step. a: 4 registers, b: 2, sums: 4 floats.
void multiply_tile(Emitter&, DType, llvm::ArrayRef<llvm::Value*> a, llvm::ArrayRef<llvm::Value*> b,
                   llvm::MutableArrayRef<llvm::Value*> sums);

// Copies 16 bytes from global to shared memory while the thread goes on; zeros if `exists` is false.
void copy_async(Emitter&, llvm::Value* to, llvm::Value* from, llvm::Value* exists = nullptr);
void commit_copies(Emitter&);                // those since the last commit are one group
void wait_for_copies(Emitter&, int groups);  // until at most so many groups of this thread are under way

}  // namespace cardinal
