// What sm_90a adds to the tensor core's instructions: barriers in shared memory that copies report to, bulk
// copies, and products that a warpgroup of 128 threads issues and later waits for.
//
// Two proxies reach shared memory: threads' loads, stores and cp.async use the generic one, bulk copies and
// wgmma the asynchronous one. Between a write through one and an access through the other there must be
// fence_async_proxy; that a barrier says a bulk copy is complete also orders it (PTX ISA, "Async proxy").
#pragma once

#include "codegen/nvptx/thread.h"

namespace cardinal {

// ---- barriers: 8 bytes. A phase ends when `arrivals` have come, and all bytes that were announced.

void init_barrier(Emitter&, llvm::Value* barrier, int64_t arrivals);
void arrive(Emitter&, llvm::Value* barrier);
void arrive_expecting(Emitter&, llvm::Value* barrier, int64_t bytes);
// Once all copies by cp.async that this thread has begun are complete; the thread goes on.
void arrive_after_copies(Emitter&, llvm::Value* barrier);
// Until the phase of that parity, an i32, is over. The first phase has parity 0; before it lies one of 1.
void wait_for_phase(Emitter&, llvm::Value* barrier, llvm::Value* parity);

void fence_async_proxy(Emitter&);
// Bytes, a multiple of 16, from global to shared memory; `barrier` is told when they have come.
void copy_bulk(Emitter&, llvm::Value* to, llvm::Value* from, int64_t bytes, llvm::Value* barrier);
// Until no copy of this thread by cp.async is under way.
void wait_for_all_copies(Emitter&);

// ---- registers of this warp's threads: from the pool of the thread block's, or back to it

enum class RegisterChange : uint8_t { give, take };
void set_registers(Emitter&, RegisterChange, int count);

// `threads` threads of the block, whole warps, that meet at barrier `id` (0 is synchronise's).
void synchronise_some(Emitter&, int id, int64_t threads);

// ---- products

// The address of a matrix of rows of 128 bytes with the 128-byte swizzle, from 1024-byte aligned shared
// memory on. Adding n to it moves on by 16 * n bytes.
llvm::Value* swizzled_matrix(Emitter&, llvm::Value* address);

// What products add to is in the sums' registers from now on.
void begin_products(Emitter&, llvm::MutableArrayRef<llvm::Value*> sums);
void commit_products(Emitter&);                // those since the last commit are one group
void wait_for_products(Emitter&, int groups);  // until at most so many groups of this warp are under way
// Until none is; the sums may be read afterwards and no earlier.
void finish_products(Emitter&, llvm::MutableArrayRef<llvm::Value*> sums);

// sums += A * B^T with A 64x16 and B nx16, both in shared memory, n = 2 * the number of sums. Sum i of lane
// l in warp w of the warpgroup is of row 16 * w + l / 4 + i / 2 % 2 * 8, column i / 4 * 8 + l % 4 * 2 + i
// % 2.
void multiply_matrices(Emitter&, DType, llvm::Value* a, llvm::Value* b,
                       llvm::MutableArrayRef<llvm::Value*> sums);

}  // namespace cardinal
