#include "ir/ops/boundary.h"

#include <fmt/format.h>

namespace cardinal {

Inferred Input::infer(std::span<const TensorType>) const {
  if (dtype != DType::f32)
    return OpError{fmt::format("inputs must be f32, got {}", to_string(dtype)), "dtype"};
  if (shape.rank() != 2 && shape.rank() != 4)
    return OpError{fmt::format("an input must be [N, C, H, W] or [N, C], got {}", to_string(shape)), "shape"};
  if (std::string problem = shape_problem(shape); !problem.empty()) return OpError{problem, "shape"};
  if (shape.rank() == 2 && layout != Layout::nchw)
    return OpError{fmt::format("layout {} needs a rank-4 input, got {}", to_string(layout), to_string(shape)),
                   "layout"};
  return TensorType{dtype, shape};
}

Inferred Weight::infer(std::span<const TensorType>) const {
  if (shape.rank() == 0) return OpError{"a weight must have at least one dimension, got []", "shape"};
  if (std::string problem = shape_problem(shape); !problem.empty()) return OpError{problem, "shape"};
  const int rank = stored == StoredOrder::hwio  ? 4
                   : stored == StoredOrder::wio ? 3
                   : stored == StoredOrder::io  ? 2
                                                : shape.rank();
  if (shape.rank() != rank)
    return OpError{fmt::format("a weight that is stored as {} has {} dimensions, got {}",
                               to_string(to_attr(stored)), rank, to_string(shape)),
                   "stored"};
  return TensorType{DType::f32, shape};
}

Inferred Output::infer(std::span<const TensorType> operands) const {
  const Shape& shape = operands[0].shape;
  if (shape.rank() != 2 && shape.rank() != 4)
    return OpError{fmt::format("an output must be [N, C, H, W] or [N, C], got {}", to_string(shape)), {}, 0};
  if (shape.rank() == 2 && layout != Layout::nchw)
    return OpError{
        fmt::format("layout {} needs a rank-4 output, got {}", to_string(layout), to_string(shape)),
        "layout"};
  return operands[0];
}

}  // namespace cardinal
