// Functions of a tensor that make a list, its dimensions or its parts, and tensors of the weight file.
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "compiler/language/elaborator.h"
#include "compiler/language/names.h"

namespace cardinal {
namespace {

constexpr BuiltinInfo kTensorFunctions[] = {
    {"shape", "shape(x)", "dimensions of a tensor as a list: [N, C, H, W] or [N, C]"},
    {"split", "split(x, count) or split(x, [c1, c2, ...])",
     "list of slices of a tensor's channels: so many equal ones, or of these sizes"},
    {"parameter", "name: parameter(shape) or name: parameter(shape, kernel=true)",
     "a tensor of the weight file, of this shape; see Parameters"},
};

// The sizes of the parts of `channels` channels that `parts` asks for; "" if they fit, else why not.
std::string part_sizes(const Value& parts, int64_t channels, std::vector<int64_t>& sizes) {
  if (const auto* count = parts.as<int64_t>()) {
    if (*count < 1 || channels % *count != 0)
      return fmt::format("{} channels do not split into {} equal parts; give their sizes in a list", channels,
                         *count);
    sizes.assign(static_cast<size_t>(*count), channels / *count);
    return {};
  }
  if (!parts.list()) return fmt::format("'split' needs a count or a list of sizes, not {}", show(parts));
  for (const Value& size : parts.list()->elements) {
    const auto* value = size.as<int64_t>();
    if (!value || *value < 1 || *value > channels)
      return fmt::format("the size of a part must be an int from 1 to the {} channels, not {}", channels,
                         show(size));
    sizes.push_back(*value);
  }
  const int64_t sum = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  if (sum != channels) return fmt::format("the parts have {} channels in all, the tensor {}", sum, channels);
  return {};
}

}  // namespace

std::span<const BuiltinInfo> tensor_functions() { return kTensorFunctions; }

bool is_tensor_function(std::string_view name) {
  for (const BuiltinInfo& function : kTensorFunctions)
    if (function.name == name) return true;
  return false;
}

Value Elaborator::call_tensor_function(std::string_view name, const Invocation& invocation) {
  SourceLocation where = invocation.call->callee.where;
  if (name == "parameter") return parameter(invocation);
  if (invocation.call->label)
    fail(invocation.call->label->where, fmt::format("'{}' makes no layer to name", name));
  const size_t wanted = name == "split" ? 2 : 1;
  if (invocation.arguments.size() != wanted)
    return fail(where, name == "split" ? "'split' takes a tensor and a count or a list of sizes"
                                       : "'shape' takes one tensor");
  for (const BoundArgument& argument : invocation.arguments)
    if (!argument.name.empty())
      return fail(argument.name_where, fmt::format("'{}' takes no named arguments", name));
  const BoundArgument& x = invocation.arguments[0];
  if (x.value.is_poison()) return {};
  const auto* tensor = x.value.as<TensorValue>();
  if (!tensor)
    return fail(x.where, fmt::format("'{}' needs a tensor, not {}", name, with_article(type_name(x.value))));
  return name == "split" ? split(tensor->id, invocation) : shape_of(tensor->id);
}

namespace {

// "" or what is wrong with the shape of a parameter, which `shape` then is.
std::string read_shape(const Value& value, Shape& shape) {
  constexpr std::string_view kForms = "[1, C, 1, 1], [1, C] or, of a kernel, [OC, IC / groups, KH, KW]";
  const List* list = value.list();
  if (!list) return fmt::format("a parameter's shape is a list, {}, not {}", kForms, show_with_type(value));
  std::vector<int64_t> dims;
  for (const Value& element : list->elements) {
    const auto* dim = element.as<int64_t>();
    if (!dim) return fmt::format("a dimension must be an int, got {}", show_with_type(element));
    dims.push_back(*dim);
  }
  if (dims.size() != 2 && dims.size() != 4)
    return fmt::format("a parameter's shape is {}, not {}; a weight file may leave out the dimensions of 1",
                       kForms, show(value));
  shape = Shape(dims);
  return shape_problem(shape);
}

}  // namespace

// A tensor of the weight file by itself. One that is a kernel is called and stored as the convention has it.
Value Elaborator::parameter(const Invocation& invocation) {
  const SourceLocation where = invocation.call->callee.where;
  if (!can_make_tensors("parameter", where)) return {};
  const BoundArgument* shape_argument = nullptr;
  bool is_kernel = false;
  for (const BoundArgument& argument : invocation.arguments) {
    if (argument.value.is_poison()) return {};
    if (argument.name == "kernel" && argument.value.as<bool>()) {
      is_kernel = *argument.value.as<bool>();
    } else if (!shape_argument && (argument.name.empty() || argument.name == "shape")) {
      shape_argument = &argument;
    } else {
      return fail(argument.name_where ? argument.name_where : argument.where,
                  "'parameter' takes a shape, and kernel=true for a convolution's kernel");
    }
  }
  if (!invocation.call->label)
    fail(where, "a parameter needs the name that the weight file has for it: write name: parameter(...)");
  if (!shape_argument) return fail(where, "'parameter' needs a shape, as in parameter([1, 64, 1, 1])");
  if (const List* list = shape_argument->value.list(); list && list->has_poison) return {};
  Shape shape;
  if (std::string problem = read_shape(shape_argument->value, shape); !problem.empty())
    return fail(shape_argument->where, problem);
  if (!invocation.call->label || invocation.label->empty()) return {};
  const std::string path = join_path(*invocation.label);
  if (!name_layer(invocation, path)) return {};
  const Parameter wanted{is_kernel ? Role::kernel : Role::scale, shape, !is_kernel};
  const std::string weight_path = weight_name(*convention_, path, wanted);
  auto weight = graph_.try_add(OpAttrs(weight_of(*convention_, wanted)), {}, weight_path, where);
  if (const auto* error = std::get_if<OpError>(&weight)) return fail(where, error->message);
  return {TensorValue{std::get<NodeId>(weight)}};
}

Value Elaborator::shape_of(NodeId id) const {
  std::vector<Value> dims;
  for (int64_t dim : graph_[id].type.shape.dims()) dims.push_back({dim});
  const Likely x = likely(id);
  if (dims.size() > 1 && !x.has_sure_channels()) dims[1] = {};
  if (dims.size() > 2 && !x.has_sure_size()) std::fill(dims.begin() + 2, dims.end(), Value{});
  return make_list(std::move(dims));
}

Value Elaborator::split(NodeId id, const Invocation& invocation) {
  const BoundArgument& parts = invocation.arguments[1];
  SourceLocation where = invocation.call->callee.where;
  if (!can_make_tensors("split", where)) return {};
  const bool unknown = parts.value.is_poison() || (parts.value.list() && parts.value.list()->has_poison);
  if (unknown || !likely(id).has_sure_channels()) return likely_parts(id, parts.value, where);
  std::vector<int64_t> sizes;
  if (std::string problem = part_sizes(parts.value, graph_[id].type.shape.c(), sizes); !problem.empty()) {
    if (parts.value.origin) problem += fmt::format(" ({})", parts.value.origin->text);
    fail(parts.where, problem, {shape_note(id, "the tensor")});
    return likely_parts(id, parts.value, where);
  }
  std::vector<Value> slices;
  int64_t begin = 0;
  for (int64_t size : sizes) {
    if (!charge(1, where)) return {};
    OpCall slice{
        find_op(Slice::name), Slice{{begin, begin + size}}, {id}, {invocation.arguments[0].where}, {}, {}};
    slices.push_back(add_op(slice, invocation));
    if (slices.back().is_poison()) return {};
    begin += size;
  }
  return make_list(std::move(slices));
}

// As many parts as are asked for, of the sizes that are written.
Value Elaborator::likely_parts(NodeId id, const Value& parts, SourceLocation where) {
  const auto* count = parts.as<int64_t>();
  const List* sizes = parts.list();
  if (!sizes && (!count || *count < 1 || *count > likely(id).type.shape.c())) return {};
  std::vector<Value> list;
  for (size_t i = 0; i < (sizes ? sizes->elements.size() : static_cast<size_t>(*count)); ++i) {
    if (!charge(1, where)) return {};
    const auto* size = sizes ? sizes->elements[i].as<int64_t>() : nullptr;
    Likely part = likely(id);
    part.any_channels = !size;
    for (TensorType* type : {&part.type, &part.other})
      type->shape[1] = size ? *size : std::max<int64_t>(1, type->shape.c() / (count ? *count : 1));
    list.push_back(assume(part, where));
  }
  return make_list(std::move(list));
}

}  // namespace cardinal
