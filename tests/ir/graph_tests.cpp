#include "ir/graph.h"

#include <catch2/catch.hpp>

#include "ir/verifier.h"
#include "tests/ir/fixtures.h"

using namespace cardinal;
using namespace cardinal::testing;

namespace {

Conv pointwise(int64_t channels) {
  Conv conv;
  conv.channels = channels;
  return conv;
}

// x -> conv -> relu -> y, with a second convolution that nothing uses.
Graph small_graph() {
  Graph graph;
  graph.name = "small";
  graph.source = "small.nn";
  NodeId x = graph.add(Input{DType::f32, {1, 4, 5, 5}}, {}, "x");
  NodeId w = graph.add(Weight{{8, 4, 1, 1}, Role::kernel}, {}, "conv.weight");
  NodeId conv = graph.add(pointwise(8), {x, w}, "conv", {1, 2, 3, 4});
  NodeId unused = graph.add(Weight{{2, 4, 1, 1}, Role::kernel}, {}, "unused.weight");
  graph.add(pointwise(2), {x, unused}, "unused");
  graph.add(Output{}, {graph.add(Relu{}, {conv})}, "y");
  return graph;
}

std::string refused(Graph& graph, OpAttrs op, std::vector<NodeId> operands, std::string name = {}) {
  auto added = graph.try_add(std::move(op), std::move(operands), std::move(name));
  const OpError* error = std::get_if<OpError>(&added);
  return error ? error->message : "accepted";
}

}  // namespace

TEST_CASE("value numbering returns the node that computes the same", "[graph]") {
  Graph graph;
  NodeId x = graph.add(Input{DType::f32, {1, 4, 5, 5}}, {}, "x");
  NodeId relu = graph.add(Relu{}, {x}, "first");
  CHECK(graph.add(Relu{}, {x}, "second") == relu);
  CHECK(graph[relu].name == "first");
  CHECK(graph.add(Relu6{}, {x}) != relu);
  CHECK(graph.add(LeakyRelu{0.1}, {x}) != graph.add(LeakyRelu{0.2}, {x}));
  CHECK(graph.add(LeakyRelu{0.1}, {x}) == graph.add(LeakyRelu{0.1}, {x}));
  CHECK(graph.add(Add{}, {x, relu}) != graph.add(Add{}, {relu, x}));
  NodeId w = graph.add(Weight{{4}, Role::bias}, {}, "w");
  CHECK(graph.add(Weight{{4}, Role::bias}, {}, "w") == w);
  CHECK(graph.add(Weight{{4}, Role::bias}, {}, "v") != w);
  CHECK(graph.add(Output{}, {x}, "a") != graph.add(Output{}, {x}, "b"));
}

TEST_CASE("names of inputs, weights and outputs", "[graph]") {
  Graph graph;
  NodeId x = graph.add(Input{DType::f32, {1, 4}}, {}, "x");
  graph.add(Output{}, {x}, "y");
  graph.add(Weight{{4}, Role::bias}, {}, "w");
  CHECK(refused(graph, Input{DType::f32, {1, 4}}, {}, "x") == "there is already an input named 'x'");
  CHECK(refused(graph, Output{}, {x}, "y") == "there is already an output named 'y'");
  CHECK(refused(graph, Output{}, {x}, "x") == "accepted");
  CHECK(refused(graph, Weight{{5}, Role::bias}, {}, "w") ==
        "weight 'w' is [5] here but [4] where it is first used");
  CHECK(refused(graph, Weight{{4}, Role::mean}, {}, "w") ==
        "weight 'w' is [4] here but [4] where it is first used, in another role");
  CHECK(refused(graph, Input{DType::f32, {1, 4}}, {}) == "input needs a name");
  CHECK(refused(graph, Weight{{4}, Role::mean}, {}) == "weight needs a name");
  CHECK(refused(graph, Output{}, {x}) == "output needs a name");
}

TEST_CASE("outputs end the graph, parameters are constants", "[graph]") {
  Graph graph;
  NodeId x = graph.add(Input{DType::f32, {8, 4, 1, 1}}, {}, "x");
  NodeId y = graph.add(Output{}, {x}, "y");
  CHECK(refused(graph, Relu{}, {y}) == "output 'y' cannot be an operand");
  CHECK(refused(graph, pointwise(8), {x, x}) ==
        "operand 1 of conv is a parameter and must depend on weights only, not on an input");
  NodeId v = graph.add(Weight{{8}, Role::scale}, {}, "v");
  CHECK(refused(graph, FoldScale{}, {v, v, x}) ==
        "operand 2 of fold_scale is a parameter and must depend on weights only, not on an input");
  // The operands of an epilogue are not parameters.
  Conv with_residual = pointwise(8);
  with_residual.epilogue = {{EpilogueStep::Kind::add, {}}};
  NodeId w = graph.add(Weight{{8, 4, 1, 1}, Role::kernel}, {}, "w");
  NodeId residual = graph.add(Input{DType::f32, {8, 8, 1, 1}}, {}, "r");
  CHECK(refused(graph, with_residual, {x, w, residual}) == "accepted");
}

TEST_CASE("constants are what depends on weights only", "[graph]") {
  Graph graph;
  NodeId x = graph.add(Input{DType::f32, {1, 4, 5, 5}}, {}, "x");
  NodeId v = graph.add(Weight{{8}, Role::scale}, {}, "v");
  NodeId w = graph.add(Weight{{8, 4, 1, 1}, Role::kernel}, {}, "w");
  NodeId folded = graph.add(FoldScale{}, {v, v, w});
  NodeId conv = graph.add(pointwise(8), {x, folded});
  NodeId rank4 = graph.add(Output{}, {w}, "y");
  CHECK(graph[v].is_constant);
  CHECK(graph[folded].is_constant);
  CHECK_FALSE(graph[x].is_constant);
  CHECK_FALSE(graph[conv].is_constant);
  CHECK_FALSE(graph[rank4].is_constant);
  CHECK(node_flops(graph, folded) == 0);
  CHECK(node_bytes(graph, folded) == 0);
  CHECK(node_flops(graph, conv) == 2 * 4 * 8 * 25);
  CHECK(node_bytes(graph, conv) == 4 * (4 * 25 + 8 * 4 + 8 * 25));
}

TEST_CASE("queries", "[graph]") {
  Graph graph = small_graph();
  CHECK(graph.ids().size() == graph.size());
  CHECK(graph.inputs() == std::vector<NodeId>{NodeId(0)});
  CHECK(graph.weights() == std::vector<NodeId>{NodeId(1), NodeId(3)});
  CHECK(graph.outputs() == std::vector<NodeId>{NodeId(6)});
  CHECK(graph.use_counts() == std::vector<uint32_t>{2, 1, 1, 1, 0, 1, 0});
  CHECK(live_nodes(graph) == std::vector<bool>{true, true, true, false, false, true, true});
  CHECK(to_string(graph.operand_types(NodeId(2))[1]) == "f32[8, 4, 1, 1]");
}

TEST_CASE("rebuild drops dead nodes and keeps names and places", "[graph]") {
  Graph graph = small_graph();
  Graph copy = rebuild(graph, [](Rebuilder& rebuilder, NodeId id) { return rebuilder.copy(id); });
  CHECK(copy.name == "small");
  CHECK(copy.source == "small.nn");
  REQUIRE(copy.size() == 5);
  CHECK(copy[NodeId(2)].name == "conv");
  CHECK(copy[NodeId(2)].where == SourceLocation{1, 2, 3, 4});
  CHECK(copy[NodeId(3)].is<Relu>());
  CHECK(verify(copy).empty());
}

TEST_CASE("a rule may replace a node", "[graph]") {
  Graph graph = small_graph();
  Graph replaced = rebuild(graph, [](Rebuilder& rebuilder, NodeId id) {
    const Node& node = rebuilder.old[id];
    if (!node.is<Relu>()) return rebuilder.copy(id);
    return rebuilder.result.add(Gelu{}, rebuilder.mapped_operands(id), node.name, node.where);
  });
  CHECK(replaced[NodeId(3)].is<Gelu>());
  CHECK(replaced[NodeId(3)].operands == std::vector<NodeId>{NodeId(2)});
}

TEST_CASE("the verifier finds what breaks an invariant", "[graph]") {
  Graph graph = small_graph();
  REQUIRE(verify(graph).empty());
  std::vector<Node> nodes(graph.nodes().begin(), graph.nodes().end());
  auto only_problem = [](const std::vector<Node>& broken) {
    Diagnostics problems = verify(broken);
    REQUIRE(problems.list().size() == 1);
    return problems.list()[0].message;
  };
  SECTION("type") {
    nodes[5].type.shape = {1, 8, 5, 6};
    nodes.erase(nodes.begin() + 6);
    nodes.push_back({Output{}, {NodeId(2)}, nodes[2].type, "y"});
    CHECK(only_problem(nodes) ==
          "node 5 (relu): its type is f32[1, 8, 5, 6] but the shape rule infers f32[1, 8, 5, 5]");
  }
  SECTION("open batch") {
    nodes[0].op = Input{DType::f32, nodes[0].type.shape, Layout::nchw, true};
    CHECK(only_problem(nodes) ==
          "node 6 (output y): an input leaves the batch open, so open_batch must be true");
    nodes[6].op = Output{Layout::nchw, true};
    CHECK(verify(nodes).empty());
    nodes[0].op = Input{DType::f32, nodes[0].type.shape};
    CHECK(only_problem(nodes) == "node 6 (output y): open_batch is true, but no input leaves the batch open");
  }
  SECTION("operand order") {
    nodes[2].operands[0] = NodeId(5);
    CHECK(only_problem(nodes) == "node 2 (conv conv): operand 5 does not precede it");
  }
  SECTION("operand out of range") {
    nodes[5].operands[0] = NodeId(99);
    CHECK(only_problem(nodes) == "node 5 (relu): operand 99 does not precede it");
  }
  SECTION("constancy") {
    nodes[5].is_constant = true;
    CHECK(only_problem(nodes) == "node 5 (relu): it is marked constant but is not constant");
  }
  SECTION("shape rule") {
    nodes[2].op = pointwise(9);
    CHECK(only_problem(nodes) == "node 2 (conv conv): the kernel must be [9, 4, 1, 1], got f32[8, 4, 1, 1]");
  }
  SECTION("duplicate name") {
    nodes[3].name = "conv.weight";
    CHECK(only_problem(nodes) == "node 3 (weight conv.weight): its name is taken");
  }
  SECTION("missing name") {
    nodes[6].name = "";
    CHECK(only_problem(nodes) == "node 6 (output): it needs a name");
  }
  SECTION("no output") {
    nodes.pop_back();
    CHECK(only_problem(nodes) == "the network has no output");
  }
}
