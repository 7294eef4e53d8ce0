// What exporters leave of the arithmetic on shapes and weights, computed.
#pragma once

#include <optional>
#include <span>

#include "compiler/import/onnx_graph.h"

namespace cardinal::onnx_import {

// The node's result, if all its operands are known (a null pointer is an optional operand left out) and the
// op is one of those that such arithmetic is made of.
ConstantPtr fold_node(const OnnxNode& node, std::span<const ConstantPtr> operands);

// The element if there is one only, or if all are equal.
std::optional<double> uniform_value(const Constant& constant);

// The float as the decimal number that its author wrote: 1e-5 rather than 9.99999974737875e-06.
double shortest_decimal(float value);

ConstantPtr int_vector(std::vector<int64_t> values);
ConstantPtr float_vector(std::vector<float> values);
// A matrix [rows, columns] turned into [columns, rows].
ConstantPtr transposed_matrix(const Constant& matrix);

}  // namespace cardinal::onnx_import
