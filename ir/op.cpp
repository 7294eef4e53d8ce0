#include "ir/op.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <concepts>
#include <functional>
#include <utility>

namespace cardinal {

namespace {

template <class Op>
concept HasParameters = requires(const Op& op, const TensorType& x) { op.parameters(x); };
template <class Op>
concept HasEpilogue = requires(Op& op) {
  { op.epilogue } -> std::same_as<Epilogue&>;
};
template <class Op>
concept HasSemantics =
    requires(const Op& op, std::span<const Tensor* const> in, Tensor& out) { op.evaluate(in, out); };
template <class Op>
concept IsActivation = requires(const Op& op) {
  { op.activation() } -> std::same_as<Activation>;
};
template <class Op>
concept MovesChannels = requires(const Op& op, const Shape& x) {
  { op.gathering(x) } -> std::same_as<Gathering>;
};

template <class Op>
constexpr bool is_internal_op() {
  if constexpr (requires { Op::internal_op; }) return Op::internal_op;
  return false;
}

template <class Op>
constexpr int constants_from() {
  if constexpr (requires { Op::constants_from; }) return Op::constants_from;
  return -1;
}

// Calls visit(field) for each of the op's fields in order.
template <class Op, class Visit>
void for_each_field(Visit&& visit) {
  std::apply([&](const auto&... field) { (visit(field), ...); }, Op::fields);
}

template <class Op>
OpInfo describe() {
  OpInfo info{Op::name,          Op::summary,          Op::tensors, is_internal_op<Op>(),
              HasParameters<Op>, constants_from<Op>(), {}};
  Op defaults;
  for_each_field<Op>([&]<class T>(const Field<Op, T>& field) {
    info.fields.push_back({field.name, attr_type_name<T>(), field.is_required, field.internal,
                           to_attr(defaults.*field.member)});
  });
  return info;
}

// One value per alternative of OpAttrs, made by make.operator()<Op>().
template <class Make>
auto for_each_op(Make&& make) {
  return [&]<size_t... I>(std::index_sequence<I...>) {
    return std::array{make.template operator()<std::variant_alternative_t<I, OpAttrs>>()...};
  }(std::make_index_sequence<std::variant_size_v<OpAttrs>>());
}

template <class Op>
int parameter_count(const Op& op, std::span<const TensorType> operands) {
  if constexpr (HasParameters<Op>)
    return operands.empty() ? 0 : static_cast<int>(op.parameters(operands[0]).size());
  else
    return 0;
}

template <class Op>
int epilogue_count(const Op& op) {
  if constexpr (HasEpilogue<Op>)
    return epilogue_operands(op.epilogue);
  else
    return 0;
}

template <class Op>
std::optional<OpError> check_count(const Op& op, std::span<const TensorType> operands) {
  int extra = parameter_count(op, operands) + epilogue_count(op);
  int count = static_cast<int>(operands.size()), least = Op::tensors.min + extra,
      most = Op::tensors.max + extra;
  bool bounded = Op::tensors.max >= 0;
  if (count >= least && (!bounded || count <= most)) return {};
  std::string range = !bounded        ? fmt::format("at least {}", least)
                      : least == most ? fmt::format("{}", least)
                                      : fmt::format("{} to {}", least, most);
  return OpError{fmt::format("{} takes {} operand{}, got {}", Op::name, range,
                             least == 1 && (!bounded || most == 1) ? "" : "s", count)};
}

template <class Op>
std::optional<OpError> check_parameters(const Op& op, std::span<const TensorType> operands) {
  if constexpr (HasParameters<Op>) {
    std::vector<Parameter> expected = op.parameters(operands[0]);
    for (size_t i = 0; i < expected.size(); ++i) {
      size_t operand = static_cast<size_t>(Op::tensors.max) + i;
      if (operands[operand].shape != expected[i].shape)
        return OpError{fmt::format("the {} must be {}, got {}", to_string(to_attr(expected[i].role)),
                                   to_string(expected[i].shape), to_string(operands[operand])),
                       {},
                       static_cast<int>(operand)};
    }
  }
  return {};
}

// The op's own rule; an activation without one keeps its operand's type.
template <class Op>
Inferred infer_bare(const Op& op, std::span<const TensorType> operands) {
  if constexpr (requires { op.infer(operands); }) {
    return op.infer(operands);
  } else {
    static_assert(IsActivation<Op>, "an op needs a shape rule");
    return operands[0];
  }
}

template <class Op>
Inferred infer_op(const Op& op, std::span<const TensorType> operands) {
  if (auto error = check_count(op, operands)) return *error;
  Inferred inferred = infer_bare(op, operands.first(operands.size() - epilogue_count(op)));
  const TensorType* type = std::get_if<TensorType>(&inferred);
  if (!type) return inferred;
  if (auto error = check_parameters(op, operands)) return *error;
  if constexpr (HasEpilogue<Op>) {
    std::string problem = check_epilogue(op.epilogue, operands.last(epilogue_count(op)), *type);
    if (!problem.empty()) return OpError{problem, "epilogue"};
  }
  return inferred;
}

}  // namespace

std::span<const OpInfo> op_table() {
  static const auto table = for_each_op([]<class Op>() { return describe<Op>(); });
  return table;
}

const OpInfo& op_info(const OpAttrs& op) { return op_table()[op.index()]; }

const OpInfo* find_op(std::string_view name) {
  auto table = op_table();
  auto found =
      std::find_if(table.begin(), table.end(), [&](const OpInfo& info) { return info.name == name; });
  return found == table.end() ? nullptr : &*found;
}

OpAttrs make_op(const OpInfo& info) {
  static const auto defaults = for_each_op([]<class Op>() { return OpAttrs(Op{}); });
  const OpInfo* row = find_op(info.name);
  assert(row);
  return defaults[static_cast<size_t>(row - op_table().data())];
}

std::string set_field(OpAttrs& op, std::string_view name, const AttrValue& value) {
  bool found = false;
  std::string error;
  std::visit(
      [&]<class Op>(Op& attrs) {
        for_each_field<Op>([&](const auto& field) {
          if (field.name != name) return;
          found = true;
          error = from_attr(value, attrs.*field.member);
        });
      },
      op);
  if (found) return error;
  std::vector<std::string_view> known;
  for (const FieldInfo& field : op_info(op).fields) known.push_back(field.name);
  return fmt::format("{} has no attribute '{}'; it has {}", op_info(op).name, name,
                     known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
}

std::vector<FieldValue> field_values(const OpAttrs& op) {
  std::vector<FieldValue> out;
  std::visit(
      [&]<class Op>(const Op& attrs) {
        Op defaults;
        for_each_field<Op>([&](const auto& field) {
          if (field.is_required || !(attrs.*field.member == defaults.*field.member))
            out.push_back({field.name, to_attr(attrs.*field.member)});
        });
      },
      op);
  return out;
}

Inferred infer(const OpAttrs& op, std::span<const TensorType> operands) {
  return std::visit([&](const auto& attrs) { return infer_op(attrs, operands); }, op);
}

Inferred infer_written(const OpAttrs& op, std::span<const TensorType> tensors) {
  std::vector<TensorType> operands(tensors.begin(), tensors.end());
  if (!tensors.empty())
    for (const Parameter& parameter : parameters(op, tensors[0]))
      operands.push_back({DType::f32, parameter.shape});
  return infer(op, operands);
}

std::vector<Parameter> parameters(const OpAttrs& op, const TensorType& x) {
  return std::visit(
      [&]<class Op>(const Op& attrs) -> std::vector<Parameter> {
        if constexpr (HasParameters<Op>)
          return attrs.parameters(x);
        else
          return {};
      },
      op);
}

void evaluate(const OpAttrs& op, std::span<const Tensor* const> operands, Tensor& out) {
  std::visit(
      [&]<class Op>(const Op& attrs) {
        if constexpr (IsActivation<Op>)
          evaluate_activation(attrs.activation(), *operands[0], out);
        else if constexpr (HasSemantics<Op>)
          attrs.evaluate(operands, out);
        else
          assert(!"the interpreter supplies the values of inputs and weights");
        if constexpr (HasEpilogue<Op>)
          evaluate_epilogue(attrs.epilogue, operands.last(epilogue_count(attrs)), out);
      },
      op);
}

double flops(const OpAttrs& op, std::span<const TensorType> operands, const TensorType& out) {
  return std::visit(
      [&]<class Op>(const Op& attrs) {
        double total = 0;
        if constexpr (IsActivation<Op>) total += static_cast<double>(out.shape.elements());
        if constexpr (HasSemantics<Op>) total += attrs.flops(operands, out);
        if constexpr (HasEpilogue<Op>) total += epilogue_flops(attrs.epilogue, out);
        return total;
      },
      op);
}

std::optional<Activation> activation_of(const OpAttrs& op) {
  return std::visit(
      []<class Op>(const Op& attrs) -> std::optional<Activation> {
        if constexpr (IsActivation<Op>)
          return attrs.activation();
        else
          return {};
      },
      op);
}

std::optional<Gathering> gathering_of(const OpAttrs& op, const TensorType& x) {
  return std::visit(
      [&]<class Op>(const Op& attrs) -> std::optional<Gathering> {
        if constexpr (MovesChannels<Op>)
          return attrs.gathering(x.shape);
        else
          return {};
      },
      op);
}

const Epilogue* epilogue_of(const OpAttrs& op) { return epilogue_of(const_cast<OpAttrs&>(op)); }

Epilogue* epilogue_of(OpAttrs& op) {
  return std::visit(
      []<class Op>(Op& attrs) -> Epilogue* {
        if constexpr (HasEpilogue<Op>)
          return &attrs.epilogue;
        else
          return nullptr;
      },
      op);
}

bool operator==(const OpAttrs& a, const OpAttrs& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      [&]<class Op>(const Op& left) {
        const Op& right = std::get<Op>(b);
        bool equal = true;
        for_each_field<Op>(
            [&](const auto& field) { equal = equal && left.*field.member == right.*field.member; });
        return equal;
      },
      a);
}

size_t hash_value(const OpAttrs& op) {
  std::string text(op_info(op).name);
  for (const FieldValue& field : field_values(op))
    text += fmt::format(" {}={}", field.name, to_string(field.value));
  return std::hash<std::string>()(text);
}

}  // namespace cardinal
