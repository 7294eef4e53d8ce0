#include "compiler/language/likely.h"

#include <algorithm>

namespace cardinal {
namespace {

using Types = std::vector<TensorType>;

bool same_size(const Shape& a, const Shape& b) { return a.h() == b.h() && a.w() == b.w(); }

// What both allow, `b` being another guess at the same tensor.
std::optional<Likely> merged(const std::optional<Likely>& a, const std::optional<Likely>& b) {
  if (!a || !b) return a ? a : b;
  Likely result = *a;
  for (auto [x, y] : {std::pair(&a->type, &b->type), std::pair(&a->other, &b->other)}) {
    if (x->shape.rank() != y->shape.rank()) return std::nullopt;
    result.any_channels |= x->shape.c() != y->shape.c();
    result.any_size |= !same_size(x->shape, y->shape);
  }
  result.any_channels |= b->any_channels;
  result.any_size |= b->any_size;
  return result;
}

std::optional<Likely> result_of(const OpAttrs& op, const Types& types) {
  Inferred inferred = infer_written(op, types);
  const auto* type = std::get_if<TensorType>(&inferred);
  return type ? std::optional(Likely(*type)) : std::nullopt;
}

// One of two results.
std::optional<Likely> either(const std::optional<Likely>& a, const std::optional<Likely>& b) {
  if (!a || !b) return a ? a : b;
  if (a->type.shape.rank() != b->type.shape.rank()) return std::nullopt;
  Likely result = *a;
  result.other = b->type;
  return result;
}

constexpr size_t kEnoughOperands = 4;  // whose shapes the others are tried with

// The operands' types with the dimensions that may be anything taken from `like`.
Types filled_from(std::span<const Likely> operands, const Shape& like) {
  Types types;
  for (const Likely& operand : operands) {
    Shape& shape = types.emplace_back(operand.type).shape;
    if (operand.any_channels) shape[1] = like.c();
    if (operand.any_size && shape.rank() == 4) shape[2] = like.h(), shape[3] = like.w();
  }
  return types;
}

// The op with all wrong attributes at their defaults, and then at some numbers.
std::vector<OpAttrs> mended_attributes(const Convention& convention, const OpAttrs& op,
                                       std::span<const std::string_view> wrong) {
  std::vector<OpAttrs> list;
  if (wrong.empty()) list.push_back(op);
  for (int64_t number = 0; !wrong.empty() && number <= 3; ++number) {
    OpAttrs& mended = list.emplace_back(op);
    for (const FieldInfo& field : op_info(op).fields)
      if (std::find(wrong.begin(), wrong.end(), field.name) != wrong.end()) {
        set_field(mended, field.name, field.default_value);
        if (number > 0) set_field(mended, field.name, AttrValue{number});
      }
  }
  for (OpAttrs& mended : list) resolve_same_padding(convention, mended);
  return list;
}

Types types_of(std::span<const Likely> operands) {
  Types types;
  for (const Likely& operand : operands) types.push_back(operand.type);
  return types;
}

template <class Change>
Types changed(Types types, Change&& change) {
  for (TensorType& type : types) change(type);
  return types;
}

// A tensor of the rank that the op wants: features as an image of some size, an image flattened.
std::optional<Likely> with_mended_rank(const OpAttrs& op, const Types& types) {
  auto raised = [&](int64_t size) {
    return changed(types, [&](TensorType& type) {
      if (type.shape.rank() == 2) type.shape = {type.shape.n(), type.shape.c(), size, size};
    });
  };
  if (auto image = merged(result_of(op, raised(1)), result_of(op, raised(7)))) return image;
  return result_of(op, changed(types, [](TensorType& type) {
                     const Shape x = type.shape;
                     if (x.rank() == 4) type.shape = {x.n(), std::min(x.c() * x.h() * x.w(), kMaxDim)};
                   }));
}

// Operands that do not go together: all like one of them, in height and width only if that is enough.
std::optional<Likely> with_mended_shapes(const OpAttrs& op, const Types& types) {
  std::optional<Likely> sizes, shapes;
  for (size_t i = 0; i < std::min(types.size(), kEnoughOperands); ++i) {
    const TensorType like = types[i];
    auto same_size = [&](TensorType& type) {
      if (type.shape.rank() == 4 && like.shape.rank() == 4)
        type.shape = {like.shape.n(), type.shape.c(), like.shape.h(), like.shape.w()};
    };
    sizes = either(sizes, result_of(op, changed(types, same_size)));
    shapes = either(shapes, result_of(op, changed(types, [&](TensorType& type) { type = like; })));
  }
  return sizes ? sizes : shapes;
}

}  // namespace

bool Likely::has_sure_size() const { return !any_size && same_size(type.shape, other.shape); }

std::optional<Likely> likely_result(const OpAttrs& op, std::span<const Likely> operands) {
  Types others;
  bool any = false;
  for (const Likely& operand : operands) {
    others.push_back(operand.other);
    any |= operand.any_channels || operand.any_size;
  }
  std::optional<Likely> result = either(result_of(op, types_of(operands)), result_of(op, others));
  if (!any) return result;
  // What may be anything may be as in another operand, or large with many divisors.
  for (size_t i = 0; i < std::min(operands.size(), kEnoughOperands); ++i)
    if (const Shape& like = operands[i].type.shape; like.rank() >= 2)
      result = merged(result, result_of(op, filled_from(operands, like)));
  for (const Shape& like : {Shape{1, 5040, 48, 48}, Shape{1, 4096, 64, 64}})
    result = merged(result, result_of(op, filled_from(operands, like)));
  return result;
}

std::optional<Likely> mended_result(const Convention& convention, const OpAttrs& op,
                                    std::span<const Likely> operands,
                                    std::span<const std::string_view> wrong) {
  if (operands.size() == 1 && activation_of(op)) return operands[0];
  const Types types = types_of(operands);
  std::optional<Likely> result, reranked;
  int accepted = 0;
  for (const OpAttrs& mended : mended_attributes(convention, op, wrong)) {
    std::optional<Likely> likely = likely_result(mended, operands);
    accepted += likely ? 1 : 0;
    result = merged(result, likely);
    reranked = merged(reranked, with_mended_rank(mended, types));
  }
  // A default that nothing else confirms says little.
  if (result && !wrong.empty() && accepted == 1) result->any_channels = result->any_size = true;
  if (result) return result;
  std::optional<Likely> reshaped;
  if (types.size() > 1) reshaped = with_mended_shapes(op, types);
  return reshaped ? reshaped : reranked;
}

}  // namespace cardinal
