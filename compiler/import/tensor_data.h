// The elements of a TensorProto, in whichever of its many fields or in a file beside the model they are.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "compiler/import/onnx_graph.h"
#include "compiler/weights/mapped_file.h"
#include "onnx.pb.h"

namespace cardinal::onnx_import {

// Reads tensors; keeps the files beside the model open between them.
class TensorReader {
 public:
  explicit TensorReader(std::string model_path) : model_path_(std::move(model_path)) {}

  // The message of an error is prefixed by the caller with which tensor it is.
  Result<ConstantPtr> read(const onnx::TensorProto& tensor);

 private:
  Result<std::string_view> external_bytes(const onnx::TensorProto& tensor, uint64_t expected);

  std::string model_path_;
  std::map<std::string, std::unique_ptr<MappedFile>> files_;
};

}  // namespace cardinal::onnx_import
