// A thin structured layer over IRBuilder: what every kernel emitter is written in.
//
// A "block" is the 16 channels of one pixel: always a <16 x float> value. On targets with narrower vectors
// LLVM splits every block operation, into two of 256 bits or four of 128. Loop-carried values are SSA values
// handed through for_range: nothing here makes an alloca, since no optimisation passes run on the result.
#pragma once

#include <llvm/ADT/STLFunctionalExtras.h>
#include <llvm/ADT/SmallVector.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include "passes/plan.h"
#include "passes/target.h"

namespace cardinal {

using Values = llvm::SmallVector<llvm::Value*, 32>;

// A loop bound or an index: a constant or a value of the emitter's index type.
class Index {
 public:
  Index(int64_t constant) : constant_(constant) {}  // NOLINT: implicit by design
  Index(int constant) : constant_(constant) {}      // NOLINT
  Index(llvm::Value* value) : value_(value) {}      // NOLINT
  bool is_constant() const { return !value_; }
  int64_t constant() const { return constant_; }
  llvm::Value* value() const { return value_; }

 private:
  int64_t constant_ = 0;
  llvm::Value* value_ = nullptr;
};

// Whether a loop with run-time bounds may run zero times.
enum class Trips : uint8_t { any, at_least_one };

class Emitter {
 public:
  // Indices are 64 bits wide, or 32 in GPU kernels whose tensors allow it.
  Emitter(llvm::Module& module, const Target& target, unsigned index_bits = 64);

  llvm::Module& module;
  const Target& target;
  llvm::IRBuilder<> builder;
  llvm::Type* const f32;
  llvm::IntegerType* const i64;
  llvm::IntegerType* const index;
  llvm::PointerType* const ptr;
  llvm::FixedVectorType* const block;  // <16 x float>

  // ---- functions
  // `result name(parameters...)`, void if no result, internal, with the target's CPU and features; the
  // builder is left in its entry block.
  llvm::Function* begin_function(llvm::StringRef name, llvm::ArrayRef<llvm::Type*> parameters,
                                 llvm::Type* result = nullptr);
  // Emits `ret void`.
  void end_function();
  // Emits `body` as a function of its own that is never inlined, with the builder back where it was
  // afterwards.
  llvm::Function* outlined(llvm::StringRef name, llvm::ArrayRef<llvm::Type*> parameters,
                           llvm::function_ref<void(llvm::Function*)> body);

  // ---- integers (of type `index`, no overflow)
  llvm::Value* integer(int64_t value);
  llvm::Value* value_of(Index index);
  llvm::Value* add(Index a, Index b);
  llvm::Value* sub(Index a, Index b);
  llvm::Value* mul(Index a, Index b);
  llvm::Value* div(llvm::Value* a, int64_t b);  // a >= 0, b > 0
  llvm::Value* rem(llvm::Value* a, int64_t b);
  llvm::Value* min(Index a, Index b);  // signed
  llvm::Value* max(Index a, Index b);
  llvm::Value* less(Index a, Index b);
  // values[i], from a table in read-only data unless they are an arithmetic progression.
  llvm::Value* table_entry(llvm::ArrayRef<int64_t> values, llvm::Value* i, llvm::StringRef name);

  // ---- control flow
  // for (i = begin; i < end; i += step) body(i), rolled. A constant single trip is emitted straight, none not
  // at all.
  void for_range(Index begin, Index end, int64_t step, llvm::function_ref<void(llvm::Value* i)> body,
                 Trips trips = Trips::any);
  // The same with loop-carried values: the body maps those of one trip to those of the next; the last are
  // returned.
  Values for_range(Index begin, Index end, int64_t step, Values carried,
                   llvm::function_ref<Values(llvm::Value* i, Values carried)> body, Trips trips = Trips::any);
  void if_then(llvm::Value* condition, llvm::function_ref<void()> body);
  void if_else(llvm::Value* condition, llvm::function_ref<void()> then, llvm::function_ref<void()> otherwise);

  // ---- memory: addresses are in floats
  llvm::Value* element(llvm::Value* base, Index index);
  llvm::Value* load_scalar(llvm::Value* address);
  void store_scalar(llvm::Value* value, llvm::Value* address);
  llvm::Value* broadcast(llvm::Value* address, int width = 16);  // the float at `address` in all lanes
  // `lanes` < 16: the other lanes are not touched (loaded as 0). `alignment` in bytes.
  // Vectors may be narrower than a block: `width` is the result's, a store takes the value's.
  llvm::Value* load_block(llvm::Value* address, int64_t alignment, int lanes = 16, int width = 16);
  // A block that is loaded where it is emitted, among such loads and all others: LLVM would load weights that
  // are needed later so early that it spills accumulators.
  llvm::Value* load_block_here(llvm::Value* address, int width = 16);
  void store_block(llvm::Value* value, llvm::Value* address, int64_t alignment, int lanes = 16);
  // A block of a view at `address`, whatever the view's channel stride; 0 loads one float into all lanes.
  llvm::Value* load_block(const View& view, llvm::Value* address, int lanes = 16, int width = 16);
  void store_block(const View& view, llvm::Value* value, llvm::Value* address, int lanes = 16);
  void prefetch(llvm::Value* address, bool write = false);  // a cache line, into L1

  // ---- arithmetic on floats or vectors of floats of any width
  llvm::Value* splat(double value);                                  // a block
  llvm::Value* constant_like(llvm::Value* like, double value);       // of the type of `like`
  llvm::Value* splat(llvm::Value* scalar, int width = 16);           // a block
  llvm::Value* fma(llvm::Value* a, llvm::Value* b, llvm::Value* c);  // a * b + c, one rounding
  llvm::Value* fadd(llvm::Value* a, llvm::Value* b) { return builder.CreateFAdd(a, b); }
  llvm::Value* fsub(llvm::Value* a, llvm::Value* b) { return builder.CreateFSub(a, b); }
  llvm::Value* fmul(llvm::Value* a, llvm::Value* b) { return builder.CreateFMul(a, b); }
  llvm::Value* fdiv(llvm::Value* a, llvm::Value* b) { return builder.CreateFDiv(a, b); }
  // a > b ? a : b and a < b ? a : b, one instruction each on x86-64; `b` if either is a NaN.
  llvm::Value* fmax(llvm::Value* a, llvm::Value* b);
  llvm::Value* fmin(llvm::Value* a, llvm::Value* b);
};

// Address of element (n, 16 * block, h, w) of a view, from the pointer to its element 0.
struct BlockIndex {
  Index n = 0, block = 0, h = 0, w = 0;
};
llvm::Value* block_address(Emitter&, const View&, llvm::Value* base, const BlockIndex&);

// Bytes that every block of the view is aligned to: 64 in the workspace where its strides allow, else 4.
int64_t block_alignment(const View&);
// Lanes of the view's last block that may be touched: 16 if it is padded or broadcast along channels.
int last_block_lanes(const View&);

}  // namespace cardinal
