#include "compiler/import/fold_constants.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <unordered_map>

#include "compiler/import/attributes.h"
#include "ir/type.h"

namespace cardinal::onnx_import {

namespace {

using Operands = std::span<const ConstantPtr>;

int64_t product(const std::vector<int64_t>& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

// Whether so many elements may be made from a few numbers in a file. Few layers have more: the first linear
// layer of VGG has 1.03e8.
bool is_reasonable(const std::vector<int64_t>& dims) {
  constexpr int64_t kLargest = int64_t{1} << 28;
  int64_t elements = 1;
  for (int64_t dim : dims) {
    if (dim < 0 || dim > kLargest) return false;
    elements *= dim;
    if (elements > kLargest) return false;
  }
  return true;
}

std::shared_ptr<Constant> make(bool is_float, std::vector<int64_t> dims) {
  auto out = std::make_shared<Constant>();
  out->is_float = is_float;
  out->dims = std::move(dims);
  auto elements = static_cast<size_t>(product(out->dims));
  is_float ? out->floats.resize(elements) : out->ints.resize(elements);
  return out;
}

void copy_element(const Constant& from, int64_t i, Constant& to, int64_t j) {
  if (to.is_float)
    to.floats[static_cast<size_t>(j)] = from.floats[static_cast<size_t>(i)];
  else
    to.ints[static_cast<size_t>(j)] = from.ints[static_cast<size_t>(i)];
}

ConstantPtr with_dims(const Constant& x, std::vector<int64_t> dims) {
  if (!is_reasonable(dims) || product(dims) != x.elements()) return nullptr;
  auto out = std::make_shared<Constant>(x);
  out->dims = std::move(dims);
  return out;
}

bool normalize_axis(int64_t& axis, size_t rank) {
  auto size = static_cast<int64_t>(rank);
  if (axis < 0) axis += size;
  return axis >= 0 && axis < size;
}

ConstantPtr fold_reshape(const OnnxNode& node, Operands in) {
  const std::vector<int64_t> target = in.size() > 1 && in[1] ? in[1]->ints : ints_attribute(node, "shape");
  return with_dims(*in[0], resolve_reshape(in[0]->dims, target, int_attribute(node, "allowzero", 0) != 0));
}

ConstantPtr fold_squeeze(const OnnxNode& node, Operands in) {
  std::vector<int64_t> axes = in.size() > 1 && in[1] ? in[1]->ints : ints_attribute(node, "axes");
  size_t rank = in[0]->dims.size();
  std::vector<int64_t> dims;
  for (int64_t& axis : axes)
    if (!normalize_axis(axis, rank)) return nullptr;
  for (size_t i = 0; i < rank; ++i) {
    bool named = std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) != axes.end();
    if (!named && (!axes.empty() || in[0]->dims[i] != 1)) dims.push_back(in[0]->dims[i]);
  }
  return with_dims(*in[0], dims);
}

ConstantPtr fold_unsqueeze(const OnnxNode& node, Operands in) {
  std::vector<int64_t> axes = in.size() > 1 && in[1] ? in[1]->ints : ints_attribute(node, "axes");
  std::optional<std::vector<int64_t>> places = unsqueeze_places(axes, in[0]->dims.size());
  if (!places) return nullptr;
  std::vector<int64_t> dims;
  for (int64_t from : *places) dims.push_back(from < 0 ? 1 : in[0]->dims[static_cast<size_t>(from)]);
  return with_dims(*in[0], dims);
}

ConstantPtr fold_concat(const OnnxNode& node, Operands in) {
  if (int_attribute(node, "axis", 0) != 0 && int_attribute(node, "axis", 0) != -1) return nullptr;
  auto out = std::make_shared<Constant>();
  out->is_float = in[0]->is_float;
  for (const ConstantPtr& part : in) {
    if (!part || part->dims.size() != 1 || part->is_float != out->is_float) return nullptr;
    out->floats.insert(out->floats.end(), part->floats.begin(), part->floats.end());
    out->ints.insert(out->ints.end(), part->ints.begin(), part->ints.end());
  }
  out->dims = {out->elements()};
  return out;
}

ConstantPtr fold_gather(const OnnxNode& node, Operands in) {
  if (in.size() < 2 || !in[1] || in[1]->is_float) return nullptr;
  int64_t axis = int_attribute(node, "axis", 0);
  if (!normalize_axis(axis, in[0]->dims.size()) || axis != 0) return nullptr;
  std::vector<int64_t> dims = in[1]->dims;
  dims.insert(dims.end(), in[0]->dims.begin() + 1, in[0]->dims.end());
  if (!is_reasonable(dims)) return nullptr;
  auto out = make(in[0]->is_float, dims);
  int64_t rows = in[0]->dims[0], width = rows ? in[0]->elements() / rows : 0, to = 0;
  for (int64_t row : in[1]->ints) {
    if (row < 0) row += rows;
    if (row < 0 || row >= rows) return nullptr;
    for (int64_t i = 0; i < width; ++i) copy_element(*in[0], row * width + i, *out, to++);
  }
  return out;
}

ConstantPtr fold_slice(const OnnxNode& node, Operands in) {
  if (in[0]->dims.size() != 1) return nullptr;
  auto list = [&](size_t i, std::string_view name) {
    return in.size() > i && in[i] ? in[i]->ints : ints_attribute(node, name);
  };
  std::vector<int64_t> starts = list(1, "starts"), ends = list(2, "ends"), steps = list(4, "steps");
  if (starts.size() != 1 || ends.size() != 1 || (!steps.empty() && steps[0] != 1)) return nullptr;
  int64_t size = in[0]->dims[0];
  auto clamped = [size](int64_t i) { return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size); };
  int64_t begin = clamped(starts[0]), end = std::max(clamped(ends[0]), begin);
  auto out = make(in[0]->is_float, {end - begin});
  for (int64_t i = begin; i < end; ++i) copy_element(*in[0], i, *out, i - begin);
  return out;
}

ConstantPtr fold_cast(const OnnxNode& node, Operands in) {
  int64_t to = int_attribute(node, "to", 1);
  bool is_float = to == 1 || to == 10 || to == 11 || to == 16;  // FLOAT, FLOAT16, DOUBLE, BFLOAT16
  if (is_float == in[0]->is_float) return in[0];
  auto out = make(is_float, in[0]->dims);
  for (int64_t i = 0; i < out->elements(); ++i) {
    double value = in[0]->number(i);
    if (is_float)
      out->floats[static_cast<size_t>(i)] = static_cast<float>(value);
    else if (std::abs(value) < 0x1p62)
      out->ints[static_cast<size_t>(i)] = static_cast<int64_t>(value);
    else
      return nullptr;
  }
  return out;
}

ConstantPtr fold_constant_of_shape(const OnnxNode& node, Operands in) {
  if (in[0]->is_float || !is_reasonable(in[0]->ints)) return nullptr;
  auto given = node.attributes.find("value");
  const ConstantPtr* value =
      given == node.attributes.end() ? nullptr : std::get_if<ConstantPtr>(&given->second);
  auto out = make(!value || (*value)->is_float, in[0]->ints);
  if (value && (*value)->elements() != 1) return nullptr;
  for (int64_t i = 0; value && i < out->elements(); ++i) copy_element(**value, 0, *out, i);
  return out;
}

ConstantPtr fold_transpose(const OnnxNode& node, Operands in) {
  const Constant& x = *in[0];
  std::vector<int64_t> permutation = ints_attribute(node, "perm");
  if (permutation.empty())
    for (size_t i = x.dims.size(); i-- > 0;) permutation.push_back(static_cast<int64_t>(i));
  if (!is_permutation_of(permutation, x.dims.size())) return nullptr;
  std::vector<int64_t> dims, strides(x.dims.size(), 1);
  for (size_t i = x.dims.size(); i-- > 1;) strides[i - 1] = strides[i] * x.dims[i];
  for (int64_t from : permutation) dims.push_back(x.dims[static_cast<size_t>(from)]);
  auto out = make(x.is_float, dims);
  std::vector<int64_t> position(dims.size(), 0);
  for (int64_t to = 0; to < out->elements(); ++to) {
    int64_t from = 0;
    for (size_t i = 0; i < dims.size(); ++i)
      from += position[i] * strides[static_cast<size_t>(permutation[i])];
    copy_element(x, from, *out, to);
    for (size_t i = dims.size(); i-- > 0 && ++position[i] == dims[i];) position[i] = 0;
  }
  return out;
}

// One operand's element for each of the other's, or a single one.
using Arithmetic = std::optional<double> (*)(double, double, bool is_float);
ConstantPtr fold_binary(Operands in, Arithmetic compute) {
  if (in.size() != 2 || !in[1] || in[0]->is_float != in[1]->is_float) return nullptr;
  const Constant &a = *in[0], &b = *in[1];
  bool same = a.dims == b.dims;
  if (!same && a.elements() != 1 && b.elements() != 1) return nullptr;
  bool takes_b = !same && (a.elements() == 1 && (b.elements() != 1 || b.dims.size() > a.dims.size()));
  const Constant& shaped = takes_b ? b : a;
  auto out = make(a.is_float, shaped.dims);
  for (int64_t i = 0; i < out->elements(); ++i) {
    auto value =
        compute(a.number(a.elements() == 1 ? 0 : i), b.number(b.elements() == 1 ? 0 : i), a.is_float);
    if (!value || (!a.is_float && std::abs(*value) >= 0x1p53)) return nullptr;
    if (a.is_float)
      out->floats[static_cast<size_t>(i)] = static_cast<float>(*value);
    else
      out->ints[static_cast<size_t>(i)] = static_cast<int64_t>(*value);
  }
  return out;
}

ConstantPtr fold_unary(Operands in, double (*compute)(double)) {
  auto out = make(in[0]->is_float, in[0]->dims);
  for (int64_t i = 0; i < out->elements(); ++i) {
    double value = compute(in[0]->number(i));
    if (out->is_float)
      out->floats[static_cast<size_t>(i)] = static_cast<float>(value);
    else
      out->ints[static_cast<size_t>(i)] = static_cast<int64_t>(value);
  }
  return out;
}

ConstantPtr fold_constant_node(const OnnxNode& node) {
  for (const auto& [name, value] : node.attributes) {
    if (const auto* tensor = std::get_if<ConstantPtr>(&value)) return *tensor;
    if (const auto* number = std::get_if<float>(&value)) {
      auto out = make(true, {});
      out->floats[0] = *number;
      return out;
    }
    if (const auto* number = std::get_if<int64_t>(&value)) {
      auto out = make(false, {});
      out->ints[0] = *number;
      return out;
    }
    if (const auto* list = std::get_if<std::vector<float>>(&value)) return float_vector(*list);
    if (const auto* list = std::get_if<std::vector<int64_t>>(&value)) return int_vector(*list);
  }
  return nullptr;
}

std::optional<double> divide(double a, double b, bool is_float) {
  if (b == 0) return std::nullopt;
  return is_float ? a / b : std::trunc(a / b);
}

}  // namespace

ConstantPtr fold_node(const OnnxNode& node, Operands in) {
  if (node.op_type == "Constant") return fold_constant_node(node);
  if (in.empty() || !in[0]) return nullptr;
  const std::string& op = node.op_type;
  if (op == "Identity" || op == "Dropout") return in[0];
  if (op == "Reshape") return fold_reshape(node, in);
  if (op == "Squeeze") return fold_squeeze(node, in);
  if (op == "Unsqueeze") return fold_unsqueeze(node, in);
  if (op == "Concat") return fold_concat(node, in);
  if (op == "Gather") return fold_gather(node, in);
  if (op == "Slice") return fold_slice(node, in);
  if (op == "Cast") return fold_cast(node, in);
  if (op == "ConstantOfShape") return fold_constant_of_shape(node, in);
  if (op == "Transpose") return fold_transpose(node, in);
  if (op == "Add") return fold_binary(in, [](double a, double b, bool) { return std::optional(a + b); });
  if (op == "Sub") return fold_binary(in, [](double a, double b, bool) { return std::optional(a - b); });
  if (op == "Mul") return fold_binary(in, [](double a, double b, bool) { return std::optional(a * b); });
  if (op == "Div") return fold_binary(in, divide);
  if (op == "Sqrt" && in[0]->is_float) return fold_unary(in, [](double x) { return std::sqrt(x); });
  if (op == "Neg") return fold_unary(in, [](double x) { return -x; });
  if (op == "Floor") return fold_unary(in, [](double x) { return std::floor(x); });
  if (op == "Ceil") return fold_unary(in, [](double x) { return std::ceil(x); });
  return nullptr;
}

std::optional<double> uniform_value(const Constant& constant) {
  int64_t elements = constant.elements();
  if (elements == 0) return std::nullopt;
  double first = constant.number(0);
  for (int64_t i = 1; i < elements; ++i)
    if (constant.number(i) != first) return std::nullopt;
  return constant.is_float ? shortest_decimal(static_cast<float>(first)) : first;
}

double shortest_decimal(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

ConstantPtr int_vector(std::vector<int64_t> values) {
  auto out = std::make_shared<Constant>();
  out->is_float = false;
  out->dims = {static_cast<int64_t>(values.size())};
  out->ints = std::move(values);
  return out;
}

ConstantPtr float_vector(std::vector<float> values) {
  auto out = std::make_shared<Constant>();
  out->dims = {static_cast<int64_t>(values.size())};
  out->floats = std::move(values);
  return out;
}

ConstantPtr transposed_matrix(const Constant& matrix) {
  OnnxNode transpose{"Transpose", {}, {}, {}, {}};
  auto shared = std::shared_ptr<const Constant>(&matrix, [](const Constant*) {});
  return fold_transpose(transpose, std::span(&shared, 1));
}

}  // namespace cardinal::onnx_import
