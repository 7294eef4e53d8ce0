#include "compiler/import/source_writer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "compiler/language/lexer.h"

namespace cardinal::onnx_import {

namespace {

constexpr size_t kWidth = 100;  // of a line, with room for what the formatter indents
constexpr size_t kIndent = 10;  // of a pipe's lines, or of what precedes its first

// The operator that stands for the op, or "".
std::string_view infix(const SourceCall& call) {
  return call.callee == "add" ? "+" : call.callee == "mul" ? "*" : call.callee == "div" ? "/" : "";
}
bool is_infix(const SourceCall& call) { return !infix(call).empty(); }
bool is_head(const SourceCall& call) {
  return call.operands.size() != 1 || !call.loop.empty() || !call.choice.empty();
}

std::map<size_t, size_t> count_uses(std::span<const SourceCall> calls,
                                    std::span<const SourceResult> results) {
  std::map<size_t, size_t> uses;
  for (const SourceCall& call : calls)
    for (size_t operand : call.operands) ++uses[operand];
  for (const SourceResult& result : results) ++uses[result.value];
  return uses;
}

// Calls that make one statement: each takes the one before it, which nothing else does.
using Chain = std::vector<size_t>;

// Ordered by where each ends: what a chain needs has ended before.
std::vector<Chain> make_chains(std::span<const SourceCall> calls, const std::map<size_t, size_t>& uses) {
  std::map<size_t, size_t> open;  // a chain's last value -> its index
  std::vector<Chain> chains;
  for (size_t i = 0; i < calls.size(); ++i) {
    const SourceCall& call = calls[i];
    auto before = is_head(call) ? open.end() : open.find(call.operands[0]);
    size_t chain = chains.size();
    if (before != open.end() && uses.at(before->first) == 1) {
      chain = before->second;
      open.erase(before);
    } else {
      chains.emplace_back();
    }
    chains[chain].push_back(i);
    if (call.loop.empty() && call.choice.empty()) open[call.result] = chain;
  }
  std::sort(chains.begin(), chains.end(), [](const Chain& a, const Chain& b) { return a.back() < b.back(); });
  return chains;
}

std::string call_text(const SourceCall& call, const std::string& before_arguments = {}) {
  std::vector<std::string> arguments = call.arguments;
  if (!before_arguments.empty()) arguments.insert(arguments.begin(), before_arguments);
  std::string out = call.label.empty() ? "" : call.label + ": ";
  out += call.callee;
  return arguments.empty() ? out : fmt::format("{}({})", out, fmt::join(arguments, ", "));
}

// Begins a new line of a pipe: whatever computes more than an activation or normalisation of what precedes
// it.
bool begins_line(const SourceCall& call) {
  static const std::set<std::string_view> kFollow = {
      "batch_norm",  "layer_norm", "relu",       "relu6", "silu",  "hardswish", "gelu",         "sigmoid",
      "hardsigmoid", "tanh",       "leaky_relu", "elu",   "prelu", "clip",      "channel_scale"};
  return !kFollow.contains(call.callee);
}

class StatementWriter {
 public:
  StatementWriter(std::span<const SourceCall> calls, std::map<size_t, std::string> names,
                  std::span<const SourceResult> results)
      : calls_(calls), results_(results), uses_(count_uses(calls, results)), names_(std::move(names)) {}

  std::string run() {
    for (const Chain& chain : make_chains(calls_, uses_)) {
      if (!calls_[chain[0]].loop.empty()) {
        write_loop(calls_[chain[0]]);
        continue;
      }
      size_t result = calls_[chain.back()].result;
      std::string text = expression(chain);
      bool is_returned = results_.size() == 1 && results_[0].value == result && uses_[result] == 1;
      if (is_returned) {
        last_ = text;
        continue;
      }
      std::string name = name_result(result, false);
      out_ += broken(fmt::format("{} = {}", name, text)) + '\n';
    }
    write_return();
    return std::move(out_);
  }

 private:
  // The stages of a pipe are joined by a newline, which `broken` keeps or turns into a blank.
  std::string expression(const Chain& chain) {
    const SourceCall& first = calls_[chain[0]];
    std::vector<std::string> names;
    for (size_t operand : first.operands) names.push_back(names_.at(operand));
    std::string text;
    size_t next = 1;
    if (!first.choice.empty()) {
      text = first.choice;
      for (size_t at = 0; (at = text.find('@', at)) != std::string::npos; at += names[0].size())
        text.replace(at, 1, names[0]);
    } else if (is_infix(first)) {
      text = fmt::format("{} {} {}", names[0], infix(first), names[1]);
      const SourceCall* wrap = chain.size() > 1 ? &calls_[chain[1]] : nullptr;
      if (wrap && wrap->label.empty() && wrap->arguments.empty()) {
        text = fmt::format("{}({})", wrap->callee, text);
        next = 2;
      } else if (wrap) {
        text = "(" + text + ")";
      }
    } else if (first.operands.size() != 1) {
      text = call_text(first, fmt::format("{}", fmt::join(names, ", ")));
    } else if (chain.size() == 1 && first.label.empty()) {
      text = call_text(first, names[0]);
    } else {
      text = names[0] + " |> " + call_text(first);
    }
    size_t width = text.size() + kIndent;
    for (size_t i = next; i < chain.size(); ++i) {
      const SourceCall& call = calls_[chain[i]];
      std::string stage = call_text(call);
      bool breaks = begins_line(call) || width + stage.size() + 4 > kWidth;
      width = breaks ? stage.size() + kIndent : width + stage.size() + 4;
      text += (breaks ? "\n|> " : " |> ") + stage;
    }
    for (size_t operand : first.operands) drop_use(operand);
    return text;
  }

  static std::string broken(std::string text) {
    if (text.size() + kIndent > kWidth) return text;
    std::replace(text.begin(), text.end(), '\n', ' ');
    return text;
  }

  void drop_use(size_t value) { --uses_[value]; }

  // x where it is free or no longer needed, else the next letter. A loop goes on under the name it has.
  std::string name_result(size_t value, bool keep_live) {
    std::set<std::string> live;
    for (const auto& [known, name] : names_)
      if (uses_[known] > 0 || keep_live) live.insert(name);
    static const char* const kLetters[] = {"x", "y", "z", "u", "v", "w"};
    std::string chosen;
    for (const char* letter : kLetters)
      if (chosen.empty() && !live.contains(letter)) chosen = letter;
    for (int i = 1; chosen.empty(); ++i)
      if (std::string next = fmt::format("t{}", i); !live.contains(next)) chosen = next;
    std::erase_if(names_, [&](const auto& known) { return known.second == chosen; });
    names_[value] = chosen;
    return chosen;
  }

  void write_loop(const SourceCall& call) {
    size_t operand = call.operands[0];
    std::string from = names_.at(operand);
    drop_use(operand);
    std::string name = name_result(call.result, false);
    if (name != from) out_ += fmt::format("{} = {}\n", name, from);
    out_ += fmt::format("for {} {{\n{} = {} |> {}\n}}\n", call.loop, name, name, call_text(call));
  }

  void write_return() {
    std::string text;
    for (const SourceResult& result : results_) {
      if (!text.empty()) text += ", ";
      if (!result.name.empty()) text += result.name + " = ";
      text += last_.empty() ? names_.at(result.value) : last_;
      if (!result.layout.empty()) text += " layout=" + result.layout;
    }
    out_ += broken("return " + text) + '\n';
  }

  std::span<const SourceCall> calls_;
  std::span<const SourceResult> results_;
  std::map<size_t, size_t> uses_;  // those still to come
  std::map<size_t, std::string> names_;
  std::string out_, last_;
};

bool is_number(std::string_view part) {
  bool digits = !part.empty() && part.size() < 10 &&
                std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c); });
  return digits && (part.size() == 1 || part[0] != '0');
}

bool is_word(std::string_view part) {
  bool letters = !part.empty() && std::all_of(part.begin(), part.end(),
                                              [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  return letters && !std::isdigit(static_cast<unsigned char>(part[0])) && !is_keyword(part);
}

}  // namespace

std::string pipe_stage(const SourceCall& call) { return call_text(call); }

std::string write_statements(std::span<const SourceCall> calls, std::map<size_t, std::string> names,
                             std::span<const SourceResult> results) {
  return StatementWriter(calls, std::move(names), results).run();
}

std::vector<AttributeText> attribute_texts(const OpAttrs& op) {
  std::vector<AttributeText> out;
  for (const FieldValue& field : field_values(op)) out.push_back({field.name, to_string(field.value)});
  return out;
}

std::string argument_text(const OpAttrs& op, const AttributeText& attribute) {
  const FieldInfo& first = op_info(op).fields.front();
  bool by_position = first.is_required && first.name == attribute.field && attribute.field == "channels";
  return by_position ? attribute.value : fmt::format("{}={}", attribute.field, attribute.value);
}

SourceCall layer_call(const Network& network, size_t id) {
  const Layer& layer = network.layers[id];
  SourceCall call{std::string(op_info(layer.op).name), label_text(layer.name), {}, layer.operands, id, {}};
  for (const AttributeText& attribute : attribute_texts(layer.op))
    call.arguments.push_back(argument_text(layer.op, attribute));
  return call;
}

std::string label_text(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    size_t dot = std::min(path.find('.'), path.size());
    std::string_view part = path.substr(0, dot);
    path.remove_prefix(std::min(dot + 1, path.size()));
    bool first = out.empty();
    if (is_number(part) && first) {
      out += fmt::format("[{}]", part);
    } else {
      if (!first) out += '.';
      out += is_number(part) || is_word(part) ? std::string(part) : fmt::format("\"{}\"", part);
    }
  }
  return out;
}

std::string instance_label(std::string_view path) {
  size_t dot = path.rfind('.');
  std::string_view last = dot == std::string_view::npos ? path : path.substr(dot + 1);
  if (!is_number(last)) return label_text(path);
  std::string before = dot == std::string_view::npos ? "" : label_text(path.substr(0, dot));
  return fmt::format("{}[{}]", before, last);
}

std::vector<size_t> written_order(const Network& network) {
  std::vector<SourceCall> calls;
  std::vector<size_t> order;
  for (size_t i = 0; i < network.layers.size(); ++i)
    network.layers[i].operands.empty() ? order.push_back(i) : calls.push_back(layer_call(network, i));
  std::vector<SourceResult> results;
  for (const NetworkOutput& output : network.outputs) results.push_back({output.layer, output.name, {}});
  for (const Chain& chain : make_chains(calls, count_uses(calls, results)))
    for (size_t call : chain) order.push_back(calls[call].result);
  return order;
}

Network without_dead_layers(const Network& network) {
  std::vector<bool> live(network.layers.size(), false);
  for (const NetworkOutput& output : network.outputs) live[output.layer] = true;
  std::vector<size_t> order;
  for (size_t i = live.size(); i-- > 0;) {
    bool is_input = network.layers[i].operands.empty();
    if (!live[i] && !is_input) continue;
    order.push_back(i);
    for (size_t operand : network.layers[i].operands) live[operand] = true;
  }
  std::reverse(order.begin(), order.end());
  return reordered(network, order);
}

void make_names_unique(Network& network) {
  std::set<std::string> taken;
  for (Layer& layer : network.layers) {
    if (layer.weights.empty()) continue;
    std::string path = layer.name;
    for (int i = 2; !taken.insert(layer.name).second; ++i) layer.name = fmt::format("{}_{}", path, i);
  }
}

Network reordered(const Network& network, std::span<const size_t> order) {
  std::vector<size_t> places(network.layers.size(), 0);
  Network out{network.name, {}, network.outputs};
  for (size_t from : order) {
    places[from] = out.layers.size();
    out.layers.push_back(network.layers[from]);
    for (size_t& operand : out.layers.back().operands) operand = places[operand];
  }
  for (NetworkOutput& output : out.outputs) output.layer = places[output.layer];
  return out;
}

}  // namespace cardinal::onnx_import
