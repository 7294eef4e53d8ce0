// The op table. One entry per op in OpAttrs; everything else about ops is derived from it and from the op
// structs' own declarations. Adding an op: a struct in ir/ops/ with its .cpp, an entry here, and a lowering
// in passes/ and codegen/; leaving one out does not compile.
#pragma once

#include <optional>
#include <variant>

#include "ir/ops/activations.h"
#include "ir/ops/boundary.h"
#include "ir/ops/channels.h"
#include "ir/ops/conv.h"
#include "ir/ops/elementwise.h"
#include "ir/ops/group_norm.h"
#include "ir/ops/linear.h"
#include "ir/ops/norm.h"
#include "ir/ops/pad.h"
#include "ir/ops/pool.h"
#include "ir/ops/resize.h"
#include "ir/ops/shape_ops.h"
#include "ir/ops/training.h"

namespace cardinal {

using OpAttrs =
    std::variant<Input, Weight, Output,                                               //
                 Fill, Conv, Linear, BatchNorm, ChannelAffine, FoldScale, FoldShift,  //
                 Relu, Relu6, LeakyRelu, Clip, Sigmoid, Tanh, Silu, Hardswish, Hardsigmoid, Gelu, Elu, Selu,
                 Celu, Softplus, Softsign, Mish, Exp, Sqrt, Abs, Affine, Prelu, Add, Mul, Div, Max, Min, Pad,
                 MaxPool, AvgPool, GlobalAvgPool, GlobalMaxPool, AdaptiveAvgPool, AdaptiveMaxPool,
                 ChannelAvgPool, ChannelMaxPool, Concat, Slice, ChannelShuffle, Shift, SpaceToDepth,
                 DepthToSpace, Resize, Flatten, Softmax, LogSoftmax, Dropout, StochasticDepth, LayerNorm,
                 GroupNorm, InstanceNorm, LocalResponseNorm, ChannelScale, ChannelConv>;

struct FieldInfo {
  std::string_view name;
  std::string_view type;  // attr_type_name
  bool is_required = false;
  bool internal = false;
  AttrValue default_value;
};

// What the front-end, the documentation and error messages need to know of an op.
struct OpInfo {
  std::string_view name;
  std::string_view summary;
  Arity tensors;
  bool internal_op = false;     // cannot be written in the language
  bool has_parameters = false;  // has a `parameters` rule
  int constants_from =
      -1;  // operands from here on, up to the epilogue's, must be constants; -1: none need be
  std::vector<FieldInfo> fields;
};

std::span<const OpInfo> op_table();  // in the order of OpAttrs' alternatives
const OpInfo& op_info(const OpAttrs&);
const OpInfo* find_op(std::string_view name);  // nullptr if there is none
OpAttrs make_op(const OpInfo&);                // with every attribute at its default

// Sets the field by name; "" or what was expected.
std::string set_field(OpAttrs&, std::string_view field, const AttrValue&);
struct FieldValue {
  std::string_view name;
  AttrValue value;
};
// Required fields and those that differ from their default, in declaration order.
std::vector<FieldValue> field_values(const OpAttrs&);

// Dispatch to the op structs, plus what is common to all (see ir/op_interface.h).
Inferred infer(const OpAttrs&, std::span<const TensorType> operands);
// The same from the tensors that the user writes, as if the parameters were there and fitted: says whether it
// makes sense to create them.
Inferred infer_written(const OpAttrs&, std::span<const TensorType> tensors);
std::vector<Parameter> parameters(const OpAttrs&, const TensorType& x);  // empty for an op without any
void evaluate(const OpAttrs&, std::span<const Tensor* const> operands, Tensor& out);
double flops(const OpAttrs&, std::span<const TensorType> operands, const TensorType& out);

std::optional<Activation> activation_of(const OpAttrs&);  // if the op is an activation
// If the op only moves channels, or parts of them: where each comes from.
std::optional<Gathering> gathering_of(const OpAttrs&, const TensorType& x);
const Epilogue* epilogue_of(const OpAttrs&);  // if the op can carry an epilogue
Epilogue* epilogue_of(OpAttrs&);

bool operator==(const OpAttrs&, const OpAttrs&);  // by field values
size_t hash_value(const OpAttrs&);

}  // namespace cardinal
