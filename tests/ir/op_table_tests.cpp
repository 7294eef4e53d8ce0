// What must hold for every op in the table, a new one included.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "ir/text.h"
#include "ir/verifier.h"
#include "tests/ir/fixtures.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

constexpr int64_t kChannels = 32;

AttrValue ints(std::vector<int64_t> values) {
  AttrValue::List list;
  for (int64_t value : values) list.push_back({value});
  return {std::move(list)};
}

// A value for the field other than its default, by its type.
AttrValue sample_value(const FieldInfo& field) {
  std::string_view type = field.type;
  auto word = [](const char* text) { return AttrValue{std::string(text)}; };
  if (type == attr_type_name<int64_t>())
    return {field.name == "channels" ? kChannels : field.name == "kernel" ? int64_t{3} : int64_t{2}};
  if (type == attr_type_name<double>()) return {0.375};
  if (type == attr_type_name<bool>()) return {!std::get<bool>(field.default_value.value)};
  if (type == attr_type_name<Pair>()) return field.is_required ? ints({3, 2}) : ints({2, 1});
  if (type == attr_type_name<Padding>()) return ints({1, 0, 2, 1});
  if (type == attr_type_name<AxisRange>()) return ints({1, 0, 2});
  if (type == attr_type_name<Sides>()) return ints({1, 2});
  if (type == attr_type_name<Factors>()) return {AttrValue::List{{1.5}, {2.0}}};
  if (type == attr_type_name<ResizeMode>()) return word("bilinear");
  if (type == attr_type_name<DepthOrder>()) return word("dcr");
  if (type == attr_type_name<Shape>()) return ints({2, kChannels, 9, 8});
  if (type == attr_type_name<DType>()) return word("f32");
  if (type == attr_type_name<Layout>()) return word("nhwc");
  if (type == attr_type_name<Role>()) return word("variance");
  if (type == attr_type_name<StoredOrder>()) return word("hwio");
  if (type == attr_type_name<FlattenOrder>()) return word("hwc");
  if (type == attr_type_name<Epilogue>())
    return {AttrValue::List{
        word("relu"), word("add"), {AttrValue::List{word("leaky_relu"), {0.5}}}, word("mul")}};
  FAIL("no sample value for attributes of type " << type);
  return {};
}

// An op with its required fields set, and `varied` if given.
OpAttrs sample_op(const OpInfo& info, const FieldInfo* varied) {
  OpAttrs op = make_op(info);
  for (const FieldInfo& field : info.fields) {
    if (!field.is_required && &field != varied) continue;
    std::string error = set_field(op, field.name, sample_value(field));
    INFO(info.name << "." << field.name << ": " << error);
    REQUIRE(error.empty());
  }
  return op;
}

// A graph around the op: inputs of shape `x` (parameters of their own shapes), an output. Empty if x does not
// suit it.
std::optional<Graph> sample_graph(const OpAttrs& op, int tensors, const Shape& x) {
  const OpInfo& info = op_info(op);
  Graph graph;
  graph.name = "sample";
  std::vector<NodeId> operands;
  for (int i = 0; i < tensors; ++i) {
    bool is_parameter = info.constants_from >= 0 && i >= info.constants_from;
    std::string name = fmt::format("operand.{}", i);
    operands.push_back(is_parameter ? graph.add(Weight{{kChannels}, Role::variance}, {}, name)
                                    : graph.add(Input{DType::f32, x}, {}, name));
  }
  if (!operands.empty())
    for (const Parameter& parameter : parameters(op, graph[operands[0]].type)) {
      if (!shape_problem(parameter.shape).empty()) return {};
      operands.push_back(
          graph.add(Weight{parameter.shape, parameter.role}, {}, fmt::format("node.{}", operands.size())));
    }
  OpAttrs bare = op;
  int extra = 0;
  if (Epilogue* epilogue = epilogue_of(bare)) extra = epilogue_operands(*epilogue), epilogue->clear();
  std::vector<TensorType> types;
  for (NodeId id : operands) types.push_back(graph[id].type);
  Inferred result = infer(bare, types);
  if (!std::holds_alternative<TensorType>(result)) return {};
  for (int i = 0; i < extra; ++i)
    operands.push_back(
        graph.add(Input{DType::f32, std::get<TensorType>(result).shape}, {}, fmt::format("epilogue.{}", i)));
  auto added = graph.try_add(op, operands, "node");
  if (const OpError* error = std::get_if<OpError>(&added)) FAIL(info.name << ": " << error->message);
  NodeId node = std::get<NodeId>(added);
  if (std::holds_alternative<Output>(op)) return graph;
  graph.add(Output{}, {graph[node].type.shape.rank() == 4 ? node : graph.add(Input{DType::f32, x}, {}, "z")},
            "y");
  return graph;
}

// Graphs that between them use every field and both ends of the arity.
std::vector<Graph> samples(const OpInfo& info) {
  std::vector<const FieldInfo*> varied{nullptr};
  for (const FieldInfo& field : info.fields)
    if (!field.is_required) varied.push_back(&field);
  std::vector<Graph> out;
  for (const FieldInfo* field : varied) {
    OpAttrs op = sample_op(info, field);
    for (int tensors :
         std::set<int>{info.tensors.min, info.tensors.max < 0 ? info.tensors.min + 2 : info.tensors.max}) {
      std::optional<Graph> graph = sample_graph(op, tensors, {2, kChannels, 9, 8});
      if (!graph) graph = sample_graph(op, tensors, {2, kChannels});
      if (!graph) graph = sample_graph(op, tensors, {2, kChannels, 8, 6});
      INFO(info.name << " with " << (field ? field->name : "defaults") << ": no sample operands fit");
      REQUIRE(graph);
      out.push_back(*std::move(graph));
    }
  }
  return out;
}

// One end alone, which verify() refuses: all ends have to agree.
bool leaves_batch_open(const Graph& graph) {
  return std::any_of(graph.nodes().begin(), graph.nodes().end(), [](const Node& node) {
    return (node.is<Input>() && node.as<Input>()->open_batch) ||
           (node.is<Output>() && node.as<Output>()->open_batch);
  });
}

NodeId node_of(const Graph& graph, const OpInfo& info) {
  for (NodeId id : graph.ids())
    if (op_info(graph[id].op).name == info.name) return id;
  FAIL("no " << info.name);
  return {};
}

}  // namespace

TEST_CASE("op names are unique and found", "[op_table]") {
  std::set<std::string_view> names;
  for (const OpInfo& info : op_table()) {
    CHECK(names.insert(info.name).second);
    CHECK(find_op(info.name) == &info);
    CHECK_FALSE(info.summary.empty());
    CHECK(&op_info(make_op(info)) == &info);
  }
  CHECK(find_op("cnov") == nullptr);
  CHECK(op_table().size() == std::variant_size_v<OpAttrs>);
}

TEST_CASE("every op prints, parses and prints the same", "[op_table]") {
  for (const OpInfo& info : op_table())
    for (const Graph& graph : samples(info)) {
      std::string text = print(graph);
      INFO(text);
      SourceMap sources;
      Result<Graph> parsed = parse_ir(sources, "sample.ir", text);
      INFO((parsed ? "" : parsed.error().render(sources)));
      REQUIRE(parsed);
      CHECK(print(*parsed) == text);
      REQUIRE(parsed->size() == graph.size());
      for (NodeId id : graph.ids()) {
        CHECK((*parsed)[id].op == graph[id].op);
        CHECK((*parsed)[id].name == graph[id].name);
        CHECK((*parsed)[id].is_constant == graph[id].is_constant);
      }
      if (!leaves_batch_open(graph)) CHECK(verify(graph).empty());
    }
}

TEST_CASE("every field tells two nodes apart", "[op_table]") {
  for (const OpInfo& info : op_table())
    for (const FieldInfo& field : info.fields) {
      if (field.is_required) continue;
      CAPTURE(info.name, field.name);
      OpAttrs plain = sample_op(info, nullptr), varied = sample_op(info, &field);
      CHECK_FALSE(plain == varied);
      CHECK(hash_value(plain) != hash_value(varied));
      CHECK(plain == sample_op(info, nullptr));
      CHECK(hash_value(plain) == hash_value(sample_op(info, nullptr)));
      bool is_listed = false;
      for (const FieldValue& value : field_values(varied)) is_listed = is_listed || value.name == field.name;
      CHECK(is_listed);
    }
}

TEST_CASE("every op computes finite values of its type", "[op_table]") {
  for (const OpInfo& info : op_table()) {
    if (info.name == Input::name || info.name == Weight::name) continue;
    for (const Graph& graph : samples(info)) {
      NodeId id = node_of(graph, info);
      std::vector<Tensor> values;
      for (const TensorType& type : graph.operand_types(id)) {
        values.push_back(counting(type.shape));
        for (double& v : values.back().data) v = std::fmod(v, 7) * 0.25 + 0.1;
      }
      Tensor out = run_op(graph[id].op, values);
      INFO(print(graph));
      CHECK(out.type == graph[id].type);
      REQUIRE(out.data.size() == static_cast<size_t>(out.type.shape.elements()));
      for (double v : out.data)
        if (!std::isfinite(v)) FAIL("not finite: " << v);
      CHECK(node_flops(graph, id) >= 0);
    }
  }
}

TEST_CASE("fields are set by name", "[op_table]") {
  OpAttrs op = make_op(*find_op("conv"));
  CHECK(set_field(op, "groups", {int64_t{4}}).empty());
  CHECK(std::get<Conv>(op).groups == 4);
  CHECK(set_field(op, "groups", {true}) == "expected an integer, got true");
  CHECK(set_field(op, "strides", {int64_t{4}}) ==
        "conv has no attribute 'strides'; it has channels, kernel, stride, padding, dilation, groups, bias, "
        "epilogue");
  OpAttrs relu = make_op(*find_op("relu"));
  CHECK(set_field(relu, "x", {true}) == "relu has no attribute 'x'; it has none");
}

TEST_CASE("activations and epilogues are recognised", "[op_table]") {
  CHECK(activation_of(LeakyRelu{0.25}) == Activation{Activation::Kind::leaky_relu, 0.25});
  CHECK(activation_of(Gelu{}) == Activation{Activation::Kind::gelu});
  CHECK_FALSE(activation_of(Softmax{}));
  OpAttrs conv = Conv{}, relu = Relu{};
  REQUIRE(epilogue_of(conv));
  CHECK(epilogue_of(conv) == &std::get<Conv>(conv).epilogue);
  CHECK(epilogue_of(relu) == nullptr);
}
