// Damaged, malicious and unsupported models: an error that says what is wrong, never a crash.
#include <catch2/catch.hpp>

#include "tests/import/model_builder.h"

using namespace cardinal::testing;

namespace {

const std::string kModels = SOURCE_ROOT "/tests/import/models/";

void check_says(const std::string& outcome, const std::string& part) {
  INFO(outcome);
  CHECK(outcome.find("error: ") != std::string::npos);
  CHECK(outcome.find(part) != std::string::npos);
}

// image -> conv -> y, to be spoilt.
ModelBuilder small_model() {
  ModelBuilder model;
  model.input("x", {1, 3, 8, 8});
  model.weight("w", {4, 3, 3, 3});
  model.node("Conv", {"x", "w"}, "y");
  model.output("y");
  return model;
}

}  // namespace

TEST_CASE("a truncated model is refused wherever it is cut") {
  for (const char* name : {"old", "channels_last"}) {
    std::string bytes = read_text(kModels + name + ".onnx");
    for (size_t size = 0; size < bytes.size(); size += 7) {
      INFO(name << " cut at " << size);
      CHECK(import_bytes(bytes.substr(0, size)).find("error: ") != std::string::npos);
    }
  }
}

TEST_CASE("a model with a damaged byte is imported or refused") {
  for (const char* name : {"old", "shuffle", "pixels"}) {
    std::string bytes = read_text(kModels + name + ".onnx");
    for (size_t at = 0; at < bytes.size(); at += 3) {
      for (char flip : {'\x01', '\x80', '\x7f'}) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ flip);
        CHECK(!import_bytes(damaged).empty());
      }
    }
  }
}

TEST_CASE("what is not a model is refused") {
  check_says(import_bytes(""), "is not an ONNX model");
  check_says(import_bytes("network x { input y: f32[1, 3, 8, 8] }"), "is not an ONNX model");
  check_says(import_bytes(onnx::ModelProto().SerializeAsString()), "is not an ONNX model");
  ModelBuilder model;
  check_says(model.outcome(), "the model has no outputs");
}

TEST_CASE("graphs that cannot be computed are refused") {
  ModelBuilder cycle = small_model();
  cycle.node("Relu", {"b"}, "a");
  cycle.node("Relu", {"a"}, "b");
  check_says(cycle.outcome(), "the graph has a cycle through Relu 'the_a'");

  ModelBuilder missing = small_model();
  missing.node("Conv", {"y", "lost"}, "z");
  check_says(missing.outcome(), "Conv 'the_z' reads 'lost', which is neither an input nor an initializer");

  ModelBuilder twice = small_model();
  twice.node("Relu", {"x"}, "y");
  check_says(twice.outcome(), "the value 'y' is made twice");

  ModelBuilder future = small_model();
  future.proto.mutable_opset_import(0)->set_version(99);
  check_says(future.outcome(), "the model needs opset 99, expected 1 to 27");

  ModelBuilder renamed = small_model();
  renamed.output("nothing");
  check_says(renamed.outcome(), "no node makes the output 'nothing'");
}

TEST_CASE("tensors whose data do not fit their shapes are refused") {
  ModelBuilder huge = small_model();
  huge.graph().mutable_initializer(0)->set_dims(0, int64_t{1} << 40);
  check_says(huge.outcome(), "initializer 'w': it has a dimension of 1099511627776, expected 0 to 16777216");

  ModelBuilder large = small_model();
  for (int i = 0; i < 4; ++i) large.graph().mutable_initializer(0)->set_dims(i, 1 << 20);
  check_says(large.outcome(), "elements or more, expected at most");

  ModelBuilder negative = small_model();
  negative.graph().mutable_initializer(0)->set_dims(0, -4);
  check_says(negative.outcome(), "it has a dimension of -4");

  ModelBuilder shorter = small_model();
  shorter.graph().mutable_initializer(0)->mutable_raw_data()->resize(100);
  check_says(shorter.outcome(), "it has 100 bytes of data, its shape needs 432");

  ModelBuilder text = small_model();
  text.graph().mutable_initializer(0)->set_data_type(onnx::TensorProto::STRING);
  check_says(text.outcome(), "its elements have type 8, expected floats or integers");

  ModelBuilder vast = small_model();
  auto* dim =
      vast.graph().mutable_input(0)->mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(2);
  dim->set_dim_value(int64_t{1} << 50);
  check_says(vast.outcome(), "input 'x': its ");
}

TEST_CASE("data outside the model's directory are not read") {
  for (const char* location : {"/etc/passwd", "../secret", "a/b", "", ".."}) {
    ModelBuilder model = small_model();
    auto* tensor = model.graph().mutable_initializer(0);
    tensor->clear_raw_data();
    tensor->set_data_location(onnx::TensorProto::EXTERNAL);
    auto* entry = tensor->add_external_data();
    entry->set_key("location");
    entry->set_value(location);
    check_says(model.outcome(), "only files beside the model are read");
  }
  ModelBuilder far = small_model();
  auto* tensor = far.graph().mutable_initializer(0);
  tensor->clear_raw_data();
  tensor->set_data_location(onnx::TensorProto::EXTERNAL);
  for (auto [key, value] : {std::pair("location", "model.onnx"), {"offset", "18446744073709551615"}}) {
    auto* entry = tensor->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  check_says(far.outcome(), "is the file truncated?");
}

TEST_CASE("everything unsupported is listed at once, by op and node") {
  ModelBuilder model = small_model();
  model.node("NonMaxSuppression", {"y"}, "a");
  model.node("NonMaxSuppression", {"x"}, "b");
  text_attribute(model.node("Pad", {"x"}, "c"), "mode", "reflect");
  model.ints("pads", {0, 0, 1, 1, 0, 0, 1, 1});
  model.graph().mutable_node(3)->add_input("pads");
  ints_attribute(model.node("Transpose", {"x"}, "t"), "perm", {0, 1, 3, 2});
  model.weight("w2", {4, 3, 3, 3});
  model.node("Conv", {"t", "w2"}, "d");
  for (const char* name : {"a", "b", "c", "d"}) model.output(name);
  std::string outcome = model.outcome();
  check_says(outcome, "NonMaxSuppression 'the_a', 'the_b': the language has no op for it");
  check_says(outcome, "Pad 'the_c': mode=reflect");
  check_says(outcome, "Conv 'the_d': its operand's axes are in an order that no layer of the language takes");
}

TEST_CASE("layers that do not fit their operands are refused") {
  ModelBuilder channels = small_model();
  channels.graph().mutable_initializer(0)->set_dims(1, 9);
  channels.graph().mutable_initializer(0)->set_dims(2, 1);
  check_says(channels.outcome(), "its operand has 3 channels, its weight [4, 9, 1, 3] with group=1 takes 9");

  ModelBuilder rank = small_model();
  rank.graph().mutable_initializer(0)->clear_dims();
  rank.graph().mutable_initializer(0)->add_dims(108);
  check_says(rank.outcome(), "its weight is [108], expected 4 dimensions");

  ModelBuilder stride = small_model();
  ints_attribute(*stride.graph().mutable_node(0), "strides", {0, 1});
  check_says(stride.outcome(), "stride must be at least 1, got 0");

  ModelBuilder pads = small_model();
  ints_attribute(*pads.graph().mutable_node(0), "pads", {1, 1});
  check_says(pads.outcome(), "pads has 2 numbers for 2 axes");

  ModelBuilder size = small_model();
  size.ints("size", {7, -1});
  size.node("Reshape", {"y", "size"}, "z");
  size.output("z");
  check_says(size.outcome(), "it makes [7, -1] of [1, 4, 6, 6]");

  ModelBuilder broadcast = small_model();
  broadcast.weight("v", {1, 4, 6, 6}).mutable_raw_data()->replace(0, 4, "abcd");
  broadcast.node("Add", {"y", "v"}, "z");
  broadcast.output("z");
  check_says(broadcast.outcome(), "its constant [1, 4, 6, 6] is neither one number nor one for each channel");
}
