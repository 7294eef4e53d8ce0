// What an op struct declares. See ir/ops/conv.h for a full example and ir/op.h for the table made of them.
//
//   struct Foo {
//     static constexpr std::string_view name = "foo";     // spelling in the language, the IR and the docs
//     static constexpr std::string_view summary = "...";  // one line for the language reference
//     static constexpr Arity tensors{1, 1};               // tensor operands written by the user
//     static constexpr int constants_from = 1;            // only if operands from here on (up to the
//                                                         // epilogue's) must be known at compile time
//
//     int64_t channels = 0;                               // attributes; the initialiser is the default
//     int64_t stride = 1;
//     static constexpr auto fields =
//         std::tuple{required("channels", &Foo::channels), optional("stride", &Foo::stride)};
//
//     // The shape rule; also the verifier's.
//     Inferred infer(std::span<const TensorType> operands) const;
//     // Only if the op has weights; must be harmless whatever x and the attributes are.
//     std::vector<Parameter> parameters(const TensorType& x) const;
//     // Reference semantics.
//     void evaluate(std::span<const Tensor* const> operands, Tensor& out) const;
//     // 2 per multiply-add.
//     double flops(std::span<const TensorType> operands, const TensorType& out) const;
//   };
//
// An elementwise function declares `Activation activation() const` instead of the last three: it keeps its
// operand's type, unless it has an `infer` to refuse attributes with (ir/ops/activations.h).
//
// A node's operands are the user's tensors, then its parameters, then the operands of its epilogue. What all
// ops have in common is done once, in ir/op.cpp: it counts operands before it calls `infer`, afterwards
// checks the parameters against `parameters` and the operands of an `Epilogue epilogue` member, applies the
// epilogue after `evaluate`, and adds its flops.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <variant>
#include <vector>

#include "ir/attr.h"
#include "ir/tensor.h"

namespace cardinal {

struct Arity {
  int min = 1, max = 1;  // max < 0: no bound
};

template <class Op, class T>
struct Field {
  std::string_view name;
  T Op::* member;
  bool is_required = false;  // required fields may be given by position, in order
  bool internal = false;     // set by passes only: printed and parsed in the IR, unknown to the language
};
template <class Op, class T>
constexpr Field<Op, T> required(std::string_view name, T Op::* member) {
  return {name, member, true, false};
}
template <class Op, class T>
constexpr Field<Op, T> optional(std::string_view name, T Op::* member) {
  return {name, member, false, false};
}
template <class Op, class T>
constexpr Field<Op, T> internal(std::string_view name, T Op::* member) {
  return {name, member, false, true};
}

// Why a shape rule refuses its operands.
struct OpError {
  std::string message;  // "96 input channels are not divisible by groups=36"
  std::string field;    // the attribute to point at, or ""
  int operand = -1;     // the operand to point at, or -1
};
using Inferred = std::variant<TensorType, OpError>;

// A weight that an op brings along. A convention (ir/convention.h) makes its name from the node's and the
// role.
struct Parameter {
  Role role;
  Shape shape;
  bool named_as_layer = false;  // by the node's name alone
};

}  // namespace cardinal
