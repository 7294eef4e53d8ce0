#include "tests/support/random_graph.h"

#include <fmt/format.h>

#include <random>

#include "ir/interpreter.h"

namespace cardinal::testing {

std::variant<NodeId, OpError> add_layer(Graph& graph, const OpAttrs& op, std::vector<NodeId> tensors,
                                        const std::string& name, const Convention& convention) {
  for (const Parameter& p : parameters(op, graph[tensors[0]].type))
    tensors.push_back(graph.add(weight_of(convention, p), {}, weight_name(convention, name, p)));
  return graph.try_add(op, std::move(tensors), name);
}

namespace {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {
    convention_ =
        &conventions()[static_cast<size_t>(pick(0, static_cast<int64_t>(conventions().size()) - 1))];
  }

  Graph run(int size) {
    graph_.name = "random";
    const bool flat = chance(0.1);
    Shape shape =
        flat ? Shape{pick(1, 3), pick(1, 40)} : Shape{pick(1, 2), pick(1, 40), pick(1, 19), pick(1, 19)};
    Layout layout = !flat && chance(0.3) ? Layout::nhwc : Layout::nchw;
    values_.push_back(graph_.add(Input{DType::f32, shape, layout}, {}, "x"));
    for (int i = 0; i < size; ++i) step(i);
    add_outputs();
    return std::move(graph_);
  }

 private:
  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(random_);
  }
  bool chance(double p) { return std::bernoulli_distribution(p)(random_); }
  NodeId recent() {
    size_t window = std::min<size_t>(values_.size(), 4);
    return values_[values_.size() - 1 - static_cast<size_t>(pick(0, static_cast<int64_t>(window) - 1))];
  }
  const Shape& shape(NodeId id) const { return graph_[id].type.shape; }

  // A value of the same shape as `id`, or `id` itself.
  NodeId like(NodeId id) {
    std::vector<NodeId> matches;
    for (NodeId v : values_)
      if (shape(v) == shape(id)) matches.push_back(v);
    return matches[static_cast<size_t>(pick(0, static_cast<int64_t>(matches.size()) - 1))];
  }

  Conv random_conv(const Shape& in) {
    static constexpr int64_t kWidths[] = {1, 2, 3, 4, 5, 8, 12, 16, 24, 32};
    Conv conv;
    conv.kernel = {pick(1, 4), pick(1, 4)};
    if (chance(0.5)) conv.kernel = {1, 1};
    conv.stride = chance(0.7) ? Pair{1, 1} : Pair{pick(1, 3), pick(1, 3)};
    conv.dilation = chance(0.8) ? Pair{1, 1} : Pair{pick(1, 3), pick(1, 3)};
    conv.bias = chance(0.5);
    if (chance(0.2))
      conv.padding = {Padding::Mode::explicit_, pick(0, 2), pick(0, 2), pick(0, 2), pick(0, 2)};
    if (chance(0.1)) conv.padding = {Padding::Mode::same_upper};
    conv.channels = pick(1, 48);
    if (chance(0.5)) {
      int64_t width = kWidths[pick(0, std::size(kWidths) - 1)];
      if (in.c() % width == 0) {
        conv.groups = in.c() / width;
        conv.channels = conv.groups * (chance(0.6) ? width : pick(1, 6));
      }
    }
    return conv;
  }

  OpAttrs random_activation() {
    static const OpAttrs kAll[] = {
        Relu{},        Relu6{},   LeakyRelu{}, Sigmoid{},       Tanh{},    Silu{},         Hardswish{},
        Hardsigmoid{}, Gelu{},    Gelu{true},  Affine{-0.5, 1}, Dropout{}, Clip{-0.25, 2}, Elu{},
        Selu{},        Celu{0.5}, Softplus{},  Softsign{},      Mish{},    Sqrt{},         Abs{}};
    return kAll[chance(0.5) ? 0 : pick(0, std::size(kAll) - 1)];
  }

  OpAttrs random_group_norm(const Shape& in) {
    const NormWeights weights{0.1, chance(0.8), chance(0.8)};
    if (chance(0.3)) {
      InstanceNorm norm;
      static_cast<NormWeights&>(norm) = weights;
      return norm;
    }
    GroupNorm norm{weights, pick(1, 8)};
    while (in.c() % norm.groups != 0) --norm.groups;
    return norm;
  }

  OpAttrs random_norm(const Shape& in) {
    const bool image = in.rank() == 4;
    if (chance(0.4)) return BatchNorm{1e-5, chance(0.8), chance(0.8)};
    if (chance(0.2)) return Prelu{chance(0.3)};
    if (chance(0.4)) return ChannelScale{};
    // A pixel's channels may be alike or few; eps keeps rounding from being amplified.
    if (chance(0.2)) return ChannelConv{2 * pick(0, 20) + 1};
    if (!image || chance(0.3)) return LayerNorm{0.1, chance(0.8), chance(0.8)};
    if (chance(0.6)) return random_group_norm(in);
    return LocalResponseNorm{pick(1, 9), 0.5, 0.75, 1.5};
  }

  OpAttrs random_pool() {
    PoolWindow window;
    window.kernel = {pick(1, 3), pick(1, 3)};
    window.stride = {pick(0, 2), pick(0, 2)};
    window.padding = {Padding::Mode::explicit_, pick(0, window.kernel.h / 2), pick(0, window.kernel.w / 2), 0,
                      0};
    window.padding.bottom = chance(0.7) ? window.padding.top : pick(0, window.kernel.h / 2);
    window.padding.right = chance(0.7) ? window.padding.left : pick(0, window.kernel.w / 2);
    if (chance(0.3)) window.padding = {Padding::Mode::same_upper};
    window.dilation = chance(0.8) ? Pair{1, 1} : Pair{pick(1, 2), pick(1, 3)};
    window.ceil_mode = chance(0.3);
    if (chance(0.5)) {
      MaxPool pool;
      static_cast<PoolWindow&>(pool) = window;
      return pool;
    }
    AvgPool pool;
    static_cast<PoolWindow&>(pool) = window;
    pool.count_include_pad = chance(0.5);
    return pool;
  }

  OpAttrs random_channel_op(const Shape& in) {
    const int64_t begin = chance(0.5) ? in.c() / 2 / kChannelBlock * kChannelBlock : pick(0, in.c() - 1);
    const int64_t end = chance(0.3) ? 0 : pick(begin + 1, in.c());
    if (chance(0.5)) return Slice{{begin, end, chance(0.8) ? 1 : pick(1, 3)}};
    int64_t groups = pick(1, 6);
    while (in.c() % groups != 0) --groups;
    if (in.rank() == 2 || chance(0.5)) return ChannelShuffle{groups};
    return Shift{{pick(1, 3), pick(1, 3)}, {pick(1, 2), 1}};
  }

  AxisRange random_range(int64_t size) {
    const int64_t begin = pick(0, size - 1);
    return {begin, chance(0.5) ? 0 : pick(begin + 1, size), pick(1, 3)};
  }

  // What makes an image of another size without computing, or between its pixels.
  OpAttrs random_image_op(const Shape& in) {
    const auto order = chance(0.5) ? DepthOrder::crd : DepthOrder::dcr;
    if (chance(0.3))
      return Slice{chance(0.5) ? AxisRange{} : random_range(in.c()), random_range(in.h()),
                   random_range(in.w())};
    if (chance(0.2)) return SpaceToDepth{pick(1, 3), order};
    if (chance(0.3)) return DepthToSpace{pick(1, 3), order};
    if (chance(0.3))
      return Pad{{Padding::Mode::explicit_, pick(-1, 1), 0, 1, 0},
                 chance(0.5) ? 0.0 : 0.5,
                 {pick(-2, 20), pick(-2, 20)}};
    const auto mode = static_cast<ResizeMode>(pick(0, 2));
    if (chance(0.5)) return Resize{{1, 1}, {pick(1, 20), pick(1, 20)}, mode};
    return Resize{{0.5 * static_cast<double>(pick(1, 5)), chance(0.5) ? 2 : 1.25}, {0, 0}, mode};
  }

  OpAttrs random_adaptive_pool() {
    const Pair output{pick(1, 7), pick(1, 7)};
    if (chance(0.2)) return GlobalMaxPool{};
    return chance(0.5) ? OpAttrs(AdaptiveAvgPool{output}) : OpAttrs(AdaptiveMaxPool{output});
  }

  void step(int number) {
    NodeId x = recent();
    std::string name = fmt::format("n{}", number);
    const bool image = shape(x).rank() == 4;
    std::variant<NodeId, OpError> added = OpError{};
    switch (pick(0, image ? 14 : 6)) {
      case 0:
        added = layer(random_activation(), x, name);
        break;
      case 1:
        added = graph_.try_add(chance(0.7)   ? OpAttrs(Add{})
                               : chance(0.5) ? OpAttrs(Max{})
                                             : OpAttrs(Min{}),
                               {x, like(x)}, name);
        break;
      case 2:
        added = chance(0.7) ? graph_.try_add(Mul{}, {x, like(x)}, name) : quotient(x, name);
        break;
      case 3:
        added = chance(0.2) ? with_parameter(x, name) : layer(random_norm(shape(x)), x, name);
        break;
      case 4:
        added = image ? layer(random_conv(shape(x)), x, name)
                      : layer(Linear{pick(1, 40), chance(0.7), {}}, x, name);
        break;
      case 5:
        added = image ? gate(x, name)
                      : graph_.try_add(chance(0.5) ? OpAttrs(Softmax{}) : LogSoftmax{}, {x}, name);
        break;
      case 6:
        added = graph_.try_add(random_channel_op(shape(x)), {x}, name);
        break;
      case 7:
        added = layer(random_pool(), x, name);
        break;
      case 8:
        added = graph_.try_add(Concat{}, {x, like(x), x}, name);
        break;
      case 9:
        added = chance(0.3)
                    ? graph_.try_add(Flatten{chance(0.5) ? FlattenOrder::chw : FlattenOrder::hwc}, {x}, name)
                    : residual(x, name);
        break;
      case 10:
        added = graph_.try_add(chance(0.5) ? random_adaptive_pool() : random_image_op(shape(x)), {x}, name);
        break;
      case 11:
        added = chance(0.4) ? pixel_gate(x, name) : padded(x, name);
        break;
      default:
        added = layer(random_conv(shape(x)), x, name);
        break;
    }
    if (auto* id = std::get_if<NodeId>(&added))
      if (graph_[*id].type.shape.elements() < 40000) values_.push_back(*id);
  }

  // x with a parameter of one value, or of one a channel, or what is computed from it.
  std::variant<NodeId, OpError> with_parameter(NodeId x, const std::string& name) {
    Shape values = shape(x).rank() == 4 ? Shape{1, 1, 1, 1} : Shape{1, 1};
    if (chance(0.7)) values[1] = shape(x).c();
    NodeId p = graph_.add(Weight{values, Role::scale}, {}, name + ".parameter");
    if (chance(0.3)) p = graph_.add(Affine{0.5, 0.25}, {p}, name + ".half");
    if (chance(0.3)) return graph_.try_add(Div{}, {x, p}, name);
    const bool first = chance(0.5);
    return graph_.try_add(chance(0.5) ? OpAttrs(Add{}) : Mul{}, {first ? p : x, first ? x : p}, name);
  }

  // Squeeze-and-excite: x * sigmoid(conv(global_avg_pool(x))).
  std::variant<NodeId, OpError> gate(NodeId x, const std::string& name) {
    NodeId pooled = graph_.add(GlobalAvgPool{}, {x}, name + ".pool");
    Conv conv;
    conv.channels = shape(x).c();
    conv.bias = true;
    NodeId excited = std::get<NodeId>(layer(conv, pooled, name + ".fc"));
    return graph_.try_add(Mul{}, {x, graph_.add(Sigmoid{}, {excited}, name + ".gate")}, name);
  }

  // x / (exp(y) + 1), where y is like x or one number a pixel.
  std::variant<NodeId, OpError> quotient(NodeId x, const std::string& name) {
    const NodeId y = chance(0.5) ? like(x) : graph_.add(ChannelAvgPool{}, {x}, name + ".mean");
    const NodeId power = graph_.add(Exp{}, {graph_.add(Tanh{}, {y}, name + ".tanh")}, name + ".exp");
    return graph_.try_add(Div{}, {x, graph_.add(Affine{1, 1}, {power}, name + ".divisor")}, name);
  }

  // Spatial attention: x times one number a pixel.
  std::variant<NodeId, OpError> pixel_gate(NodeId x, const std::string& name) {
    Conv conv;
    conv.channels = 1;
    NodeId gate = chance(0.7) ? std::get<NodeId>(add_layer(graph_, conv, {x}, name + ".conv"))
                              : graph_.add(ChannelMaxPool{}, {x}, name + ".max");
    if (chance(0.5)) gate = graph_.add(Sigmoid{}, {gate}, name + ".gate");
    return graph_.try_add(Mul{}, {x, gate}, name);
  }

  // A pad, and sometimes something that it can be folded into.
  std::variant<NodeId, OpError> padded(NodeId x, const std::string& name) {
    Pad pad{{Padding::Mode::explicit_, pick(-1, 2), pick(-1, 2), pick(-1, 2), pick(-1, 2)}};
    if (chance(0.6)) pad.padding = {Padding::Mode::explicit_, pick(0, 2), pick(0, 2), pick(0, 2), pick(0, 2)};
    if (chance(0.3)) pad.value = 0.75;
    if (chance(0.5)) x = graph_.add(Relu{}, {x}, name + ".relu");
    const auto result = graph_.try_add(pad, {x}, name + ".pad");
    const NodeId* id = std::get_if<NodeId>(&result);
    if (!id || chance(0.2)) return result;
    return add_layer(graph_, chance(0.5) ? random_conv(shape(*id)) : random_pool(), {*id}, name);
  }

  // relu(bn(conv(x)) + x)
  std::variant<NodeId, OpError> residual(NodeId x, const std::string& name) {
    Conv conv;
    conv.channels = shape(x).c();
    conv.kernel = {3, 3};
    auto y = layer(conv, x, name + ".conv");
    if (auto* error = std::get_if<OpError>(&y)) return *error;
    NodeId norm = std::get<NodeId>(layer(BatchNorm{}, std::get<NodeId>(y), name + ".bn"));
    return graph_.try_add(Relu{}, {graph_.add(Add{}, {norm, x}, name + ".sum")}, name);
  }

  void add_outputs() {
    graph_.add(Output{}, {values_.back()}, "y");
    if (chance(0.3)) {
      NodeId extra = recent();
      Layout layout = shape(extra).rank() == 4 && chance(0.5) ? Layout::nhwc : Layout::nchw;
      graph_.add(Output{layout}, {extra}, "z");
    }
  }

  std::variant<NodeId, OpError> layer(const OpAttrs& op, NodeId x, const std::string& name) {
    return add_layer(graph_, op, {x}, name, *convention_);
  }

  std::mt19937_64 random_;
  const Convention* convention_;  // of the weights
  Graph graph_;
  std::vector<NodeId> values_;
};

// The part of `graph` that computes `results`, as outputs.
Graph with_outputs(const Graph& graph, const std::vector<NodeId>& results, NodeId bypass,
                   NodeId replacement) {
  Graph cut;
  cut.name = graph.name;
  std::vector<NodeId> map(graph.size());
  for (NodeId id : graph.ids()) {
    const Node& node = graph[id];
    if (node.is<Output>()) continue;
    if (id == bypass && bypass != replacement) {
      map[index(id)] = map[index(replacement)];
      continue;
    }
    std::vector<NodeId> operands;
    for (NodeId operand : node.operands) operands.push_back(map[index(operand)]);
    map[index(id)] = cut.add(node.op, std::move(operands), node.name, node.where);
  }
  for (size_t i = 0; i < results.size(); ++i)
    cut.add(Output{}, {map[index(results[i])]}, fmt::format("y{}", i));
  return rebuild(cut, [](Rebuilder& r, NodeId id) { return r.copy(id); });
}

}  // namespace

Graph random_graph(uint64_t seed, int size) { return Generator(seed).run(size); }

std::vector<Tensor> random_inputs(const Graph& graph, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<Tensor> inputs;
  for (NodeId id : graph.inputs()) {
    Tensor tensor(graph[id].type);
    for (double& value : tensor.data) value = normal(random);
    inputs.push_back(std::move(tensor));
  }
  return inputs;
}

Graph minimise(Graph graph, const std::function<bool(const Graph&)>& fails) {
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (NodeId id : graph.ids()) {
      const Node& node = graph[id];
      if (node.is_constant || node.is<Output>() || node.is<Input>()) continue;
      Graph cut = with_outputs(graph, {id}, id, id);
      if (cut.size() < graph.size() && fails(cut)) {
        graph = std::move(cut);
        smaller = true;
        break;
      }
      std::vector<NodeId> results;
      for (NodeId output : graph.outputs()) results.push_back(graph[output].operands[0]);
      for (NodeId operand : node.operands) {
        if (graph[operand].type != node.type || graph[operand].is_constant) continue;
        Graph bypassed = with_outputs(graph, results, id, operand);
        if (bypassed.size() < graph.size() && fails(bypassed)) {
          graph = std::move(bypassed);
          smaller = true;
          break;
        }
      }
      if (smaller) break;
    }
  }
  return graph;
}

}  // namespace cardinal::testing
