#include "ir/type.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace cardinal {

int64_t Shape::elements() const {
  int64_t product = 1;
  for (int64_t dim : dims()) product *= dim;
  return product;
}

int64_t dtype_bytes(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

std::string_view to_string(DType dtype) {
  constexpr std::array<std::string_view, 3> names{"f32", "f16", "bf16"};
  return names[static_cast<size_t>(dtype)];
}

std::string_view to_string(Layout layout) {
  constexpr std::array<std::string_view, 3> names{"nchw", "nhwc", "nchw16c"};
  return names[static_cast<size_t>(layout)];
}

std::optional<DType> parse_dtype(std::string_view text) {
  for (DType dtype : {DType::f32, DType::f16, DType::bf16})
    if (to_string(dtype) == text) return dtype;
  return {};
}

std::optional<Layout> parse_layout(std::string_view text) {
  for (Layout layout : {Layout::nchw, Layout::nhwc, Layout::nchw16c})
    if (to_string(layout) == text) return layout;
  return {};
}

std::string to_string(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape.dims(), ", ")); }

std::string to_string(const TensorType& type) {
  return fmt::format("{}{}", to_string(type.dtype), to_string(type.shape));
}

std::string shape_problem(const Shape& shape) {
  int64_t elements = 1;
  for (int64_t dim : shape.dims()) {
    if (dim < 1)
      return fmt::format("shape {} has a dimension of {}; every dimension must be at least 1",
                         to_string(shape), dim);
    if (dim > kMaxDim)
      return fmt::format("shape {} has a dimension of {}; at most {} is supported", to_string(shape), dim,
                         kMaxDim);
    // The product stays below kMaxElements * kMaxDim = 2^57.
    elements *= dim;
    if (elements > kMaxElements)
      return fmt::format("shape {} has more than {} elements, the most that is supported", to_string(shape),
                         kMaxElements);
  }
  return {};
}

}  // namespace cardinal
