#include "tests/import/model_builder.h"

#include "compiler/import/import.h"

namespace cardinal::testing {

ModelBuilder::ModelBuilder() {
  proto.set_ir_version(8);
  proto.add_opset_import()->set_version(13);
  graph().set_name("built");
}

void ModelBuilder::input(const std::string& name, std::initializer_list<int64_t> dims) {
  auto* info = graph().add_input();
  info->set_name(name);
  auto* type = info->mutable_type()->mutable_tensor_type();
  type->set_elem_type(onnx::TensorProto::FLOAT);
  type->mutable_shape();
  for (int64_t dim : dims) type->mutable_shape()->add_dim()->set_dim_value(dim);
}

void ModelBuilder::output(const std::string& name) { graph().add_output()->set_name(name); }

onnx::TensorProto& ModelBuilder::weight(const std::string& name, std::initializer_list<int64_t> dims) {
  auto* tensor = graph().add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(onnx::TensorProto::FLOAT);
  int64_t elements = 1;
  for (int64_t dim : dims) {
    tensor->add_dims(dim);
    elements *= dim;
  }
  tensor->set_raw_data(std::string(static_cast<size_t>(elements) * sizeof(float), '\0'));
  return *tensor;
}

void ModelBuilder::ints(const std::string& name, const std::vector<int64_t>& values) {
  auto* tensor = graph().add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(onnx::TensorProto::INT64);
  tensor->add_dims(static_cast<int64_t>(values.size()));
  for (int64_t value : values) tensor->add_int64_data(value);
}

onnx::NodeProto& ModelBuilder::node(const std::string& op, std::initializer_list<std::string> inputs,
                                    const std::string& output) {
  auto* made = graph().add_node();
  made->set_op_type(op);
  made->set_name("the_" + output);
  for (const std::string& name : inputs) made->add_input(name);
  made->add_output(output);
  return *made;
}

std::string ModelBuilder::outcome() const { return import_bytes(proto.SerializeAsString()); }

namespace {

onnx::AttributeProto& attribute(onnx::NodeProto& node, const std::string& name,
                                onnx::AttributeProto::AttributeType type) {
  auto* made = node.add_attribute();
  made->set_name(name);
  made->set_type(type);
  return *made;
}

}  // namespace

void int_attribute(onnx::NodeProto& node, const std::string& name, int64_t value) {
  attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}

void ints_attribute(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  auto& made = attribute(node, name, onnx::AttributeProto::INTS);
  for (int64_t value : values) made.add_ints(value);
}

void text_attribute(onnx::NodeProto& node, const std::string& name, const std::string& value) {
  attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}

std::string import_bytes(const std::string& bytes) {
  static const ScratchDirectory scratch;
  write_text(scratch.file("model.onnx"), bytes);
  Result<ImportedModel> model = import_onnx(scratch.file("model.onnx"), {"net", {}, false});
  return model ? model->source : model.error().render(SourceMap());
}

}  // namespace cardinal::testing
