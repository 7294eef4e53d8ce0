#include "codegen/epilogue.h"

#include <llvm/IR/Intrinsics.h>

#include <cmath>
#include <initializer_list>
#include <numbers>

// The polynomials are least-maximum fits (Lawson's iteration on 4000 Chebyshev nodes, in double, rounded to
// float), weighted so that the error of the whole function is level over the interval.

namespace cardinal {
namespace {

// c0 + x * (c1 + x * (c2 + ...))
llvm::Value* polynomial(Emitter& e, llvm::Value* x, std::initializer_list<double> coefficients) {
  auto c = std::rbegin(coefficients);
  llvm::Value* sum = e.constant_like(x, *c++);
  for (; c != std::rend(coefficients); ++c) sum = e.fma(sum, x, e.constant_like(x, *c));
  return sum;
}

llvm::Value* magnitude(Emitter& e, llvm::Value* x) {
  return e.builder.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x);
}

llvm::Value* with_sign_of(Emitter& e, llvm::Value* value, llvm::Value* sign) {
  return e.builder.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, value, sign);
}

// The order of operands makes both hand a NaN in `x` on.
llvm::Value* at_least(Emitter& e, double bound, llvm::Value* x) {
  return e.fmax(e.constant_like(x, bound), x);
}
llvm::Value* at_most(Emitter& e, double bound, llvm::Value* x) {
  return e.fmin(e.constant_like(x, bound), x);
}

llvm::Value* sigmoid(Emitter& e, llvm::Value* x) {
  llvm::Value* one = e.constant_like(x, 1.0);
  return e.fdiv(one, e.fadd(one, emit_exp(e, e.builder.CreateFNeg(x))));
}

// min(max(alpha * x + beta, 0), 1)
llvm::Value* hardsigmoid(Emitter& e, llvm::Value* x, double alpha, double beta) {
  llvm::Value* line = e.fma(x, e.constant_like(x, alpha), e.constant_like(x, beta));
  return at_most(e, 1.0, at_least(e, 0.0, line));
}

llvm::Value* gelu(Emitter& e, llvm::Value* x) {
  llvm::Value* erf = emit_erf(e, e.fmul(x, e.constant_like(x, 1.0 / std::numbers::sqrt2)));
  llvm::Value* half = e.fmul(x, e.constant_like(x, 0.5));
  return e.fma(half, erf, half);
}

// 0.5 x (1 + tanh(u)) = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
llvm::Value* gelu_tanh(Emitter& e, llvm::Value* x) {
  const double scale = 2 * std::sqrt(2 / std::numbers::pi);
  llvm::Value* per_x = polynomial(e, e.fmul(x, x), {scale, scale * 0.044715});
  return e.fmul(x, sigmoid(e, e.fmul(x, per_x)));
}

// exp(x) = 2^n (1 + fraction).
struct Power {
  llvm::Value* exponent = nullptr;  // n, where a float has its exponent
  llvm::Value* fraction = nullptr;
};

// x = n ln 2 + r, |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 P(r).
Power power_of(Emitter& e, llvm::Value* x) {
  llvm::IRBuilder<>& b = e.builder;
  // Between these bounds 2^n is a normal float; exp(-87.3) is 1.2e-38, exp(88.3) is 2.2e38.
  x = at_most(e, kLargestExponent, at_least(e, kLeastExponent, x));
  // Adding 1.5 * 2^23 leaves n, rounded, in the low bits of the significand.
  llvm::Value* shift = e.constant_like(x, 12582912.0);
  llvm::Value* shifted = e.fma(x, e.constant_like(x, std::numbers::log2e), shift);
  llvm::Value* n = e.fsub(shifted, shift);
  // ln 2 in two parts, the first short enough for n * part to be exact.
  llvm::Value* r = e.fma(n, e.constant_like(x, -0.693145751953125), x);
  r = e.fma(n, e.constant_like(x, 0.693145751953125 - std::numbers::ln2), r);
  llvm::Value* p = polynomial(e, r, {0.49999994, 0.16666521, 0.04166839, 0.008368745, 0.0013814539});
  llvm::Value* fraction = e.fma(e.fmul(r, r), p, r);
  llvm::Type* bits = x->getType()->getWithNewType(b.getInt32Ty());
  return {b.CreateShl(b.CreateBitCast(shifted, bits), llvm::ConstantInt::get(bits, 23)), fraction};
}

// value * 2^n.
llvm::Value* scaled(Emitter& e, const Power& power, llvm::Value* value) {
  llvm::IRBuilder<>& b = e.builder;
  llvm::Value* bits = b.CreateBitCast(value, power.exponent->getType());
  return b.CreateBitCast(b.CreateAdd(bits, power.exponent), value->getType());
}

// 2^n - 1 is exact where it matters, and 0 where x is near 0.
llvm::Value* emit_expm1(Emitter& e, llvm::Value* x) {
  const Power power = power_of(e, x);
  llvm::Value* one = e.constant_like(x, 1.0);
  llvm::Value* scale = scaled(e, power, one);
  return e.fma(scale, power.fraction, e.fsub(scale, one));
}

// alpha * (exp(x) - 1) below 0, x above, times scale.
llvm::Value* elu(Emitter& e, llvm::Value* x, double alpha, double scale) {
  llvm::Value* zero = e.constant_like(x, 0.0);
  llvm::Value* negative = e.fmul(emit_expm1(e, x), e.constant_like(x, alpha * scale));
  llvm::Value* positive = scale == 1 ? x : e.fmul(x, e.constant_like(x, scale));
  return e.builder.CreateSelect(e.builder.CreateFCmpOLT(x, zero), negative, positive);
}

// alpha * (exp(x / alpha) - 1) below 0, x above.
llvm::Value* celu(Emitter& e, llvm::Value* x, double alpha) {
  llvm::Value* zero = e.constant_like(x, 0.0);
  llvm::Value* negative =
      e.fmul(emit_expm1(e, e.fdiv(x, e.constant_like(x, alpha))), e.constant_like(x, alpha));
  return e.builder.CreateSelect(e.builder.CreateFCmpOLT(x, zero), negative, x);
}

// log(1 + u) of u from 0 to 1: 2 artanh(s), s = u / (2 + u), whose series to s^15 leaves 1e-9 at s = 1 / 3.
llvm::Value* log1p(Emitter& e, llvm::Value* u) {
  llvm::Value* s = e.fdiv(u, e.fadd(u, e.constant_like(u, 2.0)));
  llvm::Value *twice = e.fadd(s, s), *square = e.fmul(s, s);
  llvm::Value* p = polynomial(e, square, {1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15});
  return e.fma(e.fmul(twice, square), p, twice);
}

llvm::Value* softplus(Emitter& e, llvm::Value* x) {
  llvm::Value* power = emit_exp(e, e.builder.CreateFNeg(magnitude(e, x)));
  return e.fadd(at_least(e, 0.0, x), log1p(e, power));
}

llvm::Value* softsign(Emitter& e, llvm::Value* x) {
  return e.fdiv(x, e.fadd(magnitude(e, x), e.constant_like(x, 1.0)));
}

// tanh(log(1 + p)) = w / (w + 2), p = exp(x), w = p * (p + 2); 1 in float long before x = 20.
llvm::Value* mish(Emitter& e, llvm::Value* x) {
  llvm::Value *two = e.constant_like(x, 2.0), *power = emit_exp(e, at_most(e, 20.0, x));
  llvm::Value* w = e.fmul(power, e.fadd(power, two));
  return e.fmul(x, e.fdiv(w, e.fadd(w, two)));
}

}  // namespace

llvm::Value* emit_exp(Emitter& e, llvm::Value* x) {
  const Power power = power_of(e, x);
  return scaled(e, power, e.fadd(power.fraction, e.constant_like(x, 1.0)));
}

// x = 2^n m, m from sqrt(1/2) to sqrt(2); log(m) = 2 artanh(s), s = (m - 1) / (m + 1), whose series to s^9
// leaves 1e-9 at |s| <= 0.172.
llvm::Value* emit_log(Emitter& e, llvm::Value* x) {
  llvm::IRBuilder<>& b = e.builder;
  llvm::Type* type = x->getType()->getWithNewType(b.getInt32Ty());
  constexpr uint32_t kRootHalf = 0x3f3504f3;  // the bits of sqrt(1/2)
  llvm::Value* bits = b.CreateBitCast(x, type);
  llvm::Value* n = b.CreateAShr(b.CreateSub(bits, llvm::ConstantInt::get(type, kRootHalf)), 23);
  llvm::Value* m = b.CreateBitCast(b.CreateSub(bits, b.CreateShl(n, 23)), x->getType());
  llvm::Value* one = e.constant_like(x, 1.0);
  llvm::Value* s = e.fdiv(e.fsub(m, one), e.fadd(m, one));
  llvm::Value* twice = e.fadd(s, s);
  llvm::Value* square = e.fmul(s, s);
  llvm::Value* p = polynomial(e, square, {1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9});
  llvm::Value* log_m = e.fma(e.fmul(twice, square), p, twice);
  n = b.CreateSIToFP(n, x->getType());
  llvm::Value* low = e.fma(n, e.constant_like(x, std::numbers::ln2 - 0.693145751953125), log_m);
  return e.fma(n, e.constant_like(x, 0.693145751953125), low);
}

// Below 0.65 x + x^3 P(x^2), above 1 - 2 / (exp(2 |x|) + 1).
llvm::Value* emit_tanh(Emitter& e, llvm::Value* x) {
  llvm::Value *size = magnitude(e, x), *square = e.fmul(x, x), *one = e.constant_like(x, 1.0);
  llvm::Value* p = polynomial(e, square, {-0.33333263, 0.13330899, -0.053692967, 0.020483315, -0.005528633});
  llvm::Value* small = e.fma(e.fmul(x, square), p, x);
  llvm::Value* power = emit_exp(e, e.fadd(size, size));
  llvm::Value* large = e.fsub(one, e.fdiv(e.constant_like(x, 2.0), e.fadd(power, one)));
  llvm::Value* is_small = e.builder.CreateFCmpOLT(size, e.constant_like(x, 0.65));
  return e.builder.CreateSelect(is_small, small, with_sign_of(e, large, x));
}

// Below 1 x P(x^2), above 1 - exp(-Q(|x|)), Q fitted up to 4, where erf rounds to 1.
llvm::Value* emit_erf(Emitter& e, llvm::Value* x) {
  llvm::Value *size = magnitude(e, x), *square = e.fmul(x, x), *one = e.constant_like(x, 1.0);
  llvm::Value* small = e.fmul(x, polynomial(e, square,
                                            {1.1283791, -0.37612626, 0.112836, -0.026854444, 0.0051895357,
                                             -0.0008020842, 7.889123e-05}));
  llvm::Value* q =
      polynomial(e, at_most(e, 4.0, size),
                 {0.00035371876, 1.12704, 0.6382257, 0.10303737, -0.02180532, 0.002939608, -0.00018557407});
  llvm::Value* large = e.fsub(one, emit_exp(e, e.builder.CreateFNeg(q)));
  llvm::Value* is_small = e.builder.CreateFCmpOLT(size, one);
  return e.builder.CreateSelect(is_small, small, with_sign_of(e, large, x));
}

llvm::Value* emit_activation(Emitter& e, const Activation& activation, llvm::Value* x) {
  using Kind = Activation::Kind;
  switch (activation.kind) {
    case Kind::relu:
      return at_least(e, 0.0, x);
    case Kind::relu6:
      return at_most(e, 6.0, at_least(e, 0.0, x));
    case Kind::leaky_relu:
      return e.builder.CreateSelect(e.builder.CreateFCmpOGT(x, e.constant_like(x, 0.0)), x,
                                    e.fmul(x, e.constant_like(x, activation.alpha)));
    case Kind::clip:
      return at_most(e, activation.beta, at_least(e, activation.alpha, x));
    case Kind::sigmoid:
      return sigmoid(e, x);
    case Kind::tanh:
      return emit_tanh(e, x);
    case Kind::silu:
      return e.fmul(x, sigmoid(e, x));
    case Kind::hardswish:
      return e.fmul(x, hardsigmoid(e, x, 1.0 / 6, 0.5));
    case Kind::hardsigmoid:
      return hardsigmoid(e, x, activation.alpha, activation.beta);
    case Kind::gelu:
      return gelu(e, x);
    case Kind::gelu_tanh:
      return gelu_tanh(e, x);
    case Kind::elu:
      return elu(e, x, activation.alpha, 1);
    case Kind::selu:
      return elu(e, x, kSeluAlpha, kSeluScale);
    case Kind::celu:
      return celu(e, x, activation.alpha);
    case Kind::softplus:
      return softplus(e, x);
    case Kind::softsign:
      return softsign(e, x);
    case Kind::mish:
      return mish(e, x);
    case Kind::exp:
      return emit_exp(e, x);
    case Kind::sqrt:
      return e.builder.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, at_least(e, 0.0, x));
    case Kind::abs:
      return magnitude(e, x);
    case Kind::affine:
      return e.fma(x, e.constant_like(x, activation.alpha), e.constant_like(x, activation.beta));
  }
  llvm_unreachable("no such activation");
}

llvm::Value* emit_epilogue(Emitter& e, const Epilogue& epilogue, llvm::Value* value,
                           llvm::function_ref<llvm::Value*(int)> operand) {
  int next = 0;
  for (const EpilogueStep& step : epilogue) {
    switch (step.kind) {
      case EpilogueStep::Kind::activation:
        value = emit_activation(e, step.activation, value);
        break;
      case EpilogueStep::Kind::add:
        value = e.fadd(value, operand(next++));
        break;
      case EpilogueStep::Kind::mul:
        value = e.fmul(value, operand(next++));
        break;
    }
  }
  return value;
}

llvm::Value* store_result(Emitter& e, const Destination& to, llvm::Value* value, const BlockIndex& at,
                          int first_lane) {
  int width = static_cast<int>(llvm::cast<llvm::FixedVectorType>(value->getType())->getNumElements());
  auto address = [&](const View& view, llvm::Value* base) {
    return e.element(block_address(e, view, base, at), first_lane * view.stride_c);
  };
  auto lanes = [&](const View& view) {
    return (to.is_last_block ? last_block_lanes(view) : static_cast<int>(kChannelBlock)) - first_lane;
  };
  auto operand = [&](int index) {
    const View& view = to.step.inputs[static_cast<size_t>(index + 1)];
    return e.load_block(view, address(view, to.operands[static_cast<size_t>(index)]), lanes(view), width);
  };
  value = emit_epilogue(e, to.epilogue, value, operand);
  const View& view = to.step.output;
  e.store_block(view, value, address(view, to.out), lanes(view));
  return value;
}

}  // namespace cardinal
