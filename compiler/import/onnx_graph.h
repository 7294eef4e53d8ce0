// An ONNX model as the importer holds it: plain data, checked, in an order in which it can be computed.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "ir/result.h"

namespace cardinal::onnx_import {

// A tensor whose elements are known: an initializer, or what was computed from some. Floats of every width
// are held as f32, integers and booleans as int64.
struct Constant {
  std::vector<int64_t> dims;
  bool is_float = true;
  std::vector<float> floats;
  std::vector<int64_t> ints;

  int64_t elements() const;
  double number(int64_t i) const;  // element i of either kind
};
using ConstantPtr = std::shared_ptr<const Constant>;

using Attribute = std::variant<int64_t, float, std::string, std::vector<int64_t>, std::vector<float>,
                               std::vector<std::string>, ConstantPtr>;

struct OnnxNode {
  std::string op_type, name;
  std::vector<std::string> inputs, outputs;  // names of values; "" for an optional one that is left out
  std::map<std::string, Attribute, std::less<>> attributes;

  // Optional inputs at the end may be missing altogether.
  const std::string& input(size_t i) const;
  // "Conv conv1", for messages; the first output stands for a missing name.
  std::string describe() const;
};

struct OnnxInput {
  std::string name;
  // Of each axis its size, or the symbol that stands for it, "" for an unknown one.
  std::vector<std::variant<int64_t, std::string>> dims;
};

struct OnnxGraph {
  std::string name;
  int64_t opset = 1;
  std::vector<OnnxInput> inputs;
  std::vector<std::string> outputs;
  std::vector<OnnxNode> nodes;  // in order of computation
  std::map<std::string, ConstantPtr, std::less<>> constants;
};

// Reads and checks a model file. Everything that only running a whole framework could do (control flow,
// functions of the model's own) is refused here.
Result<OnnxGraph> read_onnx(const std::string& path);

}  // namespace cardinal::onnx_import
