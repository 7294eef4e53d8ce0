// Attributes of a node with their defaults, and arithmetic on dimensions that several ops share.
#pragma once

#include <optional>

#include "compiler/import/onnx_graph.h"

namespace cardinal::onnx_import {

int64_t int_attribute(const OnnxNode& node, std::string_view name, int64_t fallback);
// As the decimal number that its author wrote.
double float_attribute(const OnnxNode& node, std::string_view name, double fallback);
std::string string_attribute(const OnnxNode& node, std::string_view name, std::string_view fallback);
std::vector<int64_t> ints_attribute(const OnnxNode& node, std::string_view name);  // empty by default
bool has_attribute(const OnnxNode& node, std::string_view name);

// The target of a Reshape with its 0s and its -1 replaced; what does not fit shows in the product.
std::vector<int64_t> resolve_reshape(const std::vector<int64_t>& from, std::vector<int64_t> target,
                                     bool zero_is_zero);

// For each dimension of an Unsqueeze's result the operand's dimension, -1 for a new one.
std::optional<std::vector<int64_t>> unsqueeze_places(std::vector<int64_t> axes, size_t rank);

bool is_permutation_of(const std::vector<int64_t>& permutation, size_t rank);

}  // namespace cardinal::onnx_import
