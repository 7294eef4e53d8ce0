// Attribute values. AttrValue is the neutral form that the language, the IR text and the op structs meet in;
// the typed members of an op struct convert from and to it, so no other code knows an attribute's C++ type.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/type.h"

namespace cardinal {

struct AttrValue {
  using List = std::vector<AttrValue>;
  // A string stands for an identifier or a quoted string.
  std::variant<int64_t, double, bool, std::string, List> value;
  bool operator==(const AttrValue&) const = default;
};
std::string to_string(const AttrValue&);  // 3, 0.1, true, same, "a name", [3, 3]
std::string quoted(
    std::string_view);  // "a \"name\"": with \" \\ and \n for a quote, a backslash and a newline

// Height and width: one int means both.
struct Pair {
  int64_t h = 1, w = 1;
  bool operator==(const Pair&) const = default;
};

// Zero padding. `same` splits dilation * (kernel - 1) evenly, the odd one at the end, whatever the stride
// (what PyTorch networks write as padding = kernel / 2). `same_upper` makes the output ceil(input / stride),
// the odd one at the end (TensorFlow and JAX "SAME", ONNX SAME_UPPER). Written as same, same_upper, p, [ph,
// pw] or [top, left, bottom, right].
struct Padding {
  enum class Mode : uint8_t { explicit_, same, same_upper } mode = Mode::explicit_;
  int64_t top = 0, left = 0, bottom = 0, right = 0;
  static Padding same() { return {Mode::same}; }
  bool operator==(const Padding&) const = default;
};

// Of an axis of `size`: begin, begin + step, ... up to, without, end. Below 0, and as an end at 0, they count
// from the size. Written [begin, end] or [begin, end, step].
struct AxisRange {
  int64_t begin = 0, end = 0, step = 1;
  bool operator==(const AxisRange&) const = default;
};
// With both ends counted from 0.
AxisRange resolve(const AxisRange&, int64_t size);
int64_t length(const AxisRange& resolved);

// Before and after an axis; one int means both.
struct Sides {
  int64_t before = 0, after = 0;
  bool operator==(const Sides&) const = default;
};

// Of a height and a width; one number means both.
struct Factors {
  double h = 0, w = 0;
  bool operator==(const Factors&) const = default;
};

struct Activation {
  enum class Kind : uint8_t {
    relu,
    relu6,
    leaky_relu,
    clip,
    sigmoid,
    tanh,
    silu,
    hardswish,
    hardsigmoid,
    gelu,
    gelu_tanh,
    elu,
    selu,
    celu,
    softplus,
    softsign,
    mish,
    exp,
    sqrt,
    abs,
    affine
  };
  Kind kind = Kind::relu;
  // What the function's attributes are, in their order: leaky_relu's slope; clip's bounds; elu's and celu's
  // alpha; the factor and the summand of hardsigmoid and affine.
  double alpha = 0;
  double beta = 0;
  bool operator==(const Activation&) const = default;
};
// Klambauer et al. 2017: what keeps mean 0 and variance 1.
inline constexpr double kSeluAlpha = 1.6732632423543772;
inline constexpr double kSeluScale = 1.0507009873554805;
// What exp takes its operand to be at least and at most, so that all results are finite and normal floats.
inline constexpr double kLeastExponent = -87.3;
inline constexpr double kLargestExponent = 88.3;
std::string_view to_string(Activation::Kind);
int activation_numbers(Activation::Kind);  // how many of alpha and beta it has
double evaluate(Activation, double x);

// What happens to a result in registers before it is stored, in order. add and mul take the node's next extra
// operand, which has the result's shape or, per channel, [N, C, 1, 1].
struct EpilogueStep {
  enum class Kind : uint8_t { activation, add, mul } kind = Kind::activation;
  Activation activation;
  bool operator==(const EpilogueStep&) const = default;
};
using Epilogue = std::vector<EpilogueStep>;  // written [add, relu]; with numbers [[leaky_relu, 0.1]] or
                                             // [[affine, 2.0, 1.0]]
int epilogue_operands(const Epilogue&);      // how many extra operands the steps take

// What a parameter is for: decides how random weights are drawn, what checks apply and what a framework calls
// it.
enum class Role : uint8_t { kernel, bias, scale, shift, mean, variance, slope };
inline constexpr size_t kRoles = 7;

// The order of a weight's elements in its file: that of its dimensions, or with the output channels last, of
// a kernel [OC, IC, KH, KW] as [KH, KW, IC, OC] (hwio), [OC, IC, KW] as [KW, IC, OC] (wio), of a linear
// layer's [OC, IC] as [IC, OC] (io).
enum class StoredOrder : uint8_t { as_written, hwio, io, wio };

// Which of an image's dimensions vary slowest to fastest when it becomes a vector.
enum class FlattenOrder : uint8_t { chw, hwc };

// What lies between the pixels of an image; bilinear_corners has the centres of the corner pixels stay where
// they are.
enum class ResizeMode : uint8_t { nearest, bilinear, bilinear_corners };

// Where a pixel of a block stands among the channels: within those of its channel (crd), or with all channels
// of that pixel (dcr). The names are ONNX's.
enum class DepthOrder : uint8_t { crd, dcr };

// Conversions. Each returns "" and sets `out`, or says what was expected ("expected an integer or [h, w], got
// true").
std::string from_attr(const AttrValue&, int64_t& out);
std::string from_attr(const AttrValue&, double& out);
std::string from_attr(const AttrValue&, bool& out);
std::string from_attr(const AttrValue&, std::string& out);
std::string from_attr(const AttrValue&, Pair& out);
std::string from_attr(const AttrValue&, Padding& out);
std::string from_attr(const AttrValue&, AxisRange& out);
std::string from_attr(const AttrValue&, Sides& out);
std::string from_attr(const AttrValue&, Factors& out);
std::string from_attr(const AttrValue&, ResizeMode& out);
std::string from_attr(const AttrValue&, DepthOrder& out);
std::string from_attr(const AttrValue&, Shape& out);
std::string from_attr(const AttrValue&, DType& out);
std::string from_attr(const AttrValue&, Layout& out);
std::string from_attr(const AttrValue&, Role& out);
std::string from_attr(const AttrValue&, StoredOrder& out);
std::string from_attr(const AttrValue&, FlattenOrder& out);
std::string from_attr(const AttrValue&, Epilogue& out);
AttrValue to_attr(int64_t);
AttrValue to_attr(double);
AttrValue to_attr(bool);
AttrValue to_attr(const std::string&);
AttrValue to_attr(const Pair&);
AttrValue to_attr(const Padding&);
AttrValue to_attr(const AxisRange&);
AttrValue to_attr(const Sides&);
AttrValue to_attr(const Factors&);
AttrValue to_attr(ResizeMode);
AttrValue to_attr(DepthOrder);
AttrValue to_attr(const Shape&);
AttrValue to_attr(DType);
AttrValue to_attr(Layout);
AttrValue to_attr(Role);
AttrValue to_attr(StoredOrder);
AttrValue to_attr(FlattenOrder);
AttrValue to_attr(const Epilogue&);

// The type's name in error messages and in the language reference.
template <class T>
constexpr std::string_view attr_type_name();
template <>
constexpr std::string_view attr_type_name<int64_t>() {
  return "int";
}
template <>
constexpr std::string_view attr_type_name<double>() {
  return "float";
}
template <>
constexpr std::string_view attr_type_name<bool>() {
  return "bool";
}
template <>
constexpr std::string_view attr_type_name<std::string>() {
  return "string";
}
template <>
constexpr std::string_view attr_type_name<Pair>() {
  return "int or [h, w]";
}
template <>
constexpr std::string_view attr_type_name<Padding>() {
  return "same, same_upper, int, [h, w] or [t, l, b, r]";
}
template <>
constexpr std::string_view attr_type_name<AxisRange>() {
  return "[begin, end] or [begin, end, step]";
}
template <>
constexpr std::string_view attr_type_name<Sides>() {
  return "int or [before, after]";
}
template <>
constexpr std::string_view attr_type_name<Factors>() {
  return "float or [h, w]";
}
template <>
constexpr std::string_view attr_type_name<ResizeMode>() {
  return "nearest, bilinear or bilinear_corners";
}
template <>
constexpr std::string_view attr_type_name<DepthOrder>() {
  return "crd or dcr";
}
template <>
constexpr std::string_view attr_type_name<Shape>() {
  return "list of int";
}
template <>
constexpr std::string_view attr_type_name<DType>() {
  return "dtype";
}
template <>
constexpr std::string_view attr_type_name<Layout>() {
  return "layout";
}
template <>
constexpr std::string_view attr_type_name<Role>() {
  return "role";
}
template <>
constexpr std::string_view attr_type_name<StoredOrder>() {
  return "stored order";
}
template <>
constexpr std::string_view attr_type_name<FlattenOrder>() {
  return "chw or hwc";
}
template <>
constexpr std::string_view attr_type_name<Epilogue>() {
  return "epilogue";
}

}  // namespace cardinal
