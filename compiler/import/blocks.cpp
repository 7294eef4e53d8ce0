#include "compiler/import/blocks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "compiler/import/block_parameters.h"
#include "compiler/import/units.h"

namespace cardinal::onnx_import {

namespace {

// The part of a unit's layer's name that is the block's own.
std::string own_name(const Network& network, const Unit& unit, size_t layer) {
  const std::string& name = network.layers[layer].name;
  return unit.path.empty() || name.empty() ? std::string() : name.substr(unit.path.size() + 1);
}

// What instances of a block have in common: ops, what each reads, names and which weights there are. `skip`
// layers are left out, and who reads the last of them reads the unit's input.
std::string skeleton(const Network& network, const Unit& unit, const std::vector<size_t>& skip) {
  std::map<size_t, int> places{{unit.input, -1}};
  std::string out;
  int next = 0;
  for (size_t i = unit.begin; i < unit.end; ++i) {
    if (std::find(skip.begin(), skip.end(), i) != skip.end()) {
      places[i] = -1;
      continue;
    }
    places[i] = next++;
    const Layer& layer = network.layers[i];
    out +=
        fmt::format("{} '{}' {}:", op_info(layer.op).name, own_name(network, unit, i), layer.weights.size());
    for (size_t operand : layer.operands) out += fmt::format(" {}", places.at(operand));
    out += '\n';
  }
  return out;
}

// The layers that make the shortcut of a residual unit from its input, one after the other; none if there
// is no such path beside the main one.
std::vector<size_t> projection(const Network& network, const Unit& unit) {
  std::map<size_t, std::vector<size_t>> users;
  for (size_t i = unit.begin; i < unit.end; ++i)
    for (size_t operand : network.layers[i].operands) users[operand].push_back(i);
  std::vector<size_t> best;
  for (size_t start : users[unit.input]) {
    std::vector<size_t> path;
    size_t at = start;
    while (network.layers[at].operands.size() == 1 && at + 1 < unit.end && users[at].size() == 1) {
      path.push_back(at);
      at = users[at][0];
    }
    bool joins = op_info(network.layers[at].op).name == "add" && !path.empty();
    if (joins && (best.empty() || path.size() < best.size())) best = std::move(path);
  }
  return users[unit.input].size() == 2 ? best : std::vector<size_t>();
}

struct Group {
  std::vector<BlockInstance> instances;
  std::vector<size_t> optional;  // places in the block, of the layers that only some instances have
};

class BlockFinder {
 public:
  explicit BlockFinder(Network& network) : network_(network), units_(find_units(network)) {}

  BlockProgram run() {
    group_units();
    rename_units();
    write_blocks();
    write_calls();
    return std::move(out_);
  }

 private:
  void group_units() {
    extend_units();
    std::map<std::string, std::vector<size_t>> plain;
    for (size_t i = 0; i < units_.size(); ++i) plain[skeleton(network_, units_[i], {})].push_back(i);
    std::set<std::string> taken;
    for (size_t i = 0; i < units_.size(); ++i) {
      std::string whole = skeleton(network_, units_[i], {});
      if (taken.contains(whole)) continue;
      std::vector<size_t> path = projection(network_, units_[i]);
      std::string without = path.empty() ? "" : skeleton(network_, units_[i], path);
      bool has_plain = !path.empty() && plain.contains(without) && !taken.contains(without);
      if (!has_plain && (is_rest_of_projected(whole, taken) || plain[whole].size() < 2)) continue;
      Group group;
      for (size_t member : plain[whole]) add_instance(group, member, {});
      taken.insert(whole);
      if (has_plain) {
        for (size_t layer : path) group.optional.push_back(layer - units_[i].begin);
        for (size_t member : plain[without]) add_instance(group, member, group.optional);
        taken.insert(without);
      }
      groups_.push_back(std::move(group));
    }
  }

  // Adds to units that could be one block the layers that follow all of them.
  void extend_units() {
    std::vector<std::string> whole;
    for (const Unit& unit : units_) whole.push_back(skeleton(network_, unit, {}));
    std::map<std::string, std::vector<Unit*>> alike;
    for (size_t i = 0; i < units_.size(); ++i) {
      std::vector<size_t> path = projection(network_, units_[i]);
      std::string without = path.empty() ? whole[i] : skeleton(network_, units_[i], path);
      bool is_known = std::find(whole.begin(), whole.end(), without) != whole.end();
      alike[is_known ? without : whole[i]].push_back(&units_[i]);
    }
    for (auto& [ignored, units] : alike)
      while (same_layer_follows(units))
        for (Unit* unit : units) ++unit->end, --unit->tail;
  }

  bool same_layer_follows(const std::vector<Unit*>& units) const {
    auto op = [this](const Unit* unit) { return op_info(network_.layers[unit->end].op).name; };
    return std::all_of(units.begin(), units.end(), [&](const Unit* unit) {
      return unit->tail > 0 && units[0]->tail > 0 && op(unit) == op(units[0]);
    });
  }

  // Whether a later unit has the same layers and a projection; they become one block then.
  bool is_rest_of_projected(const std::string& whole, const std::set<std::string>& taken) const {
    return std::any_of(units_.begin(), units_.end(), [&](const Unit& unit) {
      std::vector<size_t> path = projection(network_, unit);
      return !path.empty() && skeleton(network_, unit, path) == whole &&
             !taken.contains(skeleton(network_, unit, {}));
    });
  }

  void add_instance(Group& group, size_t unit, const std::vector<size_t>& missing) {
    BlockInstance instance{unit, {}};
    size_t layer = units_[unit].begin;
    size_t places = units_[unit].end - units_[unit].begin + missing.size();
    for (size_t place = 0; place < places; ++place) {
      bool is_missing = std::find(missing.begin(), missing.end(), place) != missing.end();
      instance.layers.push_back(is_missing ? std::nullopt : std::optional(layer++));
    }
    group.instances.push_back(std::move(instance));
  }

  // Units whose layers the model does not name together become blocks.0, blocks.1, ...
  void rename_units() {
    std::vector<const Group*> group_of(units_.size(), nullptr);
    std::map<size_t, const BlockInstance*> instances;
    for (const Group& group : groups_)
      for (const BlockInstance& instance : group.instances) instances[instance.unit] = &instance;
    std::set<std::string> taken;
    for (const Layer& layer : network_.layers) taken.insert(layer.name.substr(0, layer.name.find('.')));
    std::string list = "blocks";
    while (taken.contains(list)) list += '_';
    int next = 0;
    for (const auto& [unit, instance] : instances) {
      if (!units_[unit].path.empty()) continue;
      units_[unit].path = fmt::format("{}.{}", list, next++);
      std::map<std::string, int> counts;
      for (const std::optional<size_t>& layer : instance->layers) {
        if (!layer || network_.layers[*layer].weights.empty()) continue;
        std::string op(op_info(network_.layers[*layer].op).name);
        std::string word = op == "batch_norm" ? "bn" : op == "layer_norm" ? "norm" : op;
        network_.layers[*layer].name = fmt::format("{}.{}{}", units_[unit].path, word, ++counts[word]);
      }
    }
  }

  void write_blocks() {
    std::set<std::string> names{network_.name};
    for (const Layer& layer : network_.layers)
      if (layer.operands.empty()) names.insert(layer.name);
    for (const Group& group : groups_) {
      std::string base = block_name(network_, group.instances[0]), name = base;
      for (int i = 2; !names.insert(name).second; ++i) name = fmt::format("{}{}", base, i);
      BlockParameters parameters(network_, group.instances, !group.optional.empty());
      out_.blocks.push_back(block_text(group, name, parameters));
      for (size_t i = 0; i < group.instances.size(); ++i) {
        const Unit& unit = units_[group.instances[i].unit];
        SourceCall call{name, instance_label(unit.path), parameters.arguments(i), {unit.input}, unit.end - 1,
                        {}};
        unit_calls_.emplace(unit.begin, call);
      }
    }
  }

  SourceCall layer_call_in_block(const Group& group, size_t place, const BlockParameters& parameters) const {
    const BlockInstance& first = group.instances[0];
    size_t id = *first.layers[place];
    SourceCall call = layer_call(network_, id);
    call.label = label_text(own_name(network_, units_[first.unit], id));
    call.arguments = parameters.attributes(place);
    return call;
  }

  std::string block_text(const Group& group, const std::string& name,
                         const BlockParameters& parameters) const {
    const BlockInstance& first = group.instances[0];
    const Unit& unit = units_[first.unit];
    std::vector<SourceCall> calls;
    std::string branch;
    for (size_t place = 0; place < first.layers.size(); ++place) {
      SourceCall call = layer_call_in_block(group, place, parameters);
      bool is_optional =
          std::find(group.optional.begin(), group.optional.end(), place) != group.optional.end();
      if (!is_optional) {
        calls.push_back(std::move(call));
        continue;
      }
      branch += " |> " + pipe_stage(call);
      if (place != group.optional.back()) continue;
      call.choice = fmt::format("if {} {{ @{} }} else {{ @ }}", BlockParameters::kProject, branch);
      call.operands = {unit.input};
      calls.push_back(std::move(call));
    }
    const SourceResult result{unit.end - 1, "", ""};
    return fmt::format("block {}(x{}) {{\n{}}}\n", name, parameters.declarations(),
                       write_statements(calls, {{unit.input, "x"}}, std::span(&result, 1)));
  }

  void write_calls() {
    for (size_t i = 0; i < network_.layers.size(); ++i) {
      auto unit = unit_calls_.find(i);
      if (unit != unit_calls_.end()) {
        out_.calls.push_back(unit->second);
        i = unit->second.result;
      } else if (!network_.layers[i].operands.empty()) {
        out_.calls.push_back(layer_call(network_, i));
      }
    }
    fold_loops();
  }

  // Calls that differ by a number that counts up become one loop.
  void fold_loops() {
    std::map<size_t, size_t> uses;
    for (const SourceCall& call : out_.calls)
      for (size_t operand : call.operands) ++uses[operand];
    for (const NetworkOutput& output : network_.outputs) ++uses[output.layer];
    std::vector<SourceCall> folded;
    for (size_t i = 0; i < out_.calls.size();) {
      size_t end = i + 1;
      while (end < out_.calls.size() && continues(out_.calls[end - 1], out_.calls[end]) &&
             uses[out_.calls[end - 1].result] == 1)
        ++end;
      SourceCall call = out_.calls[i];
      if (end - i > 1) {
        auto [list, first] = *counted(call.label);
        call.label = list + "[i]";
        call.loop = fmt::format("i in {}..{}", first, first + static_cast<int64_t>(end - i));
        call.result = out_.calls[end - 1].result;
      }
      folded.push_back(std::move(call));
      i = end;
    }
    out_.calls = std::move(folded);
  }

  // layer1[2]: "layer1" and 2.
  static std::optional<std::pair<std::string, int64_t>> counted(const std::string& label) {
    size_t bracket = label.rfind('[');
    if (bracket == std::string::npos || label.back() != ']') return std::nullopt;
    return std::pair(label.substr(0, bracket), std::stoll(label.substr(bracket + 1)));
  }

  bool continues(const SourceCall& before, const SourceCall& call) const {
    auto a = counted(before.label), b = counted(call.label);
    bool counts = a && b && a->first == b->first && a->second + 1 == b->second;
    return counts && !find_op(call.callee) && before.callee == call.callee &&
           before.arguments == call.arguments && call.operands == std::vector{before.result};
  }

  Network& network_;
  std::vector<Unit> units_;
  std::vector<Group> groups_;
  std::map<size_t, SourceCall> unit_calls_;  // by the unit's first layer
  BlockProgram out_;
};

}  // namespace

BlockProgram recover_blocks(Network& network) { return BlockFinder(network).run(); }

}  // namespace cardinal::onnx_import
