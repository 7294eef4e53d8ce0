#include "compiler/import/patterns.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "compiler/import/attributes.h"
#include "compiler/import/fold_constants.h"

namespace cardinal::onnx_import {

namespace {

void fold_constant_nodes(OnnxGraph& graph) {
  std::erase_if(graph.nodes, [&](const OnnxNode& node) {
    std::vector<ConstantPtr> operands;
    for (const std::string& name : node.inputs) {
      auto found = graph.constants.find(name);
      if (found == graph.constants.end() && !name.empty()) return false;
      operands.push_back(name.empty() ? nullptr : found->second);
    }
    ConstantPtr folded = node.outputs.empty() ? nullptr : fold_node(node, operands);
    if (!folded) return false;
    graph.constants.insert_or_assign(node.outputs[0], folded);
    return true;
  });
}

void remove_dead_nodes(OnnxGraph& graph) {
  std::set<std::string_view> needed(graph.outputs.begin(), graph.outputs.end());
  std::vector<bool> live(graph.nodes.size(), false);
  for (size_t i = live.size(); i-- > 0;) {
    const OnnxNode& node = graph.nodes[i];
    live[i] = std::any_of(node.outputs.begin(), node.outputs.end(),
                          [&](const std::string& name) { return !name.empty() && needed.contains(name); });
    if (live[i]) needed.insert(node.inputs.begin(), node.inputs.end());
  }
  std::vector<OnnxNode> kept;
  for (size_t i = 0; i < live.size(); ++i)
    if (live[i]) kept.push_back(std::move(graph.nodes[i]));
  graph.nodes = std::move(kept);
}

bool is_near(double a, double b) { return std::abs(a - b) <= 1e-4 * std::max(1e-3, std::abs(b)); }

// A value as constant * factors[0] * factors[1].
struct Product {
  double constant = 1;
  std::vector<std::string> factors;
};

class Matcher {
 public:
  explicit Matcher(OnnxGraph& graph) : graph_(graph) {
    for (const OnnxNode& node : graph.nodes)
      for (const std::string& output : node.outputs) makers_.emplace(output, &node);
  }

  void run() {
    for (OnnxNode& node : graph_.nodes) {
      if (node.outputs.size() != 1) continue;
      if (node.op_type == "Add")
        match_layer_norm(node);
      else if (node.op_type == "Mul" || node.op_type == "Div")
        match_product(node);
    }
  }

 private:
  const OnnxNode* maker(const std::string& name, std::string_view op) const {
    auto found = makers_.find(name);
    return found != makers_.end() && found->second->op_type == op ? found->second : nullptr;
  }
  ConstantPtr constant(const std::string& name) const {
    auto found = graph_.constants.find(name);
    return found == graph_.constants.end() ? nullptr : found->second;
  }
  std::optional<double> number(const std::string& name) const {
    ConstantPtr known = constant(name);
    return known && known->elements() == 1 ? uniform_value(*known) : std::nullopt;
  }

  // x of `x op number`, either way round.
  std::optional<std::string> beside(const std::string& name, std::string_view op, double wanted) const {
    const OnnxNode* node = maker(name, op);
    if (!node || node->inputs.size() != 2) return std::nullopt;
    for (size_t i = 0; i < 2; ++i)
      if (auto k = number(node->inputs[i]); k && is_near(*k, wanted)) return node->inputs[1 - i];
    return std::nullopt;
  }
  std::optional<std::string> operand_of(const std::string& name, std::string_view op) const {
    const OnnxNode* node = maker(name, op);
    return node && !node->inputs.empty() ? std::optional(node->inputs[0]) : std::nullopt;
  }

  // The ways to see a value as a product of at most two factors.
  std::vector<Product> products(const std::string& name, int depth) const {
    std::vector<Product> out{{1, {name}}};
    if (auto k = number(name)) return {{*k, {}}};
    const OnnxNode* node = maker(name, "Mul");
    bool divides = !node;
    if (divides) node = maker(name, "Div");
    if (!node || node->inputs.size() != 2 || depth == 0) return out;
    if (divides) {
      auto k = number(node->inputs[1]);
      if (!k || *k == 0) return out;
      for (Product& product : products(node->inputs[0], depth - 1)) {
        product.constant /= *k;
        out.push_back(std::move(product));
      }
      return out;
    }
    for (const Product& a : products(node->inputs[0], depth - 1))
      for (const Product& b : products(node->inputs[1], depth - 1)) {
        Product both{a.constant * b.constant, a.factors};
        both.factors.insert(both.factors.end(), b.factors.begin(), b.factors.end());
        if (both.factors.size() <= 2) out.push_back(std::move(both));
      }
    return out;
  }

  void match_product(OnnxNode& node) {
    constexpr int kDepth = 3;  // 0.5 * x * (...), whichever way round
    for (const Product& product : products(node.outputs[0], kDepth)) {
      for (size_t i = 0; i < product.factors.size(); ++i) {
        const std::string& gate = product.factors[i];
        if (product.factors.size() == 1 && match_hard_sigmoid(node, gate, product.constant)) return;
        if (product.factors.size() == 2 && match_gate(node, product.factors[1 - i], gate, product.constant))
          return;
      }
    }
  }

  void replace(OnnxNode& node, std::string_view op, const std::string& x,
               std::map<std::string, Attribute, std::less<>> attributes = {}) {
    node.op_type = op;
    node.inputs = {x};
    node.attributes = std::move(attributes);
  }

  // x of min(max(x + 3, 0), 6).
  std::optional<std::string> hard_gate(const std::string& name) const {
    const OnnxNode* clip = maker(name, "Clip");
    if (!clip) return std::nullopt;
    auto bound = [&](size_t input, std::string_view attribute) -> std::optional<double> {
      if (!clip->input(input).empty()) return number(clip->input(input));
      return has_attribute(*clip, attribute) ? std::optional(float_attribute(*clip, attribute, 0))
                                             : std::nullopt;
    };
    if (bound(1, "min") != 0.0 || bound(2, "max") != 6.0) return std::nullopt;
    return beside(clip->inputs[0], "Add", 3);
  }

  bool match_hard_sigmoid(OnnxNode& node, const std::string& gate, double constant) {
    auto x = hard_gate(gate);
    if (!x || !is_near(constant, 1.0 / 6)) return false;
    replace(node, "HardSigmoid", *x, {{"alpha", 1.0F / 6}, {"beta", 0.5F}});
    return true;
  }

  // constant * x * gate(x).
  bool match_gate(OnnxNode& node, const std::string& x, const std::string& gate, double constant) {
    auto found = [&](bool matches, std::string_view op) {
      if (matches) replace(node, op, x);
      return matches;
    };
    if (is_near(constant, 1)) {
      if (found(operand_of(gate, "Sigmoid") == x, "Silu")) return true;
      const OnnxNode* hard = maker(gate, "HardSigmoid");
      bool is_usual = hard && is_near(float_attribute(*hard, "alpha", 0.2), 1.0 / 6) &&
                      float_attribute(*hard, "beta", 0.5) == 0.5;
      if (found(is_usual && hard->inputs[0] == x, "HardSwish")) return true;
      auto inner = operand_of(gate, "Tanh");
      return found(inner && operand_of(*inner, "Softplus") == x, "Mish");
    }
    if (is_near(constant, 1.0 / 6)) return found(hard_gate(gate) == x, "HardSwish");
    if (!is_near(constant, 0.5)) return false;
    auto inner = beside(gate, "Add", 1);
    if (!inner) return false;
    if (auto scaled = operand_of(*inner, "Erf"); scaled && is_scaled(*scaled, x, M_SQRT1_2))
      return found(true, "Gelu");
    auto curve = operand_of(*inner, "Tanh");
    if (!curve || !is_gelu_curve(*curve, x)) return false;
    replace(node, "Gelu", x, {{"approximate", std::string("tanh")}});
    return true;
  }

  bool is_scaled(const std::string& name, const std::string& x, double factor) const {
    constexpr int kDepth = 1;
    for (const Product& product : products(name, kDepth))
      if (product.factors == std::vector{x} && is_near(product.constant, factor)) return true;
    return false;
  }

  // sqrt(2 / pi) * (x + 0.044715 * x^3): Hendrycks and Gimpel 2016.
  bool is_gelu_curve(const std::string& name, const std::string& x) const {
    for (const Product& product : products(name, 1)) {
      if (product.factors.size() != 1 || !is_near(product.constant, std::sqrt(2 / M_PI))) continue;
      const OnnxNode* sum = maker(product.factors[0], "Add");
      if (!sum) continue;
      for (size_t i = 0; i < 2; ++i) {
        if (sum->inputs[i] != x) continue;
        for (const Product& cubic : products(sum->inputs[1 - i], 1)) {
          const OnnxNode* power = cubic.factors.size() == 1 ? maker(cubic.factors[0], "Pow") : nullptr;
          if (power && power->inputs[0] == x && number(power->inputs[1]) == 3.0 &&
              is_near(cubic.constant, 0.044715))
            return true;
        }
      }
    }
    return false;
  }

  // (x - mean) / sqrt(mean((x - mean)^2) + eps) * weight + bias, the means over the last axis.
  void match_layer_norm(OnnxNode& node) {
    for (size_t i = 0; i < 2 && node.inputs.size() == 2; ++i) {
      if (!constant(node.inputs[i])) continue;
      const OnnxNode* scale = maker(node.inputs[1 - i], "Mul");
      for (size_t j = 0; scale && j < 2; ++j) {
        if (!constant(scale->inputs[j])) continue;
        const OnnxNode* quotient = maker(scale->inputs[1 - j], "Div");
        if (quotient && match_normalised(node, *quotient, scale->inputs[j], node.inputs[i])) return;
      }
    }
  }

  bool is_last_axis_mean(const OnnxNode* mean) const {
    if (!mean) return false;
    ConstantPtr axes = constant(mean->input(1));
    std::vector<int64_t> list = axes ? axes->ints : ints_attribute(*mean, "axes");
    return list == std::vector<int64_t>{-1} && int_attribute(*mean, "keepdims", 1) == 1;
  }

  bool match_normalised(OnnxNode& node, const OnnxNode& quotient, std::string weight, std::string bias) {
    const OnnxNode* centred = maker(quotient.inputs[0], "Sub");
    const OnnxNode* root = maker(quotient.inputs[1], "Sqrt");
    const OnnxNode* variance = root ? maker(root->inputs[0], "Add") : nullptr;
    if (!centred || !variance) return false;
    auto eps = number(variance->inputs[1]);
    const OnnxNode* mean = maker(centred->inputs[1], "ReduceMean");
    const OnnxNode* spread = maker(variance->inputs[0], "ReduceMean");
    if (!eps || !is_last_axis_mean(mean) || !is_last_axis_mean(spread)) return false;
    const std::string& difference = quotient.inputs[0];
    const OnnxNode* square = maker(spread->inputs[0], "Pow");
    bool is_square = square && square->inputs[0] == difference && number(square->inputs[1]) == 2.0;
    if (const OnnxNode* product = maker(spread->inputs[0], "Mul"))
      is_square = product->inputs == std::vector{difference, difference};
    if (!is_square || mean->inputs[0] != centred->inputs[0]) return false;
    std::string x = centred->inputs[0];
    replace(node, "LayerNormalization", x, {{"axis", int64_t{-1}}, {"epsilon", static_cast<float>(*eps)}});
    node.inputs = {x, std::move(weight), std::move(bias)};
    return true;
  }

  OnnxGraph& graph_;
  std::map<std::string, const OnnxNode*, std::less<>> makers_;
};

}  // namespace

void simplify_graph(OnnxGraph& graph) {
  fold_constant_nodes(graph);
  Matcher(graph).run();
  remove_dead_nodes(graph);
}

}  // namespace cardinal::onnx_import
