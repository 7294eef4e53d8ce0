// Protobuf to OnnxGraph.
#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <set>

#include "compiler/import/tensor_data.h"
#include "compiler/weights/file_weights.h"

namespace cardinal::onnx_import {

int64_t Constant::elements() const { return static_cast<int64_t>(is_float ? floats.size() : ints.size()); }

double Constant::number(int64_t i) const {
  auto at = static_cast<size_t>(i);
  return is_float ? static_cast<double>(floats[at]) : static_cast<double>(ints[at]);
}

const std::string& OnnxNode::input(size_t i) const {
  static const std::string kNone;
  return i < inputs.size() ? inputs[i] : kNone;
}

std::string OnnxNode::describe() const {
  return fmt::format("{} '{}'", op_type, !name.empty() ? name : outputs.empty() ? "" : outputs[0]);
}

namespace {

using Proto = onnx::TensorProto;

// Protobuf's own bound on a message.
constexpr size_t kMaxModelBytes = size_t{2'147'483'647};
constexpr int kMaxNodes = 200'000;
constexpr int64_t kNewestOpset = 27;  // of onnx 1.22

// Names reach error messages and the source that is written.
bool is_name(const std::string& name) { return is_tensor_name(name); }

class Reader {
 public:
  Reader(const std::string& path, const onnx::ModelProto& model)
      : path_(path), proto_(model.graph()), model_(model), tensors_(path) {}

  Result<OnnxGraph> read() {
    graph_.name = proto_.name();
    if (read_opset() && check_names() && read_constants() && read_boundary() && read_nodes() && sort_nodes())
      return std::move(graph_);
    return std::move(problems_);
  }

 private:
  bool fail(const std::string& message) {
    problems_.error({}, fmt::format("{}: {}", path_, message));
    return false;
  }

  bool read_opset() {
    if (!model_.has_graph()) return fail("the model has no graph; is it an ONNX file?");
    if (proto_.node_size() > kMaxNodes)
      return fail(fmt::format("the model has {} nodes, expected at most {}", proto_.node_size(), kMaxNodes));
    constexpr int64_t kFirstWithOpsets = 3;
    bool says = model_.ir_version() < kFirstWithOpsets;
    for (const auto& import : model_.opset_import()) {
      if (!import.domain().empty() && import.domain() != "ai.onnx") continue;
      graph_.opset = import.version();
      says = true;
    }
    if (!says) return fail("the model does not say which opset it needs; is the file truncated?");
    if (graph_.opset < 1 || graph_.opset > kNewestOpset)
      return fail(fmt::format("the model needs opset {}, expected 1 to {}; export it with an opset up to {}",
                              graph_.opset, kNewestOpset, kNewestOpset));
    return true;
  }

  bool check_names() {
    auto check = [this](const std::string& name) {
      return is_name(name) || fail(fmt::format("a name has {} bytes or unprintable ones, expected at most {}",
                                               name.size(), kMaxNameBytes));
    };
    bool good = check(proto_.name());
    for (const auto& node : proto_.node()) {
      good = good && check(node.name()) && check(node.op_type()) && check(node.domain());
      for (const std::string& name : node.input()) good = good && check(name);
      for (const std::string& name : node.output()) good = good && check(name);
    }
    for (const auto& tensor : proto_.initializer()) good = good && check(tensor.name());
    for (const auto& input : proto_.input()) good = good && check(input.name());
    for (const auto& output : proto_.output()) good = good && check(output.name());
    return good;
  }

  bool read_constants() {
    for (const auto& tensor : proto_.initializer()) {
      Result<ConstantPtr> constant = tensors_.read(tensor);
      if (!constant) return fail_with(fmt::format("initializer '{}'", tensor.name()), constant.take_error());
      if (!graph_.constants.emplace(tensor.name(), *constant).second)
        return fail(fmt::format("there are two initializers '{}'", tensor.name()));
    }
    if (proto_.sparse_initializer_size() > 0)
      return fail("the model has sparse initializers, which cannot be imported");
    return true;
  }

  bool fail_with(const std::string& what, const Diagnostics& why) {
    for (const Diagnostic& problem : why.list()) fail(fmt::format("{}: {}", what, problem.message));
    return false;
  }

  bool read_boundary() {
    for (const auto& input : proto_.input()) {
      if (graph_.constants.contains(input.name())) continue;  // IR version 3 lists initializers too
      const auto& type = input.type().tensor_type();
      if (!input.type().has_tensor_type() || !type.has_shape())
        return fail(fmt::format("input '{}' has no shape", input.name()));
      if (type.elem_type() != Proto::FLOAT)
        return fail(fmt::format("input '{}' has elements of type {}, expected float (1); a network takes f32",
                                input.name(), type.elem_type()));
      OnnxInput out{input.name(), {}};
      for (const auto& dim : type.shape().dim()) {
        if (dim.has_dim_value())
          out.dims.emplace_back(dim.dim_value());
        else
          out.dims.emplace_back(dim.dim_param());
      }
      graph_.inputs.push_back(std::move(out));
    }
    for (const auto& output : proto_.output()) graph_.outputs.push_back(output.name());
    return !graph_.outputs.empty() || fail("the model has no outputs");
  }

  std::optional<Attribute> read_attribute(const onnx::AttributeProto& a, const OnnxNode& node) {
    switch (a.type()) {
      case onnx::AttributeProto::INT:
        return a.i();
      case onnx::AttributeProto::FLOAT:
        return a.f();
      case onnx::AttributeProto::STRING:
        return a.s();
      case onnx::AttributeProto::INTS:
        return std::vector<int64_t>(a.ints().begin(), a.ints().end());
      case onnx::AttributeProto::FLOATS:
        return std::vector<float>(a.floats().begin(), a.floats().end());
      case onnx::AttributeProto::STRINGS:
        return std::vector<std::string>(a.strings().begin(), a.strings().end());
      case onnx::AttributeProto::TENSOR: {
        Result<ConstantPtr> constant = tensors_.read(a.t());
        if (constant) return *constant;
        fail_with(fmt::format("attribute {} of {}", a.name(), node.describe()), constant.take_error());
        return std::nullopt;
      }
      default:
        // Bodies of loops and branches; the node that holds them is refused by its type.
        return std::string();
    }
  }

  bool read_nodes() {
    for (const auto& proto : proto_.node()) {
      OnnxNode node{proto.op_type(), proto.name(), {}, {}, {}};
      bool is_standard = proto.domain().empty() || proto.domain() == "ai.onnx";
      if (!is_standard) node.op_type = proto.domain() + "." + node.op_type;
      node.inputs.assign(proto.input().begin(), proto.input().end());
      node.outputs.assign(proto.output().begin(), proto.output().end());
      for (const auto& attribute : proto.attribute()) {
        std::optional<Attribute> value = read_attribute(attribute, node);
        if (!value) return false;
        node.attributes.insert_or_assign(attribute.name(), *std::move(value));
      }
      graph_.nodes.push_back(std::move(node));
    }
    return true;
  }

  // The standard wants the nodes sorted already; what comes in another order is sorted if it can be.
  bool sort_nodes() {
    std::map<std::string_view, size_t> makers;
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      for (const std::string& name : graph_.nodes[i].outputs)
        if (!name.empty() && (graph_.constants.contains(name) || !makers.emplace(name, i).second))
          return fail(fmt::format("the value '{}' is made twice, the second time by {}", name,
                                  graph_.nodes[i].describe()));
    std::set<std::string_view> known;
    for (const OnnxInput& input : graph_.inputs)
      if (makers.contains(input.name) || !known.insert(input.name).second)
        return fail(fmt::format("the value '{}' is both an input and made by a node", input.name));

    std::vector<uint32_t> waits(graph_.nodes.size());
    std::vector<std::vector<size_t>> users(graph_.nodes.size());
    for (size_t i = 0; i < graph_.nodes.size(); ++i)
      for (const std::string& name : graph_.nodes[i].inputs) {
        if (name.empty() || graph_.constants.contains(name) || known.contains(name)) continue;
        auto maker = makers.find(name);
        if (maker == makers.end())
          return fail(
              fmt::format("{} reads '{}', which is neither an input nor an initializer, and which no "
                          "node makes",
                          graph_.nodes[i].describe(), name));
        ++waits[i];
        users[maker->second].push_back(i);
      }
    for (const std::string& name : graph_.outputs)
      if (!makers.contains(name) && !known.contains(name) && !graph_.constants.contains(name))
        return fail(fmt::format("no node makes the output '{}'", name));

    std::set<size_t> ready;  // the first in the file's order goes first
    for (size_t i = 0; i < waits.size(); ++i)
      if (waits[i] == 0) ready.insert(i);
    std::vector<OnnxNode> sorted;
    while (!ready.empty()) {
      size_t i = *ready.begin();
      ready.erase(ready.begin());
      for (size_t user : users[i])
        if (--waits[user] == 0) ready.insert(user);
      sorted.push_back(std::move(graph_.nodes[i]));
    }
    if (sorted.size() != waits.size()) {
      size_t stuck = static_cast<size_t>(
          std::find_if(waits.begin(), waits.end(), [](uint32_t n) { return n > 0; }) - waits.begin());
      return fail(fmt::format("the graph has a cycle through {}", graph_.nodes[stuck].describe()));
    }
    graph_.nodes = std::move(sorted);
    return true;
  }

  const std::string& path_;
  const onnx::GraphProto& proto_;
  const onnx::ModelProto& model_;
  TensorReader tensors_;
  OnnxGraph graph_;
  Diagnostics problems_;
};

}  // namespace

Result<OnnxGraph> read_onnx(const std::string& path) {
  Result<MappedFile> file = MappedFile::open(path);
  if (!file) return file.take_error();
  size_t size = file->bytes().size();
  if (size > kMaxModelBytes)
    return Diagnostics(
        fmt::format("{} has {} bytes, an ONNX file at most {}; save the model with its weights "
                    "as external data",
                    path, size, kMaxModelBytes));
  onnx::ModelProto model;
  google::protobuf::io::ArrayInputStream stream(file->bytes().data(), static_cast<int>(size));
  google::protobuf::io::CodedInputStream coded(&stream);
  coded.SetTotalBytesLimit(static_cast<int>(kMaxModelBytes));
  bool parsed = model.ParseFromCodedStream(&coded) && coded.ConsumedEntireMessage();
  if (!parsed || size == 0)
    return Diagnostics(
        fmt::format("{} is not an ONNX model: its protobuf encoding is damaged or truncated", path));
  return Reader(path, model).read();
}

}  // namespace cardinal::onnx_import
