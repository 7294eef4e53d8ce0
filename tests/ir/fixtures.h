// Small graphs, tensors and weights for the tests of ir/.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "ir/graph.h"
#include "ir/interpreter.h"

namespace cardinal::testing {

inline Tensor tensor(Shape shape, std::vector<double> values) {
  Tensor out(TensorType{DType::f32, shape});
  assert(values.size() == out.data.size());
  out.data = std::move(values);
  return out;
}

// 0, 1, 2, ...
inline Tensor counting(Shape shape) {
  Tensor out(TensorType{DType::f32, shape});
  for (size_t i = 0; i < out.data.size(); ++i) out.data[i] = static_cast<double>(i);
  return out;
}

// What the shape rule says of operands with these shapes: "f32[...]", or the error's message.
inline std::string inferred(const OpAttrs& op, const std::vector<Shape>& shapes) {
  std::vector<TensorType> types;
  for (const Shape& shape : shapes) types.push_back({DType::f32, shape});
  Inferred result = infer(op, types);
  const OpError* error = std::get_if<OpError>(&result);
  return error ? error->message : to_string(std::get<TensorType>(result));
}

// The same from the user's tensors alone.
inline std::string inferred_written(const OpAttrs& op, const std::vector<Shape>& shapes) {
  std::vector<TensorType> types;
  for (const Shape& shape : shapes) types.push_back({DType::f32, shape});
  Inferred result = infer_written(op, types);
  const OpError* error = std::get_if<OpError>(&result);
  return error ? error->message : to_string(std::get<TensorType>(result));
}

// The op's value by its reference semantics.
inline Tensor run_op(const OpAttrs& op, const std::vector<Tensor>& operands) {
  std::vector<TensorType> types;
  std::vector<const Tensor*> pointers;
  for (const Tensor& operand : operands) {
    types.push_back(operand.type);
    pointers.push_back(&operand);
  }
  Inferred type = infer(op, types);
  if (const OpError* error = std::get_if<OpError>(&type)) throw std::runtime_error(error->message);
  Tensor out(std::get<TensorType>(type));
  evaluate(op, pointers, out);
  return out;
}

// Weights given by value.
class FixedWeights : public WeightStore {
 public:
  void set(const std::string& name, Shape shape, std::vector<float> values) {
    std::vector<float>& kept = data_[name] = std::move(values);
    tensors_[name] = {{DType::f32, shape}, std::as_bytes(std::span(kept))};
  }
  const StoredTensor* find(std::string_view name) const override {
    auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> out;
    for (const auto& [name, tensor] : tensors_) out.push_back(name);
    return out;
  }
  std::string describe() const override { return "fixed"; }

 private:
  std::map<std::string, std::vector<float>> data_;
  std::map<std::string, StoredTensor, std::less<>> tensors_;
};

}  // namespace cardinal::testing
