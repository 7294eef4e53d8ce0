// ONNX models made in a test, right and wrong.
#pragma once

#include <initializer_list>
#include <string>
#include <vector>

#include "ir/result.h"
#include "onnx.pb.h"
#include "tests/runtime/scratch_directory.h"

namespace cardinal::testing {

class ModelBuilder {
 public:
  ModelBuilder();  // opset 13
  onnx::ModelProto proto;
  onnx::GraphProto& graph() { return *proto.mutable_graph(); }

  void input(const std::string& name, std::initializer_list<int64_t> dims);
  void output(const std::string& name);
  onnx::TensorProto& weight(const std::string& name, std::initializer_list<int64_t> dims);  // zeros
  void ints(const std::string& name, const std::vector<int64_t>& values);
  onnx::NodeProto& node(const std::string& op, std::initializer_list<std::string> inputs,
                        const std::string& output);

  // What import says of it: every error, or the source.
  std::string outcome() const;
};

void int_attribute(onnx::NodeProto& node, const std::string& name, int64_t value);
void ints_attribute(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values);
void text_attribute(onnx::NodeProto& node, const std::string& name, const std::string& value);

// The same for the bytes of a file. Never anything but an error or a source.
std::string import_bytes(const std::string& bytes);

}  // namespace cardinal::testing
