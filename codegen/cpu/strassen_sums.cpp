// The sums of quarters that fast matrix multiplication needs (passes/strassen.h).
//
//   for each unit (block, image, chunk), for each pair of pixels of the chunk:
//     S1 = A21 + d A22;  S2 = S1 - A11;  S3 = A11 - A21;  S4 = d A12 - S2
#include "codegen/cpu/kernels.h"
#include "codegen/cpu/window.h"
#include "passes/strassen.h"

namespace cardinal {
namespace {

class PairSums {
 public:
  PairSums(Emitter& e, const Step& step, const KernelArguments& arguments)
      : e_(e), x_(step.inputs[0]), out_(step.output), arguments_(arguments), half_(x_.blocks() / 2) {}

  void chunk(const UnitIndex& at, int64_t second) const {
    llvm::Value* ratio =
        e_.load_block(e_.element(arguments_.weights[0], e_.mul(at.outer, kChannelBlock)), 64);
    const auto load = [&](int64_t row, int64_t half, llvm::Value* pixel) {
      const BlockIndex from{at.image, e_.add(at.outer, half * half_), row, pixel};
      return e_.load_block(x_, block_address(e_, x_, arguments_.inputs[0], from));
    };
    llvm::Value* begin = e_.mul(at.tile, size_);
    llvm::Value* end = e_.min(e_.add(begin, size_), x_.shape.w());
    const auto add = [&](llvm::Value* pixel, bool paired) {
      llvm::Value *a11 = load(0, 0, pixel), *a12 = load(0, 1, pixel);
      llvm::Value* s1 = e_.splat(0.0);
      llvm::Value* s3 = a11;
      if (paired) {
        llvm::Value* a21 = load(1, 0, pixel);
        s1 = e_.fma(load(1, 1, pixel), ratio, a21);
        s3 = e_.fsub(a11, a21);
      }
      llvm::Value* s2 = e_.fsub(s1, a11);
      llvm::Value* s4 = e_.fma(a12, ratio, e_.builder.CreateFNeg(s2));
      int64_t part = 0;
      for (llvm::Value* sum : {s1, s2, s3, s4}) {
        const BlockIndex to{at.image, e_.add(at.outer, half_ * part++), 0, pixel};
        e_.store_block(out_, sum, block_address(e_, out_, arguments_.out, to));
      }
    };
    e_.for_range(begin, e_.min(end, second), 1, [&](llvm::Value* pixel) { add(pixel, true); });
    if (second < x_.shape.w())
      e_.for_range(e_.max(begin, second), end, 1, [&](llvm::Value* pixel) { add(pixel, false); });
  }

 private:
  Emitter& e_;
  const View &x_, &out_;
  const KernelArguments& arguments_;
  const int64_t half_;  // blocks
  const int64_t size_ = strassen_chunk(x_.shape.w());
};

}  // namespace

void emit_strassen_sums(Emitter& e, const Step& step, const StrassenSumsKernel& kernel,
                        const KernelArguments& arguments) {
  const PairSums sums(e, step, arguments);
  const Shape& x = step.inputs[0].shape;
  for_units(e, step, arguments, {x.n(), 1, ceil_div(x.w(), strassen_chunk(x.w()))},
            [&](const UnitIndex& at) { sums.chunk(at, kernel.second); });
}

}  // namespace cardinal
